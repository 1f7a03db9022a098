"""Batches: encoded events that go out in one request and are settled together or apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from streams.delivery.contract import Limits, Request
from streams.delivery.ledger import Ledger

Source = TypeVar("Source")

SEPARATOR_BYTES = 1
ENVELOPE_BYTES = 2
"""`[` + events joined by `,` + `]`."""


Entry: TypeAlias = tuple[Ledger[Source], int, Source]
"""One event of a batch: the ledger and place where it settles, and the record that it was read from."""


@dataclass(slots=True, eq=False)
class Batch(Generic[Source]):
    """Events of one credential scope, in the order in which they were read.

    `request` is built once and kept, so that every attempt sends the same bytes. Times are seconds of the monotonic
    clock.
    """

    scope: str
    bodies: list[bytes]
    entries: list[Entry[Source]]
    alone: bool = False
    kind: str = ""
    request: Request | None = None
    attempts: int = 0
    sent_at: float = 0.0
    failures: int = 0
    failed_at: float | None = None
    failing_since: float | None = None
    server_errors_since: float | None = None
    not_before: float = 0.0

    def __len__(self) -> int:
        return len(self.bodies)

    def halves(self) -> tuple[Batch[Source], Batch[Source]]:
        """Two batches of half the events each, which have failed for as long as this one."""
        middle = len(self.bodies) // 2
        return self._part(slice(None, middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> Batch[Source]:
        return Batch(
            self.scope,
            self.bodies[part],
            self.entries[part],
            failed_at=self.failed_at,
            failing_since=self.failing_since,
            server_errors_since=self.server_errors_since,
        )

    def without_closed(self) -> Batch[Source] | None:
        """This batch without the events of partitions that were taken away; None if nothing is left.

        A batch that was sent before is kept whole while anything is left: its bytes may not change.
        """
        open_entries = [index for index, entry in enumerate(self.entries) if not entry[0].is_closed]
        if not open_entries:
            return None
        if self.attempts or len(open_entries) == len(self.entries):
            return self
        return Batch(
            self.scope,
            [self.bodies[index] for index in open_entries],
            [self.entries[index] for index in open_entries],
            self.alone,
            self.kind,
        )


@dataclass(slots=True)
class BatchBuilder(Generic[Source]):
    """Fills batches of one scope by count and bytes; the worker takes what is old enough."""

    scope: str
    limits: Limits
    opened_at: float = 0.0
    _bodies: list[bytes] = field(default_factory=list)
    _entries: list[Entry[Source]] = field(default_factory=list)
    _bytes: int = ENVELOPE_BYTES

    def __len__(self) -> int:
        return len(self._bodies)

    def add(self, body: bytes, ledger: Ledger[Source], place: int, source: Source, now: float) -> Batch[Source] | None:
        """Add an event; gives the batch that was full before it or is full with it, if any."""
        full = None
        if self._bytes + len(body) + SEPARATOR_BYTES > self.limits.batch_bytes_max and self._bodies:
            full = self.take()
        if not self._bodies:
            self.opened_at = now
        self._bodies.append(body)
        self._entries.append((ledger, place, source))
        self._bytes += len(body) + SEPARATOR_BYTES
        if full is None and len(self._bodies) >= self.limits.batch_records_max:
            return self.take()
        return full

    def take(self) -> Batch[Source] | None:
        """What is there as a batch; None if nothing is."""
        if not self._bodies:
            return None
        batch = Batch(self.scope, self._bodies, self._entries)
        self._bodies, self._entries, self._bytes = [], [], ENVELOPE_BYTES
        return batch
