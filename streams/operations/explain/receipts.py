"""Receipts as the audit topic tells them: which letters a purge or an expiry took, so that one of them can be found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from streams.state.records import CREDENTIALS, REJECTED

NEEDLE = b'"offsets"'
"""What every receipt holds and other lines of the audit do not."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A purge or expiry as the audit tells it. `offsets` are ranges (from, to exclusive) per partition number."""

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
    """The receipt of an audit line, and its connector; None where the line is none."""
    try:
        line = orjson.loads(value or b"")
        if line["what"] not in ("purged", "expired"):
            return None
        times = (line.get("first_event_time"), line.get("last_event_time"))
        return str(line["connector"]), Receipt(
            what=str(line["what"]),
            at=int(line["at"]),
            who=str(line["who"]),
            why=str(line.get("why") or "no reason given"),
            letters=_letters(line),
            offsets={int(number): _ranges(found) for number, found in line["offsets"].items()},
            event_types=dict(line.get("event_types") or {}),
            event_times=None if None in times else times,
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _letters(line: Mapping[str, Any]) -> str:
    """A person's purge names its letters, a purge by deadline its scope; what expires was rejected."""
    if line.get("from"):
        return str(line["from"])
    return CREDENTIALS + str(line["scope"]) if line.get("scope") else REJECTED


def _ranges(found: Any) -> tuple[tuple[int, int], ...]:
    """One range (from, to exclusive), or several."""
    ranges = found if found and isinstance(found[0], list) else [found]
    return tuple((int(start), int(end)) for start, end in ranges)
