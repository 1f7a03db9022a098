"""What must be sent of a user: only what changed, never an older word over a newer one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.entries import Entry
from streams.wayback.memberships import Word, difference, doubted, heard, heard_attributes
from streams.wayback.memory import Sent, UserMemory, hash_of, member_groups, standings, user_memory

KEYS = ["x" * 16]
ENTRIES: dict[str, Any] = {
    name: TypeAdapter[Any](Entry).validate_python(content)
    for name, content in {
        "cohorts": {"kind": "mixpanel_cohorts", "auth": {"passwords": KEYS}},
        "ids": {"kind": "mixpanel_cohorts", "auth": {"passwords": KEYS}, "attribute": "Ids", "value": "id"},
        "import": {"kind": "mixpanel_cohorts", "auth": {"passwords": KEYS}, "as": "cohort_api"},
        "single": {"kind": "firehose", "keys": KEYS},
        "bare": {"kind": "mparticle_audiences", "keys": KEYS, "quote_ids": False},
        "array": {"kind": "mparticle_audiences", "keys": KEYS, "send_segments_as": "array"},
        "each": {"kind": "firehose", "keys": KEYS, "send_segments_as": "per_segment"},
        "both": {"kind": "firehose", "keys": KEYS, "send_segments_as": "both"},
    }.items()
}


class Desk:
    """One user, and what is sent of it."""

    def __init__(self) -> None:
        self.memory = UserMemory()
        self.place = 0

    def hear(self, group: str, is_member: bool, name: str = "", **word: Any) -> Any:
        self.place += 1
        given = {"place": self.place, "name": name or group.partition("/")[2], **word}
        word_heard = heard(self.memory, Word(group=group, is_member=is_member, **given))
        after = word_heard.memory
        if word_heard.skip is not None:
            self.memory = after
            return word_heard.skip
        found = difference(self.memory, after, ENTRIES, [group], again=[group] if word.get("again") else [])
        self.memory = user_memory(after.to_bytes())
        assert self.memory == after
        return dict(found.attributes)


def test_a_cohort_is_added_to_and_removed_from_the_list_and_the_same_word_twice_is_unchanged() -> None:
    desk = Desk()
    assert desk.hear("cohorts/7", True, "VIP") == {"Mixpanel_Cohorts": {"add": ["VIP"]}}
    assert desk.hear("cohorts/7", True, "VIP") == "unchanged"
    assert desk.hear("cohorts/7", False, "VIP") == {"Mixpanel_Cohorts": {"remove": ["VIP"]}}
    assert desk.hear("cohorts/7", False, "VIP") == "unchanged"


def test_a_user_who_leaves_a_group_that_nobody_remembers_is_sent_and_remembered() -> None:
    desk = Desk()
    assert desk.hear("cohorts/7", False, "VIP") == {"Mixpanel_Cohorts": {"remove": ["VIP"]}}
    assert desk.hear("cohorts/7", False, "VIP") == "unchanged"
    assert desk.hear("each/1", False, "Cats") == {"In Cats": False}
    assert desk.hear("single/1", False) == {"SegmentMembership": None}


def test_a_value_that_two_cohorts_share_goes_when_the_last_is_left() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, "VIP")
    assert desk.hear("cohorts/8", True, "VIP") == {}
    assert desk.hear("cohorts/7", False, "VIP") == {}
    assert desk.hear("cohorts/8", False, "VIP") == {"Mixpanel_Cohorts": {"remove": ["VIP"]}}


def test_a_value_that_goes_from_one_cohort_to_another_in_one_request_is_said() -> None:
    """A process that died may have sent the first word alone, which took the value off."""
    before = heard(UserMemory(), Word("cohorts/7", "VIP", True, 1)).memory
    left = heard(before, Word("cohorts/7", "VIP", False, 2)).memory
    after = heard(left, Word("cohorts/8", "VIP", True, 3)).memory
    moved = difference(before, after, ENTRIES, ["cohorts/7", "cohorts/8"])
    assert moved.attributes == {"Mixpanel_Cohorts": {"add": ["VIP"]}}


def test_a_segment_that_goes_from_one_audience_to_another_of_its_name_in_one_request_is_said() -> None:
    before = heard(UserMemory(), Word("both/1", "Cats", True, 1)).memory
    left = heard(before, Word("both/1", "Cats", False, 2)).memory
    after = heard(left, Word("both/2", "Cats", True, 3)).memory
    moved = difference(before, after, ENTRIES, ["both/1", "both/2"])
    assert moved.attributes["In Cats"] is True


def test_a_cohort_with_a_new_name_takes_the_old_one_off() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, "VIP")
    assert desk.hear("cohorts/7", True, "Gold") == {"Mixpanel_Cohorts": {"add": ["Gold"], "remove": ["VIP"]}}
    assert desk.hear("ids/7", True, "VIP") == {"Ids": {"add": ["7"]}}
    assert desk.hear("ids/7", True, "Gold") == {}


def test_audiences_in_one_text_stand_in_order_of_joining_with_quotes_and_of_all_entries_together() -> None:
    desk = Desk()
    assert desk.hear("single/11036", True) == {"SegmentMembership": "'11036'"}
    assert desk.hear("single/11034", True) == {"SegmentMembership": "'11036','11034'"}
    assert desk.hear("bare/5", True) == {"SegmentMembership": "'11036','11034',5"}
    assert desk.hear("single/11036", False) == {"SegmentMembership": "'11034',5"}
    assert desk.hear("single/11036", True) == {"SegmentMembership": "'11034',5,'11036'"}
    for group in ("single/11036", "single/11034"):
        desk.hear(group, False)
    assert desk.hear("bare/5", False) == {"SegmentMembership": None}


def test_what_has_no_room_in_the_text_is_cut_by_whole_ids_and_told() -> None:
    memory = UserMemory()
    for place in range(40):
        after = heard(memory, Word(f"single/{10_000 + place}", "x", True, place + 1)).memory
        found = difference(memory, after, ENTRIES, [f"single/{10_000 + place}"], again=[f"single/{10_000 + place}"])
        memory = after
    text = found.attributes["SegmentMembership"]
    assert len(text) == 255 == 32 * 8 - 1
    assert text.endswith("'10031'")
    assert found.cut == tuple(f"single/{10_000 + place}" for place in range(32, 40))


def test_audiences_as_an_array_and_one_by_one_and_both() -> None:
    desk = Desk()
    assert desk.hear("array/2", True) == {"SegmentMembershipArray": ["2"]}
    assert desk.hear("array/1", True) == {"SegmentMembershipArray": ["2", "1"]}
    assert desk.hear("array/2", False) == {"SegmentMembershipArray": ["1"]}
    assert desk.hear("array/1", False) == {"SegmentMembershipArray": []}
    assert desk.hear("each/1", True, "Cats") == {"In Cats": True}
    assert desk.hear("each/1", True, "Dogs") == {"In Cats": False, "In Dogs": True}
    assert desk.hear("each/1", False, "Dogs") == {"In Dogs": False}
    assert desk.hear("both/3", True, "Birds") == {"SegmentMembership": "'3'", "In Birds": True}


def test_two_audiences_of_one_name_are_left_when_both_are() -> None:
    desk = Desk()
    desk.hear("each/1", True, "Cats")
    desk.hear("each/2", True, "Cats")
    assert desk.hear("each/1", False, "Cats") == {}
    assert desk.hear("each/2", False, "Cats") == {"In Cats": False}


def test_a_doubt_is_kept_and_every_reader_of_memories_takes_it() -> None:
    before = UserMemory().with_attributes({"plan": Sent("hash", 3)})
    after = heard(before, Word("cohorts/7", "VIP", False, 5)).memory
    doubt = doubted(before, after, ["plan"], ["cohorts/7"])
    kept = doubt.to_bytes()
    assert user_memory(kept) == doubt
    assert member_groups(kept) == {"cohorts/7"}
    assert [(one.group, one.is_member) for one in standings(kept)] == [("cohorts/7", True)]
    assert heard(doubt, Word("cohorts/7", "VIP", True, 6)).skip is None
    assert heard_attributes(doubt, {"plan": "gold"}, 2).stale == ("plan",)
    assert heard_attributes(doubt, {"plan": "gold"}, 4).changed == {"plan": "gold"}


def test_the_cohort_import_is_no_attribute() -> None:
    assert Desk().hear("import/7", True) == {}


def test_an_older_word_is_stale_and_one_from_below_the_floor_too() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, place=10)
    assert desk.hear("cohorts/7", False, place=9) == "stale"
    assert desk.hear("cohorts/8", True, place=9, floor=10) == "stale"
    assert isinstance(desk.hear("cohorts/8", True, place=10, floor=10), dict)
    assert isinstance(desk.hear("cohorts/7", False, place=10), dict)


def test_a_word_that_changes_nothing_still_outranks_older_ones_that_come_late() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, place=10)
    assert desk.hear("cohorts/7", True, place=60) == "unchanged"
    assert desk.hear("cohorts/7", False, place=30) == "stale"
    first = heard_attributes(UserMemory(), {"a": 1}, 10)
    second = heard_attributes(first.memory, {"a": 1}, 60)
    assert heard_attributes(second.memory, {"a": 2}, 30).stale == ("a",)


def test_a_word_that_is_sent_again_passes_by_unchanged_and_never_by_stale() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, "VIP", place=10)
    assert desk.hear("cohorts/7", True, "VIP", place=10, again=True) == {"Mixpanel_Cohorts": {"add": ["VIP"]}}
    assert desk.hear("cohorts/7", True, "VIP", place=9, again=True) == "stale"


def test_attributes_are_compared_one_by_one() -> None:
    first = heard_attributes(UserMemory(), {"a": 1, "b": [1, 2], "c": None}, 5)
    assert (first.changed, first.stale) == ({"a": 1, "b": [1, 2], "c": None}, ())
    second = heard_attributes(user_memory(first.memory.to_bytes()), {"a": 1, "b": [2, 1], "c": None}, 6)
    assert (second.changed, second.stale) == ({"b": [2, 1]}, ())
    late = heard_attributes(second.memory, {"a": 2, "b": 3, "d": 4}, 5)
    assert (late.changed, late.stale) == ({"d": 4}, ("a", "b"))
    again = heard_attributes(second.memory, {"a": 1, "b": [2, 1]}, 6, again=True)
    assert (again.changed, again.stale) == ({"a": 1, "b": [2, 1]}, ())


def test_a_hash_tells_types_apart_and_not_the_order_of_keys() -> None:
    assert len({hash_of(value) for value in (1, 1.5, "1", True, None, [1], {"a": 1}, "", [], {})}) == 10
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})


def test_that_a_user_left_is_forgotten_after_a_month_and_that_one_is_in_never() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True, at_s=0)
    desk.hear("cohorts/8", False, at_s=0)
    assert set(desk.memory.pruned(30 * 86_400 - 1).groups) == {"cohorts/7", "cohorts/8"}
    assert set(desk.memory.pruned(30 * 86_400).groups) == {"cohorts/7"}


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b'{"v":2,"a":{},"g":{}}', b'{"v":1}', b'{"v":1,"a":{"x":1},"g":{}}']
)
def test_bytes_that_are_no_memory_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="memory"):
        user_memory(value)


def test_the_groups_that_a_user_is_in_are_read_without_the_rest() -> None:
    desk = Desk()
    desk.hear("cohorts/7", True)
    desk.hear("cohorts/8", False)
    assert member_groups(desk.memory.to_bytes()) == {"cohorts/7"}
    assert member_groups(None) == set()
    for value in (b"", b"[]", b'{"v":1}', b'{"g":{"x":[]}}', b'{"g":1}'):
        with pytest.raises(ValueError, match="memory"):
            member_groups(value)
