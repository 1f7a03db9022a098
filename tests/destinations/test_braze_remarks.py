"""Full copies, pages, clear and resend: what is staged, what follows from it, and what is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from streams.delivery.composer import Derived, Heard, Item
from streams.delivery.contract import Rejected, Remark
from streams.delivery.forgotten import hash_of
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schemas import shipped
from streams.wayback.records import Membership, reader
from tests.destinations.braze_desk import NOW_S, Desk, content, malformed, page, present, word

DAY_S = 86_400


@pytest.fixture
def desk() -> Desk:
    return Desk()


def words(heard: Heard) -> list[tuple[str, str, int]]:
    """Derived words: user, change, place."""
    return [(one.external_user_id, one.change, place) for one, place in records(heard)]


def records(heard: Heard) -> list[tuple[Membership, int]]:
    schema = shipped().by_event_type("wayback.Membership")
    assert schema is not None
    read = reader(schema)
    assert read is not None
    found = []
    for derived in heard.derived:
        record = read(derived.value, SINGLE_OBJECT_HEADER_BYTES)
        assert isinstance(record, Membership)
        assert derived.key == record.external_user_id.encode()
        found.append((record, derived.place))
    return found


def follow(desk: Desk, derived: Sequence[Derived] | Any, scope: str = "default") -> Any:
    """Composes what was derived, as it comes from the partition."""
    items: list[Item] = []
    for record, place in records(Heard("", derived=derived)):
        items.append(desk.item(record, place=place))
    return desk.compose(*items, scope=scope)


def test_members_are_staged_at_once_and_a_page_waits(desk: Desk) -> None:
    staged, marker = desk.encoded(present("cohorts/7", "ann")), desk.encoded(page("cohorts/7"))
    assert isinstance(staged, Remark)
    assert isinstance(marker, Remark)
    assert (staged.waits, marker.waits) == (False, True)


def test_a_complete_copy_lets_in_who_is_new_and_out_who_is_gone_and_nobody_before(desk: Desk) -> None:
    desk.compose(*[word("cohorts/7", user, name="VIP") for user in ("ann", "bob")])
    first = desk.item(present("cohorts/7", "bob", name="VIP"))
    assert desk.hear(first).reason == "staged"
    assert words(desk.hear(page("cohorts/7", "s", 1, 2, group_name="VIP"))) == []
    desk.hear(present("cohorts/7", "cid", number=2, name="VIP"))
    last = desk.hear(page("cohorts/7", "s", 2, 2, group_name="VIP"))
    assert words(last) == [("ann", "remove", first.place), ("cid", "add", first.place)]
    assert content(follow(desk, last.derived).request)["attributes"] == [
        {"external_id": "ann", "Mixpanel_Cohorts": {"remove": ["VIP"]}},
        {"external_id": "cid", "Mixpanel_Cohorts": {"add": ["VIP"]}},
    ]
    assert desk.copies == {}
    assert list(desk.members("cohorts/7")) == ["bob", "cid"]


def test_a_word_from_before_the_copy_is_stale_and_one_since_it_began_outranks_it(desk: Desk) -> None:
    before = desk.item(word("cohorts/7", "ann"))
    desk.hear(present("cohorts/7", "bob"))
    desk.compose(word("cohorts/7", "dan"))
    last = desk.hear(page("cohorts/7"))
    assert {(user, change) for user, change, _ in words(last)} == {("bob", "add"), ("dan", "remove")}
    follow(desk, last.derived)
    assert desk.compose(before).skipped == {0: "stale"}
    assert list(desk.members("cohorts/7")) == ["bob", "dan"]


def test_a_forgotten_user_leaves_what_was_sent_and_every_open_copy(desk: Desk) -> None:
    desk.compose(word("cohorts/7", "ann"), word("cohorts/7", "bob"))
    for group, session in (("cohorts/7", "first"), ("cohorts/8", "second")):
        desk.hear(present(group, "ann", session))
        desk.hear(present(group, "bob", session))
    salt = "the salt of a test"
    order = page("cohorts/" + salt, "job", group_name="", purpose="forget", request=hash_of(salt, "ann"))
    desk.hear(order)
    assert list(desk.members("cohorts/7")) == ["bob"]
    assert list(desk.staged_users()) == ["bob", "bob"]
    assert [word[:2] for word in words(desk.hear(page("cohorts/8", "second")))] == [("bob", "add")]


def test_an_empty_copy_empties_the_group(desk: Desk) -> None:
    desk.compose(word("cohorts/7", "ann"))
    assert [word[:2] for word in words(desk.hear(page("cohorts/7")))] == [("ann", "remove")]


def test_a_page_that_comes_again_replaces_its_earlier_version(desk: Desk) -> None:
    desk.hear(present("cohorts/7", "ann", request="r1"))
    desk.hear(page("cohorts/7", "s", 1, 2, request="r1"))
    desk.hear(present("cohorts/7", "bob", request="r2"))
    desk.hear(page("cohorts/7", "s", 1, 2, request="r2"))
    last = desk.hear(page("cohorts/7", "s", 2, 2))
    assert [word[:2] for word in words(last)] == [("bob", "add")]


def test_a_complete_copy_drops_older_ones_whose_pages_then_change_nothing(desk: Desk) -> None:
    desk.hear(present("cohorts/7", "ann", "old"))
    desk.hear(present("cohorts/7", "bob", "new"))
    last = desk.hear(page("cohorts/7", "new"))
    assert last.tally == {"sessions_dropped": 1}
    assert desk.copies == {}
    assert desk.hear(present("cohorts/7", "cid", "old")).reason == "stale"
    assert desk.hear(page("cohorts/7", "old")).reason == "stale"
    assert desk.copies == {}


def test_copies_of_two_groups_under_one_session_are_two(desk: Desk) -> None:
    desk.hear(present("cohorts/7", "ann"))
    desk.hear(present("cohorts/8", "bob"))
    assert [word[:2] for word in words(desk.hear(page("cohorts/7")))] == [("ann", "add")]
    assert [word[:2] for word in words(desk.hear(page("cohorts/8")))] == [("bob", "add")]


def test_members_of_both_targets_are_derived_for_each(desk: Desk) -> None:
    for target in ("attribute", "cohort"):
        desk.hear(present("both/7", "ann", target=target))
    last = desk.hear(page("both/7"))
    assert [record.target for record, _ in records(last)] == ["attribute", "cohort"]
    assert desk.copies == {}


def test_a_group_with_a_new_name_is_sent_whole_under_it_where_names_are_sent(desk: Desk) -> None:
    for entry in ("cohorts", "audiences", "ids"):
        desk.compose(*[word(f"{entry}/7", user, name="Old") for user in ("ann", "bob")])
        desk.hear(present(f"{entry}/7", "ann", name="New"))
        last = desk.hear(page(f"{entry}/7", group_name="New"))
        stays = [("ann", "add")] if entry != "ids" else []
        assert [word[:2] for word in words(last)] == [*stays, ("bob", "remove")]
        if entry == "cohorts":
            assert content(follow(desk, last.derived).request)["attributes"] == [
                {"external_id": "ann", "Mixpanel_Cohorts": {"add": ["New"], "remove": ["Old"]}},
                {"external_id": "bob", "Mixpanel_Cohorts": {"remove": ["Old"]}},
            ]


def test_clear_is_an_empty_copy_and_resend_sends_every_member_though_nothing_changed(desk: Desk) -> None:
    desk.compose(word("audiences/7", "ann", name="Cats"), word("audiences/8", "ann", name="Dogs"))
    resent = desk.hear(page("audiences/7", "wish", purpose="resend", group_name=""))
    assert [word[:2] for word in words(resent)] == [("ann", "add")]
    (made,) = content(follow(desk, resent.derived).request)["attributes"]
    assert (made["In Cats"], made["SegmentMembership"]) == (True, "'7','8'")
    before = desk.item(word("audiences/7", "bob", name="Cats"))
    cleared = desk.hear(page("audiences/7", "wish", purpose="clear", group_name=""))
    assert [word[:2] for word in words(cleared)] == [("ann", "remove")]
    (made,) = content(follow(desk, cleared.derived).request)["attributes"]
    assert (made["In Cats"], made["SegmentMembership"]) == (False, "'8'")
    assert desk.compose(before).skipped == {0: "stale"}


def test_a_resent_word_never_undoes_a_newer_one(desk: Desk) -> None:
    desk.compose(word("cohorts/7", "ann"))
    resent = desk.hear(page("cohorts/7", "wish", purpose="resend"))
    desk.compose(word("cohorts/7", "ann", "remove"))
    assert follow(desk, resent.derived).skipped == {0: "stale"}


def test_a_new_owner_reads_again_from_where_the_oldest_open_copy_began(desk: Desk) -> None:
    assert desk.composer.reread_from(desk) is None
    first = desk.item(present("cohorts/7", "ann"))
    desk.hear(first)
    desk.hear(present("cohorts/8", "ann"))
    assert desk.composer.reread_from(desk) == first.offset
    desk.copies.clear()
    again = desk.composer.hear(first, desk, NOW_S)
    assert (again.reason, len(again.stage), again.changes) == ("staged", 1, [])
    gone = desk.composer.gone(desk, first.offset + 1, NOW_S)
    assert gone is not None
    desk.heard(gone)
    assert gone.tally == {"sessions_dropped": 1}
    assert desk.composer.reread_from(desk) == first.offset + 1
    assert desk.hear(page("cohorts/7")).reason == "stale"


def test_an_open_copy_tells_when_it_began_however_late_its_pages_come(desk: Desk) -> None:
    assert desk.composer.open_copies(desk) == {}
    desk.hear(present("cohorts/7", "ann"))
    (name,) = desk.composer.open_copies(desk)
    last_page = desk.composer.hear(desk.item(page("cohorts/7", "s", 1, 2)), desk, NOW_S + 3_600)
    desk.heard(last_page)
    assert desk.composer.open_copies(desk) == {name: NOW_S}
    desk.hear(present("cohorts/8", "ann"))
    assert len(desk.composer.open_copies(desk)) == 2
    desk.hear(page("cohorts/7", "s", 2, 2))
    assert name not in desk.composer.open_copies(desk)


def test_a_silent_copy_is_dropped_after_a_day_and_an_ended_one_forgotten(desk: Desk) -> None:
    desk.hear(present("cohorts/7", "ann"))
    assert desk.composer.expired(desk, NOW_S + DAY_S - 1) is None
    passed = desk.composer.expired(desk, NOW_S + DAY_S)
    assert passed is not None
    desk.heard(passed)
    assert (passed.tally, desk.copies, list(passed.derived)) == ({"sessions_dropped": 1}, {}, [])
    assert desk.hear(present("cohorts/7", "ann"), now_s=NOW_S + DAY_S).reason == "stale"
    assert desk.composer.expired(desk, NOW_S + DAY_S) is None
    forgotten = desk.composer.expired(desk, NOW_S + 2 * DAY_S)
    assert forgotten is not None
    desk.heard(forgotten)
    assert desk.hear(present("cohorts/7", "ann"), now_s=NOW_S + 2 * DAY_S).reason == "staged"


def test_a_malformed_item_is_parked_once_a_day_and_the_same_record_always(desk: Desk) -> None:
    first = desk.item(malformed("hash"))
    assert desk.hear(first).rejected == "a member is not a JSON object"
    assert desk.hear(first).rejected
    repeated = desk.hear(malformed("hash"))
    assert (repeated.reason, repeated.rejected) == ("duplicate", "")
    assert desk.hear(malformed("other")).rejected
    assert desk.hear(desk.item(malformed("hash"), again="job")).rejected
    over = desk.composer.expired(desk, NOW_S + DAY_S)
    assert over is not None
    desk.heard(over)
    assert desk.rows == {}
    assert desk.hear(malformed("hash")).rejected


def test_records_that_nothing_takes_any_more_are_rejected_with_what_to_do(desk: Desk) -> None:
    gone = desk.encoded(word("other/7"))
    assert gone == Rejected("entry: receive.other is gone, or takes no such records any more: add it, then replay")
    without_keys = Desk(cohort_api=None, receive={"cohorts": _COHORTS})
    assert isinstance(without_keys.encoded(word("cohorts/7", target="cohort")), Rejected)
    for unknown in (
        replace(word("cohorts/7"), change="leave"),  # type: ignore[arg-type]
        replace(word("cohorts/7"), target="segment"),  # type: ignore[arg-type]
        replace(page("cohorts/7"), purpose="rename"),  # type: ignore[arg-type]
    ):
        encoding = desk.encoded(unknown)
        assert isinstance(encoding, Rejected)
        assert encoding.detail.endswith("not known here; a newer version of streams wrote it")


_COHORTS = {"kind": "mixpanel_cohorts", "auth": {"passwords": ["x" * 16]}}
