"""Requests of a destination that composes: what of a batch goes out depends on what is remembered.

    due --compose--> request --flight is committed--> in flight --answer--> delivered: remembered with the next commit
                        skipped items are settled; those that are left over are due next

A request that has to go again goes as it is. Parts of one are composed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from streams.delivery.batch import Batch
from streams.delivery.composer import UNACCOUNTED, Change, Composer
from streams.delivery.contract import Delivered, Misconfigured, Retry, Verdict
from streams.delivery.lane import Lane
from streams.delivery.ledger import Ledger
from streams.delivery.sent_rows import Flight, flight_row
from streams.ports.kafka import Message
from streams.workers.sink.composition.composed_batch import BatchItems, ComposedBatch, Split, split
from streams.workers.sink.composition.partitions import Partitions
from streams.workers.sink.composition.remembered import Remembered
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.requests import Current, encode_again

log = structlog.get_logger(__name__)

LATER_SECONDS = 0.05
"""When a batch is composed again that cannot be now: another scope's request may change what it depends on, or its
partition's memory is opened again."""


GATHER_SECONDS = 0.05
"""After a commit for requests that went out, the next ones wait so long for others, while answers are awaited: a
commit costs as much as a request, and it does for those of every partition."""


class ComposedRequests:
    """The `Requests` of a destination with a composer."""

    def __init__(
        self,
        current: Current,
        encoders: EncoderCache,
        partitions: Partitions,
        lanes: Mapping[str, Lane[Message]],
        commit: Callable[[Mapping[int, Ledger[Message]]], None],
        is_owner: Callable[[], bool],
    ) -> None:
        """`is_owner` says whether the group has been heard of lately."""
        self._is_owner = is_owner
        self._current = current
        self._encoders = encoders
        self._partitions = partitions
        self._lanes = lanes
        self._commit = commit
        self._compositions: dict[Batch[Message], ComposedBatch] = {}
        self._committed_at = float("-inf")
        """When requests went out last for which a commit was made."""
        self._now = 0.0

    def next(self, lane: Lane[Message], now: float) -> Batch[Message] | None:
        """Composes until there is a request, or nothing is due."""
        self._now = now
        if self._gathers(now):
            return None
        while (batch := lane.due(now)) is not None:
            if batch in self._compositions:
                if batch.generation == self._current.generation:
                    lane.sends(batch, now)
                    return batch
                self._forget(batch)  # other credentials: composed again
                continue
            self._compose(lane, batch, now)
        return None

    def commits_next(self, now: float) -> bool:
        return not self._gathers(now) and any(lane.due(now) is not None for lane in self._lanes.values())

    def depart(self, batches: Sequence[Batch[Message]]) -> Sequence[Batch[Message]]:
        """Requests with events go once it is committed that they are on their way: one commit for all.

        None goes from a process that stood still: the partition may have an owner that has sent later words since.
        """
        waiting = [batch for batch in batches if self._takes_off(batch)]
        if waiting:
            self._commit(self._partitions.ledgers)
            self._committed_at = self._now
        grounded = [batch for batch in waiting if self._partitions.is_due(_number(batch))]
        if not self._is_owner():
            grounded = list(batches)
        for batch in grounded:
            self._lanes[batch.scope].unsent(batch)
        return [batch for batch in batches if batch not in grounded]

    def judged(self, lane: Lane[Message], batch: Batch[Message], verdict: Verdict, now: float) -> Verdict | None:
        composition = self._compositions.get(batch)
        if composition is None:
            return verdict
        if composition.is_before and isinstance(verdict, Delivered):
            composition.is_before = False
            self._prepare(batch, composition)
            lane.goes_on(batch, now, verdict.rate_used)
            return None
        return composition.by_index(verdict)

    def answered(self, lane: Lane[Message], batch: Batch[Message], verdict: Verdict) -> None:
        """What was delivered is remembered. What goes again as it is keeps its request."""
        composition = self._compositions.get(batch)
        if composition is None or _ledger(batch).is_closed:
            self._compositions.pop(batch, None)
            return
        number, remembered = _number(batch), self._partitions.of(_number(batch))
        delivered = composition.delivered(verdict)
        if delivered:
            remembered.change(composition.changes(delivered))
            events = composition.events(delivered)
            if events:
                last = batch.sources[composition.sent.index(max(events))].offset()
                remembered.deliver(events.values(), remembered.places.at(last))
            self._partitions.tally(number, composition.composed)
        if isinstance(verdict, Delivered) and verdict.unaccounted:
            self._partitions.counts(number).tally({UNACCOUNTED: verdict.unaccounted})
        is_in_doubt = isinstance(verdict, Retry | Misconfigured) and verdict.is_in_doubt
        composition.is_in_doubt = is_in_doubt and not composition.is_before
        composition.was_in_doubt = composition.was_in_doubt or composition.is_in_doubt
        if composition.events(composition.sent) and not (composition.is_in_doubt and lane.holds(batch)):
            remembered.change([Change(flight_row(batch.scope), None)])
        if not lane.holds(batch):
            self._settle(lane, batch, composition, delivered)

    def reconcile(self) -> None:
        """Requests whose batch was parked while it waited are no more; nor are those of partitions that went."""
        for batch, composition in list(self._compositions.items()):
            lane = self._lanes[batch.scope]
            if _ledger(batch).is_closed:
                del self._compositions[batch]
            elif not lane.holds(batch):
                self._land(batch, composition)
                self._settle(lane, batch, composition, frozenset())

    def _gathers(self, now: float) -> bool:
        """Whether those that are due wait for others."""
        return now - self._committed_at < GATHER_SECONDS and any(one.awaits(now) for one in self._lanes.values())

    # Before.

    def _compose(self, lane: Lane[Message], batch: Batch[Message], now: float) -> None:
        """Put what the composer makes of a batch that is due in the place of this batch."""
        number = _number(batch)
        remembered, composer = self._partitions.find(number), self._current.destination.composer
        assert composer is not None
        batch.not_before = now + LATER_SECONDS
        if remembered is None:
            return
        with self._partitions.guarded(number):
            encode_again(batch, self._current, self._encoders)
            self._place(lane, batch, composer, remembered, now)

    def _place(
        self, lane: Lane[Message], batch: Batch[Message], composer: Composer, remembered: Remembered, now: float
    ) -> None:
        items = BatchItems(batch, remembered.places)
        composed = composer.compose(batch.scope, items, remembered, self._partitions.now_s)
        keys = frozenset(change.key for change in composed.changes)
        if remembered.is_changing(keys, batch.scope):
            return
        batch.not_before = now
        parts = split(composed, len(items))
        taken, left = batch.cut(composed.taken)
        self._settle_skipped(taken, parts, composed.skipped)
        remembered.change(parts.changes)
        is_whole = taken is not batch and len(parts.sent) == len(taken)
        sent = taken if is_whole else taken.part(parts.sent)
        if sent is None:
            self._partitions.tally(_number(batch), composed)
        else:
            composition = ComposedBatch(
                composed,
                parts.sent,
                parts.beside,
                taken.part(parts.beside),
                is_before=composed.before is not None,
            )
            self._compositions[sent] = composition
            self._prepare(sent, composition)
            remembered.begin(batch.scope, keys)
        lane.replace(batch, [part for part in (sent, left) if part is not None])

    def _prepare(self, batch: Batch[Message], composition: ComposedBatch) -> None:
        """Give the batch the request that goes next."""
        composed, composer = composition.composed, self._current.destination.composer
        batch.request = composed.before if composition.is_before else composed.request
        if composer is not None and composer.in_doubt == "park" and not composition.is_before:
            batch.parks_in_doubt = frozenset(
                index for index, position in enumerate(composition.sent) if position in composed.events
            )

    def _settle_skipped(self, batch: Batch[Message], parts: Split, reasons: Mapping[int, str]) -> None:
        if not parts.settled:
            return
        settled = frozenset(parts.settled)
        for index, (ledger, place) in enumerate(batch.places()):
            if index in settled:
                ledger.skipped(place, reasons[index])

    def _takes_off(self, batch: Batch[Message]) -> bool:
        """Whether it has events; then it is to be committed that they are on their way."""
        composition = self._compositions[batch]
        events = composition.events(composition.sent)
        if not events or composition.is_before:
            return False
        number = _number(batch)
        if composition.is_in_doubt:
            composition.is_in_doubt = False
            self._partitions.counts(number).maybe_doubled += len(events)
        flight = Flight(batch.sources[0].offset(), batch.sources[-1].offset(), len(events))
        self._partitions.of(number).change([Change(flight_row(batch.scope), flight.to_bytes())])
        return True

    # After.

    def _settle(
        self, lane: Lane[Message], batch: Batch[Message], composition: ComposedBatch, delivered: frozenset[int]
    ) -> None:
        """The request is no more: what was skipped with it is decided, and what goes again in parts is counted.

        So are events that were parked behind what waits: if this process ends before their letters are committed, the
        next owner sends them again.
        """
        del self._compositions[batch]
        number = _number(batch)
        self._partitions.of(number).change(composition.doubts(delivered))
        self._partitions.of(number).end(batch.scope)
        if composition.is_in_doubt:
            again = sum(
                position in composition.composed.events and not ledger.is_passed_next(place)
                for position, (ledger, place) in zip(composition.sent, batch.places(), strict=True)
            )
            self._partitions.counts(number).maybe_doubled += again
        beside = composition.beside
        if beside is None:
            return
        done = {*delivered, *composition.composed.skipped}
        dropped = {
            position
            for change in composition.composed.changes
            if not done.issuperset(change.of)
            for position in change.of
        }
        for position, (ledger, place) in zip(composition.skipped, beside.places(), strict=True):
            if position not in dropped:
                ledger.skipped(place, composition.composed.skipped[position])
        again_at = [index for index, position in enumerate(composition.skipped) if position in dropped]
        if (part := beside.part(again_at)) is not None:
            lane.put_back([part])

    def _land(self, batch: Batch[Message], composition: ComposedBatch) -> None:
        """It was parked while it waited. What may have been processed goes again once its letter does."""
        events = composition.events(composition.sent)
        if not events:
            return
        remembered = self._partitions.of(_number(batch))
        remembered.change([Change(flight_row(batch.scope), None)])
        if composition.is_in_doubt:
            self._partitions.counts(_number(batch)).maybe_doubled += len(events)

    def _forget(self, batch: Batch[Message]) -> None:
        """It is to be composed again, with what was skipped beside it."""
        composition = self._compositions[batch]
        self._land(batch, composition)
        composition.is_in_doubt = False
        self._settle(self._lanes[batch.scope], batch, composition, frozenset())


def _ledger(batch: Batch[Message]) -> Ledger[Message]:
    return batch.spans[0].ledger


def _number(batch: Batch[Message]) -> int:
    """Of the partition: all of a batch is of one."""
    return batch.sources[0].partition()
