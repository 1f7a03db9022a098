"""Rows of what was sent: what is kept is read again, and what a crash may have doubled is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams.wayback import rows
from streams.wayback.copies import GroupCopies, page_came
from streams.wayback.rows import Flight, Seen

NOW = 1_790_000_000


def test_copies_are_read_as_they_were_kept_and_go_on_where_they_were() -> None:
    turn = page_came(GroupCopies(), "p/s/2", 2, 2, "r2", 10, NOW)
    kept = rows.copies(rows.copies_to_bytes(turn.copies))
    assert kept == turn.copies
    done = page_came(kept, "p/s/2", 1, 2, "r1", 20, NOW)
    assert done.complete == "p/s/2"
    assert rows.copies(rows.copies_to_bytes(done.copies)) == GroupCopies(floor=10, ended={"p/s/2": NOW})
    assert rows.copies(None) == GroupCopies()


def test_seen_events_are_over_after_a_day() -> None:
    kept = rows.seen(Seen(("a", "b/1"), NOW).to_bytes())
    assert kept == Seen(("a", "b/1"), NOW)
    assert not kept.is_over(NOW + 86_399)
    assert kept.is_over(NOW + 86_400)


def test_a_flight_counts_every_sending_whose_answer_nobody_got() -> None:
    first = Flight(5, 9, 4)
    assert (first.maybe_doubled, first.maybe_doubled_by_a_crash) == (0, 4)
    again = rows.flight(first.again().to_bytes())
    assert again == Flight(5, 9, 4, sendings=2)
    assert again is not None
    assert (again.maybe_doubled, again.maybe_doubled_by_a_crash) == (4, 8)
    assert rows.flight(None) is None


def test_keys_are_told_apart_whatever_an_id_holds() -> None:
    keys = {rows.user_row("a/b"), rows.user_row("a"), rows.group_row("cohorts/7"), rows.seen_row(7), rows.FLIGHT}
    assert len(keys) == 5
    assert rows.user_row("zoë") == "user/zoë".encode()


@pytest.mark.parametrize("read", [rows.copies, rows.seen, rows.flight])
@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"v":2}', b'{"v":1}', b'{"v":1,"open":1,"ids":1}'])
def test_bytes_that_are_no_row_are_refused(read: Callable[[bytes], Any], value: bytes) -> None:
    with pytest.raises(ValueError, match=r"row|copies|seen|flight"):
        read(value)
