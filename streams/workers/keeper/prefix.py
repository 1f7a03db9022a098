"""The leading letters of dead-letter partitions that a rule says are over: what purge and expiry have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from streams.delivery.letter import CAUSE_HEADER, header_of, verdict_of
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Letters
from streams.workers.keeper.lease import Lease
from streams.workers.reading.event_reader import EventReader

LETTERS_PER_TRANSACTION_MAX = 20_000
"""Reading and decoding so many takes about a second; the transaction itself writes a few records."""
READ_SECONDS_MAX = 5.0
"""A partition that shows neither a letter nor its end for this long is looked at again at the next step."""
READ_SECONDS = 0.5


@dataclass(slots=True)
class Prefix:
    """What is over: per partition number the cursor after it, the letters counted, and the first that is not over."""

    cursors: dict[int, int] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    event_types: dict[str, int] = field(default_factory=dict)
    first_event: int | None = None
    last_event: int | None = None
    heads: list[int] = field(default_factory=list)
    """When the first letters that stay were parked (ms)."""
    is_whole: bool = True
    """Whether every partition was read up to a letter that stays, or to its end."""

    @property
    def letters(self) -> int:
        """How many letters are over that were not settled before."""
        return sum(self.causes.values())

    def receipt(self) -> dict[str, Any]:
        """Offset ranges (from, to exclusive), counts, first and last event time in seconds since 1970."""
        return {
            "letters": self.letters,
            "causes": self.causes,
            "offsets": {str(number): [[self.starts[number], end]] for number, end in sorted(self.cursors.items())},
            "event_types": self.event_types,
            "first_event_time": self.first_event,
            "last_event_time": self.last_event,
        }


def read_prefix(
    lease: Lease,
    letters_name: str,
    partitions: list[Partition],
    reader: Letters,
    events: EventReader,
    is_over: Callable[[int], bool],
) -> Prefix:
    """Read the leading letters whose time of parking (ms) is over, 20,000 at most. Changes nothing."""
    prefix = Prefix()
    cursors = {number: lease.view.cursor((letters_name, number)) for _, number in partitions}
    reader.open({(topic, number): cursors[number] for topic, number in partitions})
    unread = set(partitions)
    deadline = lease.clock.monotonic() + READ_SECONDS_MAX
    taken = 0
    while unread and taken < LETTERS_PER_TRANSACTION_MAX and lease.clock.monotonic() < deadline:
        page = reader.read(1_000, READ_SECONDS)
        for message in page.letters:
            partition = (message.topic(), message.partition())
            if partition not in unread:
                continue
            verdict = verdict_of(message.headers() or [])
            parked_at = 0 if verdict is None else verdict.parked_at_ms
            if not is_over(parked_at):
                prefix.heads.append(parked_at)
                unread.discard(partition)
                continue
            number, offset = message.partition(), message.offset()
            prefix.starts.setdefault(number, offset)
            prefix.cursors[number] = offset + 1
            taken += 1
            if not lease.view.is_settled((letters_name, number), offset):
                _count(prefix, message, events)
        unread.difference_update(page.ends)
    prefix.is_whole = not unread
    return prefix


def _count(prefix: Prefix, message: Message, events: EventReader) -> None:
    cause = (header_of(message.headers() or [], CAUSE_HEADER) or b"").decode("ascii", "replace")
    event = events.read_now(message)
    _add(prefix.causes, cause)
    _add(prefix.event_types, event.event_type or "unknown")
    if event.time is not None:
        prefix.first_event = event.time if prefix.first_event is None else min(prefix.first_event, event.time)
        prefix.last_event = event.time if prefix.last_event is None else max(prefix.last_event, event.time)


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
