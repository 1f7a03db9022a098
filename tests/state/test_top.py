"""Letters grouped by what went wrong."""

from __future__ import annotations

from typing import Any

import pytest

from streams.delivery.letter import FINGERPRINT_HEADER, VERDICT_HEADER, returned_headers
from streams.destinations.detail import masked
from streams.destinations.mixpanel.destination import FIELD_NAMES as MIXPANELS
from streams.state import top
from streams.state.settled import SettledLetters
from streams.state.top import Groups
from tests.state.letters import NOW_MS, Letter, headers_of, letter


def groups() -> Groups:
    return Groups(lambda _letter: "users.messages.email.Open")


def test_letters_that_differ_in_numbers_only_are_one_group_and_the_largest_comes_first() -> None:
    found = groups()
    found.take([letter(0, "too old"), letter(1, "row 17 is bad"), letter(2, "row 18 is bad")], "rejected/3", None)
    first, second = found.most_first()
    assert (first.count, first.message, first.example) == (2, "row * is bad", "rejected/3/1")
    assert (second.count, second.message, second.cause, second.status) == (1, "too old", "rejected", 400)
    assert first.event_type == "users.messages.email.Open"


@pytest.mark.parametrize("other", [{"cause": "gave-up"}, {"status": 500}, {"event_type": "users.canvas.Entry"}])
def test_cause_status_and_event_type_keep_groups_apart(other: dict[str, Any]) -> None:
    found = groups()
    found.take([letter(0), letter(1, **other)], "rejected/0", None)
    assert len(found.most_first()) == 2


def test_troubles_are_the_same_over_event_types_and_name_the_largest_types_first() -> None:
    types = ["a", "b", "b", "b", "c", "c", "a"]
    found = Groups(lambda message: types[message.offset()])
    details = ["row 7 is bad"] * 6 + ["too old"]
    letters = [letter(number, details[number], event_type=name) for number, name in enumerate(types)]
    found.take(letters, "rejected/0", None)
    first, second = found.troubles()
    assert (first.count, first.largest.message, first.largest.cause) == (6, "row * is bad", "rejected")
    assert [(group.event_type, group.count) for group in first.groups] == [("b", 3), ("c", 2), ("a", 1)]
    assert second.count == 1


def test_a_message_says_which_field_is_wrong_whatever_the_value_was() -> None:
    found = groups()
    words = "'properties.time' of 'alice' is invalid: must not be in the future"
    found.take([letter(0, masked(words, (), MIXPANELS))], "rejected/0", None)
    (trouble,) = found.troubles()
    assert trouble.largest.message == "properties.time of * is invalid: must not be in the future"


def test_a_group_is_as_old_as_the_first_refusal_of_its_letters_and_says_how_many_came_back() -> None:
    refused = headers_of(parked_at_ms=NOW_MS)
    back = headers_of(parked_at_ms=NOW_MS + 5_000, before=returned_headers(refused, job="3f2b9c04d1aa"))
    found = groups()
    found.take([letter(0, parked_at_ms=NOW_MS + 1_000), Letter(1, tuple(back))], "rejected/0", None)
    (trouble,) = found.troubles()
    assert (trouble.count, trouble.parked_again) == (2, 1)
    assert (trouble.first_ms, trouble.last_ms) == (NOW_MS, NOW_MS + 5_000)


def test_settled_letters_are_not_counted() -> None:
    settled = SettledLetters()
    for block, bits in settled.with_added([1, 2]).items():
        settled.put(block, bits)
    found = groups()
    found.take([letter(offset) for offset in range(4)], "rejected/0", settled)
    assert [group.count for group in found.most_first()] == [2]


def test_a_group_knows_when_its_first_and_its_last_letter_were_parked() -> None:
    found = groups()
    times = (NOW_MS + 5, NOW_MS - 7, NOW_MS)
    found.take([letter(number, parked_at_ms=time) for number, time in enumerate(times)], "rejected/0", None)
    (group,) = found.most_first()
    assert (group.first_ms, group.last_ms) == (NOW_MS - 7, NOW_MS + 5)


def test_a_message_that_quotes_a_verdict_does_not_change_the_time() -> None:
    found = groups()
    found.take([letter(0, '{"parked_at":1,"x":2} is wrong')], "rejected/0", None)
    (group,) = found.most_first()
    assert (group.first_ms, group.last_ms) == (NOW_MS, NOW_MS)


def test_headers_in_another_order_are_found_all_the_same() -> None:
    headers = headers_of()
    found = groups()
    found.take([Letter(0, tuple(headers)), Letter(1, tuple(reversed(headers)))], "rejected/0", None)
    (group,) = found.most_first()
    assert group.count == 2


def test_a_record_that_somebody_else_wrote_is_counted_too() -> None:
    found = groups()
    bad_verdict = ((FINGERPRINT_HEADER, b"0123456789abcdef"), (VERDICT_HEADER, b"none"))
    found.take([Letter(0, ()), Letter(1, (("foreign", b"x"),)), Letter(2, bad_verdict)], "rejected/0", None)
    assert {group.fingerprint: group.count for group in found.most_first()} == {"": 2, "0123456789abcdef": 1}


def test_more_kinds_than_memory_allows_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "GROUPS_MAX", 2)
    found = groups()
    kinds = ["a", "b", "c", "d", "a"]
    found.take([letter(number, f"kind {kind}") for number, kind in enumerate(kinds)], "rejected/0", None)
    assert sum(group.count for group in found.most_first()) == 3
    assert found.others == 2


def test_the_event_type_is_asked_for_once_a_group() -> None:
    asked: list[int] = []

    def event_type_of(of: Letter) -> str:
        asked.append(of.offset())
        return ""

    found = Groups(event_type_of)
    found.take([letter(offset) for offset in range(5)], "rejected/0", None)
    assert asked == [0]
