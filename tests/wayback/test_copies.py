"""Full copies: when they are complete, what they drop, and what comes too late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.wayback.copies import GroupCopies, Turn, changes_of, member_came, page_came, time_passed

NOW = 1_790_000_000
DAY = 86_400


def pages(copies: GroupCopies, session: str, *numbers: int, of: int, place: int, request: str = "r") -> Turn:
    turn = Turn(copies)
    for offset, number in enumerate(numbers):
        turn = page_came(turn.copies, session, number, of, f"{request}{number}", place + offset, NOW)
    return turn


def test_a_copy_is_complete_with_its_last_page_whichever_that_is() -> None:
    turn = pages(GroupCopies(), "s", 3, 1, of=3, place=10)
    assert turn.complete is None
    turn = page_came(turn.copies, "s", 2, 3, "r2", 20, NOW)
    assert turn.complete == "s"
    assert turn.copies == GroupCopies(floor=10, ended={"s": NOW})


def test_the_floor_is_the_place_of_the_first_record_a_member_too() -> None:
    turn = member_came(GroupCopies(), "s", 7, NOW)
    assert turn.copies.open["s"].first_place == 7
    assert pages(turn.copies, "s", 1, of=1, place=9).copies.floor == 7


def test_a_page_that_comes_again_replaces_its_earlier_version() -> None:
    copies = pages(GroupCopies(), "s", 1, of=2, place=10, request="first").copies
    copies = pages(copies, "s", 1, of=2, place=20, request="second").copies
    assert copies.open["s"].versions == {1: "second1"}


def test_a_complete_copy_drops_open_ones_that_began_before_it_and_no_later_ones() -> None:
    copies = pages(GroupCopies(), "old", 1, of=2, place=10).copies
    copies = pages(copies, "new", 1, of=2, place=20).copies
    copies = pages(copies, "newest", 1, of=2, place=30).copies
    turn = page_came(copies, "new", 2, 2, "r2", 40, NOW)
    assert (turn.complete, turn.dropped) == ("new", ("old",))
    assert set(turn.copies.open) == {"newest"}
    late = page_came(turn.copies, "old", 2, 2, "r2", 50, NOW)
    assert (late.is_stale, late.copies) == (True, turn.copies)


def test_pages_of_a_copy_that_has_ended_change_nothing_for_a_day() -> None:
    copies = pages(GroupCopies(), "s", 1, of=1, place=10).copies
    again = page_came(copies, "s", 1, 1, "again", 20, NOW)
    assert (again.is_stale, again.complete) == (True, None)
    assert member_came(copies, "s", 21, NOW).is_stale
    assert time_passed(copies, NOW + DAY - 1).copies.ended == {"s": NOW}
    assert time_passed(copies, NOW + DAY).copies.ended == {}


def test_records_from_below_the_floor_are_stale_whatever_they_are_of() -> None:
    copies = pages(GroupCopies(), "s", 1, of=1, place=10).copies
    assert member_came(copies, "other", 9, NOW).is_stale
    assert page_came(copies, "other", 1, 1, "r", 9, NOW).complete is None


def test_the_fifth_open_copy_drops_the_oldest() -> None:
    copies = GroupCopies()
    for number in range(4):
        copies = pages(copies, f"s{number}", 1, of=2, place=10 + number).copies
    turn = pages(copies, "s4", 1, of=2, place=20)
    assert set(turn.copies.open) == {"s1", "s2", "s3", "s4"}
    assert "s0" in turn.copies.ended


def test_a_copy_that_falls_silent_for_a_day_is_dropped() -> None:
    copies = pages(GroupCopies(), "s", 1, of=2, place=10).copies
    assert time_passed(copies, NOW + DAY - 1).dropped == ()
    turn = time_passed(copies, NOW + DAY)
    assert (turn.dropped, turn.copies.open, turn.copies.ended) == (("s",), {}, {"s": NOW + DAY})


def test_a_session_with_no_members_is_complete_and_empties_the_group() -> None:
    assert pages(GroupCopies(), "s", 1, of=1, place=10).complete == "s"
    assert list(changes_of([], ["ann", "bob"])) == [("ann", False), ("bob", False)]


@given(st.sets(st.text(max_size=3)), st.sets(st.text(max_size=3)))
def test_who_joins_and_who_leaves_is_the_difference_of_both(staged: set[str], members: set[str]) -> None:
    found = list(changes_of(sorted(staged), sorted(members)))
    assert found == sorted(found)
    assert {user for user, joins in found if joins} == staged - members
    assert {user for user, joins in found if not joins} == members - staged
