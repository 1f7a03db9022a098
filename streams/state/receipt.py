"""The receipt of a purge that a person ordered: which letters, how many of each event type, and of which time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Receipt:
    """Collected letter by letter. It holds no event id, no key and no value: they may be personal data."""

    offsets: dict[int, list[int]] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    event_types: dict[str, int] = field(default_factory=dict)
    first_event: int | None = None
    last_event: int | None = None

    def add(self, partition: int, offset: int, cause: str, event_type: str, time: int | None) -> None:
        """Add one letter. If the value does not tell them, `event_type` is empty and `time` (seconds since 1970) is
        None."""
        self.offsets.setdefault(partition, []).append(offset)
        self.causes[cause] = self.causes.get(cause, 0) + 1
        name = event_type or "unknown"
        self.event_types[name] = self.event_types.get(name, 0) + 1
        if time is not None:
            self.first_event = time if self.first_event is None else min(self.first_event, time)
            self.last_event = time if self.last_event is None else max(self.last_event, time)

    def to_json(self) -> dict[str, Any]:
        """The line for the audit topic. `offsets`: for each partition, ranges (from, to exclusive)."""
        return {
            "letters": sum(self.causes.values()),
            "causes": self.causes,
            "offsets": {str(number): ranges(offsets) for number, offsets in sorted(self.offsets.items())},
            "event_types": self.event_types,
            "first_event_time": self.first_event,
            "last_event_time": self.last_event,
        }


def ranges(offsets: Iterable[int]) -> list[list[int]]:
    """Rising offsets as ranges (from, to exclusive)."""
    found: list[list[int]] = []
    for offset in offsets:
        if found and found[-1][1] == offset:
            found[-1][1] = offset + 1
        else:
            found.append([offset, offset + 1])
    return found
