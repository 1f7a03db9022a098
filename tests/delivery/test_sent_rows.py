"""Rows that a sink keeps of itself: what is kept is read again, and bytes that are none are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams.delivery import sent_rows as rows
from streams.delivery.sent_rows import Flight, Seen

NOW = 1_790_000_000


def test_seen_events_are_over_after_a_day() -> None:
    kept = rows.seen(Seen(("a", "b/1"), NOW).to_bytes())
    assert kept == Seen(("a", "b/1"), NOW)
    assert not kept.is_over(NOW + 86_399)
    assert kept.is_over(NOW + 86_400)


def test_a_flight_is_read_as_it_was_kept() -> None:
    assert rows.flight(Flight(5, 9, 4).to_bytes()) == Flight(5, 9, 4)
    assert rows.flight(None) is None


def test_keys_are_told_apart() -> None:
    assert len({rows.seen_row(7), rows.seen_row(77), rows.flight_row("a"), rows.flight_row("b")}) == 4


@pytest.mark.parametrize("read", [rows.seen, rows.flight])
@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"1", b'{"v":2}', b'{"v":1}', b'{"v":1,"ids":1}'])
def test_bytes_that_are_no_row_are_refused(read: Callable[[bytes], Any], value: bytes) -> None:
    with pytest.raises(ValueError, match=r"row|seen|flight"):
        read(value)
