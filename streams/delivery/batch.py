"""Batches: encoded events that go out in one request and are settled together or apart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from streams.delivery.contract import Limits, Request
from streams.delivery.ledger import Ledger

Source = TypeVar("Source")


class Span(Generic[Source]):
    """Places `first` to `end` (exclusive) of one ledger: records are read in runs, and settled in runs."""

    __slots__ = ("end", "first", "ledger")

    def __init__(self, ledger: Ledger[Source], first: int, end: int) -> None:
        self.ledger = ledger
        self.first = first
        self.end = end


class Batch(Generic[Source]):
    """Events of one credential scope, in the order in which they were read, with the records that they came from.

    `request` is built once and kept, so that every attempt sends the same bytes. Only other credentials change it:
    `generation` counts those that its events were encoded with. Times are seconds of the monotonic clock.
    """

    __slots__ = (
        "alone",
        "attempts",
        "bodies",
        "failed_at",
        "failing_since",
        "failures",
        "generation",
        "kind",
        "may_grow",
        "not_before",
        "parks_in_doubt",
        "request",
        "scope",
        "sent_at",
        "server_errors_since",
        "sources",
        "spans",
    )

    def __init__(
        self,
        scope: str,
        bodies: list[bytes] | None = None,
        sources: list[Source] | None = None,
        *,
        alone: bool = False,
        kind: str = "",
        generation: int = 0,
    ) -> None:
        self.scope = scope
        self.bodies: list[bytes] = [] if bodies is None else bodies
        self.sources: list[Source] = [] if sources is None else sources
        self.spans: list[Span[Source]] = []
        self.alone = alone
        self.kind = kind
        self.generation = generation
        self.may_grow = not alone
        """Whether events that come later may join it. Not those that were taken apart: together they would fail
        again."""
        self.request: Request | None = None
        self.attempts = 0
        self.sent_at = 0.0
        self.failures = 0
        self.failed_at: float | None = None
        self.failing_since: float | None = None
        self.server_errors_since: float | None = None
        self.not_before = 0.0
        self.parks_in_doubt: frozenset[int] = frozenset()
        """Indices of events that are parked, not sent again, after an answer that leaves open whether they were
        processed."""

    def __len__(self) -> int:
        return len(self.bodies)

    def add(self, body: bytes, ledger: Ledger[Source], place: int, source: Source) -> None:
        """One more event."""
        self.add_run([body], ledger, place, [source])

    def add_run(self, bodies: list[bytes], ledger: Ledger[Source], place: int, sources: list[Source]) -> None:
        """More events, of records that were read one after the other; the first is at `place`."""
        self.bodies += bodies
        self.sources += sources
        end = place + len(bodies)
        if self.spans:
            last = self.spans[-1]
            if last.end == place and last.ledger is ledger:
                last.end = end
                return
        self.spans.append(Span(ledger, place, end))

    def take_in(self, later: Batch[Source]) -> bool:
        """Take the events of a batch that follows this one, so that fewer requests go out half full. False: one of the
        two has a request already or was taken apart, and stays as it is."""
        if not (self._is_open and later._is_open and self.generation == later.generation):
            return False
        first = 0
        for span in later.spans:
            end = first + span.end - span.first
            self.add_run(later.bodies[first:end], span.ledger, span.first, later.sources[first:end])
            first = end
        return True

    @property
    def _is_open(self) -> bool:
        return self.may_grow and self.request is None

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
            self._pass_on_failures(half)
        return halves

    def part(self, indices: Sequence[int]) -> Batch[Source] | None:
        """A batch of these events, which has failed for as long as this one, and waits as long; None where there are
        none. Indices rise."""
        if not indices:
            return None
        first, end = indices[0], indices[-1] + 1
        part = self._slice(first, end) if end - first == len(indices) else self._part(indices)
        self._pass_on_failures(part)
        part.not_before = self.not_before
        part.may_grow = False
        return part

    def kept_back(self, indices: Collection[int]) -> Batch[Source]:
        """A batch of these events, to be sent in its place later."""
        kept = self._part(sorted(indices))
        kept.alone, kept.kind, kept.generation = self.alone, self.kind, self.generation
        return kept

    def without(self, indices: Collection[int]) -> Batch[Source] | None:
        """This batch without these events, which has failed for as long as this one, and waits as long; None where
        nothing is left."""
        kept = [index for index in range(len(self.bodies)) if index not in indices]
        part = self.part(kept)
        if part is not None:
            part.alone, part.kind = self.alone, self.kind
        return part

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

    def cut(self, count: int) -> tuple[Batch[Source], Batch[Source] | None]:
        """The first events and the others, as `part` gives them; this batch is done with. The batch itself where it has
        no others.

        The others are not copied: two thousand may wait, and each request takes a few of them.
        """
        if count >= len(self.bodies):
            return self, None
        taken, left = self._slice(0, count), Batch[Source](self.scope, self.bodies, self.sources)
        left.may_grow = self.may_grow
        left.spans = self._spans(count, len(self.bodies))
        del left.bodies[:count], left.sources[:count]
        for part in (taken, left):
            self._pass_on_failures(part)
            part.not_before = self.not_before
        return taken, left

    def _slice(self, first: int, end: int) -> Batch[Source]:
        part = Batch[Source](self.scope, self.bodies[first:end], self.sources[first:end])
        part.may_grow = self.may_grow
        part.spans = self._spans(first, end)
        return part

    def _spans(self, first: int, end: int) -> list[Span[Source]]:
        """Of the events from `first` to `end` (exclusive)."""
        spans: list[Span[Source]] = []
        before = 0
        for span in self.spans:
            skipped, kept = max(0, first - before), min(span.end - span.first, end - before)
            if skipped < kept:
                spans.append(Span(span.ledger, span.first + skipped, span.first + kept))
            before += span.end - span.first
        return spans

    def _pass_on_failures(self, part: Batch[Source]) -> None:
        part.generation = self.generation
        part.failed_at = self.failed_at
        part.failing_since = self.failing_since
        part.server_errors_since = self.server_errors_since

    def _part(self, indices: Iterable[int]) -> Batch[Source]:
        places = list(self.places())
        part = Batch[Source](self.scope)
        part.may_grow = False
        for index in indices:
            part.add(self.bodies[index], *places[index], self.sources[index])
        return part


class BatchBuilder(Generic[Source]):
    """Fills batches of one scope by count and bytes; the worker takes what is old enough."""

    __slots__ = ("_batch", "_bytes", "_limits", "_scope", "generation", "opened_at")

    def __init__(self, scope: str, limits: Limits) -> None:
        self.generation = 0
        self.opened_at = 0.0
        self._scope = scope
        self._limits = limits
        self._batch: Batch[Source] | None = None
        self._bytes = 0

    def __len__(self) -> int:
        return 0 if self._batch is None else len(self._batch)

    def add_run(
        self, bodies: list[bytes], ledger: Ledger[Source], place: int, sources: list[Source], now: float
    ) -> list[Batch[Source]]:
        """Add events of records that were read one after the other, the first at `place`. Gives the batches that are
        full before them or with them."""
        full: list[Batch[Source]] = []
        separator_bytes, bytes_max = self._limits.separator_bytes, self._limits.batch_bytes_max
        first, count = 0, len(bodies)
        while first < count:
            batch = self._batch
            if batch is None:
                self._batch = batch = Batch[Source](self._scope, generation=self.generation)
                self._bytes = self._limits.envelope_bytes
                self.opened_at = now
            end, end_max = first, min(count, first + self._limits.batch_records_max - len(batch.bodies))
            total = self._bytes
            while end < end_max:
                total += len(bodies[end]) + separator_bytes
                if total > bytes_max and (end > first or batch.bodies):  # one event alone goes, however large
                    break
                self._bytes = total
                end += 1
            if end > first:
                batch.add_run(bodies[first:end], ledger, place + first, sources[first:end])
            if end < count or len(batch.bodies) >= self._limits.batch_records_max:
                full.append(batch)
                self._batch = None
            first = end
        return full

    def take(self) -> Batch[Source] | None:
        """What is there as a batch; None if nothing is."""
        batch, self._batch = self._batch, None
        return batch

    def take_all(self) -> list[Batch[Source]]:
        """The same as a list."""
        batch = self.take()
        return [] if batch is None else [batch]


class PartitionBuilder(Generic[Source]):
    """Fills batches of one scope, each with events of one partition, as `BatchBuilder` does."""

    __slots__ = ("_builders", "_limits", "_scope", "generation")

    def __init__(self, scope: str, limits: Limits) -> None:
        self.generation = 0
        self._scope = scope
        self._limits = limits
        self._builders: dict[Ledger[Source], BatchBuilder[Source]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._builders.values()))

    @property
    def opened_at(self) -> float:
        """When the oldest batch that is filling was begun."""
        return min((builder.opened_at for builder in self._builders.values() if len(builder)), default=0.0)

    def add_run(
        self, bodies: list[bytes], ledger: Ledger[Source], place: int, sources: list[Source], now: float
    ) -> list[Batch[Source]]:
        """Add events, as `BatchBuilder` does."""
        builder = self._builders.get(ledger)
        if builder is None:
            builder = self._builders[ledger] = BatchBuilder(self._scope, self._limits)
        builder.generation = self.generation
        return builder.add_run(bodies, ledger, place, sources, now)

    def take_all(self) -> list[Batch[Source]]:
        """What is there, a batch for each partition."""
        builders, self._builders = self._builders, {}
        return [batch for builder in builders.values() if (batch := builder.take()) is not None]


Builder = BatchBuilder[Source] | PartitionBuilder[Source]
