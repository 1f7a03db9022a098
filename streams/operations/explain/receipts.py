"""Receipts from the audit topic: which letters a purge or an expiry deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streams.state.audit import ReceiptLine, parse_line

NEEDLE = b'"offsets"'
"""Text that every receipt contains, and no other line of the audit."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A purge or expiry, from the audit. `offsets` are ranges (from, to exclusive) per partition number."""

    what: str
    at: int
    who: str
    why: str
    letters: str
    offsets: Mapping[int, Sequence[tuple[int, int]]]
    event_types: Mapping[str, int]
    event_times: tuple[int, int] | None

    def covers(self, number: int, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.offsets.get(number, ()))

    def may_hold(self, event_type: str, event_time: int | None) -> bool:
        """Whether an event of this type and time may be among its letters."""
        if event_type not in self.event_types:
            return False
        if event_time is None or self.event_times is None:
            return True
        return self.event_times[0] <= event_time <= self.event_times[1]


def receipt_of(value: bytes | None) -> tuple[str, Receipt] | None:
    """The receipt of an audit line, and its connector; None if the line is not a receipt."""
    line = parse_line(value)
    if not isinstance(line, ReceiptLine):
        return None
    first, last = line.first_event_time, line.last_event_time
    return line.connector, Receipt(
        what=line.what,
        at=line.at,
        who=line.who,
        why=line.why or "no reason given",
        letters=line.letters_of,
        offsets=line.offsets,
        event_types=line.event_types,
        event_times=None if first is None or last is None else (first, last),
    )
