"""Batches: encoded events that go out in one request and are settled together or apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streams.delivery.contract import Limits, Request
from streams.delivery.ledger import Ledger

Source = TypeVar("Source")


@dataclass(slots=True)
class Span(Generic[Source]):
    """Places `first` to `end` (exclusive) of one ledger: records are read in runs, and settled in runs."""

    ledger: Ledger[Source]
    first: int
    end: int


@dataclass(slots=True, eq=False)
class Batch(Generic[Source]):
    """Events of one credential scope, in the order in which they were read, with the records that they came from.

    `request` is built once and kept, so that every attempt sends the same bytes. Only other credentials change it:
    `generation` counts those that its events were encoded with. Times are seconds of the monotonic clock.
    """

    scope: str
    bodies: list[bytes] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    spans: list[Span[Source]] = field(default_factory=list)
    alone: bool = False
    kind: str = ""
    generation: int = 0
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

    def add(self, body: bytes, ledger: Ledger[Source], place: int, source: Source) -> None:
        """One more event."""
        self.bodies.append(body)
        self.sources.append(source)
        if self.spans:
            last = self.spans[-1]
            if last.end == place and last.ledger is ledger:
                last.end = place + 1
                return
        self.spans.append(Span(ledger, place, place + 1))

    def places(self) -> Iterator[tuple[Ledger[Source], int]]:
        """Where each event settles, in the batch's order."""
        for span in self.spans:
            for place in range(span.first, span.end):
                yield span.ledger, place

    def halves(self) -> tuple[Batch[Source], Batch[Source]]:
        """Two batches of half the events each, which have failed for as long as this one."""
        middle = len(self.bodies) // 2
        halves = self._part(range(middle)), self._part(range(middle, len(self.bodies)))
        for half in halves:
            half.generation = self.generation
            half.failed_at = self.failed_at
            half.failing_since = self.failing_since
            half.server_errors_since = self.server_errors_since
        return halves

    def kept_back(self, indices: Collection[int]) -> Batch[Source]:
        """A batch of these events, to be sent in its place later."""
        kept = self._part(sorted(indices))
        kept.alone, kept.kind, kept.generation = self.alone, self.kind, self.generation
        return kept

    def singles(self, indices: Collection[int]) -> list[Batch[Source]]:
        """A batch for each of these events."""
        singles = [self._part([index]) for index in sorted(indices)]
        for single in singles:
            single.generation = self.generation
        return singles

    def without_closed(self) -> Batch[Source] | None:
        """This batch without the events of partitions that were taken away; None if nothing is left.

        A batch that was sent before is kept whole while anything is left: its bytes may not change.
        """
        if not any(span.ledger.is_closed for span in self.spans):
            return self
        kept = [index for index, (ledger, _) in enumerate(self.places()) if not ledger.is_closed]
        if not kept:
            return None
        if self.attempts:
            return self
        part = self._part(kept)
        part.alone, part.kind, part.generation = self.alone, self.kind, self.generation
        return part

    def _part(self, indices: Iterable[int]) -> Batch[Source]:
        places = list(self.places())
        part = Batch[Source](self.scope)
        for index in indices:
            part.add(self.bodies[index], *places[index], self.sources[index])
        return part


@dataclass(slots=True)
class BatchBuilder(Generic[Source]):
    """Fills batches of one scope by count and bytes; the worker takes what is old enough."""

    scope: str
    limits: Limits
    generation: int = 0
    opened_at: float = 0.0
    _batch: Batch[Source] | None = None
    _bytes: int = 0

    def __len__(self) -> int:
        return 0 if self._batch is None else len(self._batch)

    def add(self, body: bytes, ledger: Ledger[Source], place: int, source: Source, now: float) -> Batch[Source] | None:
        """Add an event; gives the batch that was full before it or is full with it, if any."""
        full = None
        batch = self._batch
        if batch is not None and self._bytes + len(body) + self.limits.separator_bytes > self.limits.batch_bytes_max:
            full, batch = batch, None
        if batch is None:
            self._batch = batch = Batch[Source](self.scope, generation=self.generation)
            self._bytes = self.limits.envelope_bytes
            self.opened_at = now
        batch.add(body, ledger, place, source)
        self._bytes += len(body) + self.limits.separator_bytes
        if full is None and len(batch.bodies) >= self.limits.batch_records_max:
            self._batch = None
            return batch
        return full

    def take(self) -> Batch[Source] | None:
        """What is there as a batch; None if nothing is."""
        batch, self._batch = self._batch, None
        return batch
