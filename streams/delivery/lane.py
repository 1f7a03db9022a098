"""One credential scope of a connector: which batch goes next and what an answer makes of it.

Decides only; the sink worker sends, waits and commits. Seconds are of the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar, assert_never

from streams.delivery import gate as gates
from streams.delivery.account import Cause
from streams.delivery.backoff import parse_retry_after
from streams.delivery.batch import Batch
from streams.delivery.contract import (
    Delivered,
    Limits,
    Misconfigured,
    Refused,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.delivery.ledger import ParkedRecord
from streams.delivery.pace import InFlightLimit, TokenBucket
from streams.delivery.queues import AnyOrder, Queue

Source = TypeVar("Source")

SERVER_ERRORS_SECONDS_MAX = 600.0
"""A batch that gets 5xx for 10 min while other requests succeed holds a culprit: it is halved."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How many records an answer settled as delivered or rejected, and how many of them as rejected."""

    records: int = 0
    rejected: int = 0


NONE_JUDGED = Judged()


class Lane(Generic[Source]):
    """The batches of one scope that wait or are in flight, and its pace. Its `gate` says whether they may go, and its
    queue in which order."""

    __slots__ = (
        "_bucket",
        "_costs_one",
        "_give_up_seconds",
        "_in_flight",
        "_limit",
        "_ready",
        "_succeeded_at",
        "_vetted",
        "gate",
        "retries",
        "scope",
    )

    def __init__(
        self,
        scope: str,
        limits: Limits,
        *,
        gate: gates.Gate,
        give_up_seconds: float | None,
        bucket: TokenBucket,
        queue: Queue[Source] | None = None,
    ) -> None:
        self.scope = scope
        self.gate = gate
        self.retries = 0
        self._give_up_seconds = give_up_seconds
        self._bucket = bucket
        self._limit = InFlightLimit(limits.requests_in_flight_max)
        self._costs_one = limits.requests_per_second is not None
        self._ready: Queue[Source] = AnyOrder() if queue is None else queue
        self._in_flight: set[Batch[Source]] = set()
        self._succeeded_at: float | None = None
        self._vetted: set[str] = set()

    @property
    def in_flight(self) -> frozenset[Batch[Source]]:
        """Batches that were sent and not answered."""
        return frozenset(self._in_flight)

    @property
    def requests_in_flight(self) -> int:
        return len(self._in_flight)

    def awaits(self, now: float) -> bool:
        """Whether an answer is awaited to a batch that was sent before now."""
        return any(batch.sent_at < now for batch in self._in_flight)

    def vets(self, kind: str) -> bool:
        """Whether an event of this kind must go alone: the first after a start, or after one was refused."""
        if kind in self._vetted:
            return False
        self._vetted.add(kind)
        return True

    def offer(self, batch: Batch[Source]) -> None:
        self._ready.add(batch)

    def put_back(self, batches: Iterable[Batch[Source]]) -> None:
        """Events that were taken out wait again, before new ones."""
        self._ready.put_back(batches)

    def holds(self, batch: Batch[Source]) -> bool:
        """Whether it waits or is in flight."""
        return batch in self._in_flight or self._ready.holds(batch)

    def drop_closed(self) -> None:
        """Partitions were taken away: forget what waits of them (the next owner reads it again)."""
        self._ready.drop_closed()

    def park_waiting(self, refusal: gates.Parking) -> None:
        """The scope's credentials are INVALID: all that waits is parked."""
        for batch in self._ready.clear():
            self._park(batch, "credentials", refusal.status, refusal.detail)

    def withdraw(self, is_withdrawn: Callable[[Source], bool], reason: str) -> None:
        """Events that wait and may not be sent any more are skipped for this reason."""
        for batch in list(self._ready):
            gone = {index for index, source in enumerate(batch.sources) if is_withdrawn(source)}
            if not gone:
                continue
            for index, (ledger, place) in enumerate(batch.places()):
                if index in gone and not ledger.is_closed:
                    ledger.skipped(place, reason)
            rest = batch.without(gone)
            self.replace(batch, [] if rest is None else [rest])

    def reset(self) -> None:
        """The scope is VALID again, or the connector RUNNING: send at once, whatever an older answer asked."""
        self.gate.take(gates.Valid())
        for batch in self._ready:
            batch.not_before = 0.0

    def release(self, now: float) -> None:
        """The keeper's probe was accepted: try again, after a wait that grows while traffic is still refused."""
        self.gate.take(gates.Cleared(now))

    def next(self, now: float) -> Batch[Source] | None:
        """The batch to send now, if any: it counts as in flight from here on."""
        batch = self.due(now)
        if batch is not None:
            self.sends(batch, now)
        return batch

    def due(self, now: float) -> Batch[Source] | None:
        """The batch that may go now, if any; it still waits.

        While backing off one request at a time is tried, whatever batch is due.
        """
        if not self._ready or now < self.gate.closed_until():
            return None
        if len(self._in_flight) >= self.gate.requests_max(self._limit.value):
            return None
        batch = self._ready.due(now)
        if batch is None or self._bucket.seconds_until(self._cost(batch), now) > 0.0:
            return None
        return batch

    def sends(self, batch: Batch[Source], now: float) -> None:
        """The batch that is due goes: it counts as in flight from here on."""
        self._ready.take(batch)
        self._bucket.take(self._cost(batch), now)
        self._in_flight.add(batch)
        batch.attempts += 1
        batch.sent_at = now

    def unsent(self, batch: Batch[Source]) -> None:
        """It did not go after all, and is due again."""
        self._in_flight.discard(batch)
        self._ready.answered(batch)
        batch.attempts -= 1
        self._ready.put_back([batch])

    def goes_on(self, batch: Batch[Source], now: float, rate_used: float | None) -> None:
        """Its request was delivered, and another one has to be for the same events: it is due again."""
        self._in_flight.discard(batch)
        self._ready.answered(batch)
        self._succeeded(batch, now, rate_used)
        batch.not_before = now
        self._ready.put_back([batch])

    def replace(self, batch: Batch[Source], parts: Iterable[Batch[Source]]) -> None:
        """Parts of a batch that waits wait in its place; what is in none of them is settled."""
        self._ready.take(batch)
        self._ready.answered(batch)
        self._ready.put_back(parts)

    def due_in(self, now: float) -> float | None:
        """Seconds until `next` may give a batch, as far as time alone decides; None: an answer must come first."""
        if not self._ready or len(self._in_flight) >= self.gate.requests_max(self._limit.value):
            return None
        batch = self._ready.soonest()
        if batch is None:
            return None
        wait = max(self.gate.closed_until(), batch.not_before) - now
        return max(0.0, wait, self._bucket.seconds_until(self._cost(batch), now))

    def answered(self, batch: Batch[Source], verdict: Verdict, now: float, epoch_s: float) -> Judged:
        """Settle the batch, or queue it again, by what the answer means.

        While the connector is stopped nothing is parked: what an answer rejects is queued again.
        """
        self._in_flight.discard(batch)
        self._ready.answered(batch)
        match verdict:
            case Delivered(rate_used=rate_used):
                self._succeeded(batch, now, rate_used)
                for span in batch.spans:
                    if not span.ledger.is_closed:
                        span.ledger.delivered(span.first, span.end)
                return Judged(len(batch))
            case Refused():
                self._succeeded(batch, now)
                return self._refused(batch, verdict)
            case Undetermined(detail=detail, status=status):
                self._succeeded(batch, now)
                if len(batch) > 1:
                    self._ready.put_back(batch.halves())
                elif self._is_stopped:
                    self._ready.put_back([batch])
                else:
                    self._park(batch, "rejected", status, detail)
                    self._unvet(batch)
                    return Judged(1, 1)
            case Retry():
                self._failed(batch, verdict, now, epoch_s)
            case Unauthorised(status=status, detail=detail):
                self.gate.take(gates.CredentialsRefused(status, detail))
                self._ready.put_back([batch])
            case Misconfigured(detail=detail):
                self.gate.take(gates.Suspended(detail))
                self._ready.put_back([batch])
            case _:
                assert_never(verdict)
        return NONE_JUDGED

    def _cost(self, batch: Batch[Source]) -> int:
        """What it takes of the rate, which counts requests or records."""
        return 1 if self._costs_one else len(batch)

    @property
    def _is_stopped(self) -> bool:
        return isinstance(self.gate.state, gates.Stopped)

    def _refused(self, batch: Batch[Source], refused: Refused) -> Judged:
        """Settle each record by itself; those that go apart are sent again alone."""
        details, apart = refused.details, refused.apart
        kept_back = details.keys() - apart if self._is_stopped else frozenset[int]()
        if kept_back:
            self._ready.put_back([batch.kept_back(kept_back)])
        self._ready.put_back(batch.singles(apart))
        for index, (ledger, place) in enumerate(batch.places()):
            if ledger.is_closed or index in apart or index in kept_back:
                continue
            if index in details:
                letter = self._letter(batch, batch.sources[index], "rejected", 400, details[index])
                ledger.parked(place, letter)
            else:
                ledger.delivered(place, place + 1)
        self._unvet(batch)
        judged = len(batch) - len(apart) - len(kept_back)
        return Judged(judged, 0 if kept_back else len(details.keys() - apart))

    def _succeeded(self, batch: Batch[Source], now: float, rate_used: float | None = None) -> None:
        self._succeeded_at = now
        self.gate.take(gates.Succeeded(batch.sent_at))
        self._limit.succeeded(now - batch.sent_at, rate_used)

    def _failed(self, batch: Batch[Source], verdict: Retry, now: float, epoch_s: float) -> None:
        self.retries += 1
        retry_after = parse_retry_after(verdict.retry_after, epoch_s)
        others_succeed = (
            self._succeeded_at is not None and batch.failed_at is not None and self._succeeded_at > batch.failed_at
        )
        batch.failures += 1
        batch.failed_at = now
        if batch.failing_since is None:
            batch.failing_since = now
        if not verdict.is_server_error:
            batch.server_errors_since = None
        elif batch.server_errors_since is None:
            batch.server_errors_since = now
        self._back_off(batch, verdict, retry_after, now)
        if verdict.is_in_doubt and batch.parks_in_doubt:
            self._park_in_doubt(batch, verdict)
        elif self._is_stopped:
            self._ready.try_again(batch)
        elif self._give_up_seconds is not None and now - batch.failing_since >= self._give_up_seconds:
            self._park(batch, "gave-up", verdict.status, verdict.detail)
        elif (
            others_succeed
            and batch.server_errors_since is not None
            and now - batch.server_errors_since >= SERVER_ERRORS_SECONDS_MAX
        ):
            if len(batch) == 1:
                self._park(batch, "gave-up", verdict.status, verdict.detail)
            else:
                self._ready.put_back(batch.halves())
        else:
            self._ready.try_again(batch)

    def _park_in_doubt(self, batch: Batch[Source], verdict: Retry) -> None:
        """Also while the connector is stopped: what may have been processed already is not sent again."""
        for index, (ledger, place) in enumerate(batch.places()):
            if index in batch.parks_in_doubt and not ledger.is_closed:
                letter = self._letter(batch, batch.sources[index], "gave-up", verdict.status, verdict.detail)
                ledger.parked(place, letter)
        rest = batch.part([index for index in range(len(batch)) if index not in batch.parks_in_doubt])
        if rest is not None:
            self._ready.put_back([rest])

    def _back_off(self, batch: Batch[Source], verdict: Retry, retry_after: float | None, now: float) -> None:
        before = self.gate.back_off()
        self.gate.take(gates.Failed(batch.sent_at, now, verdict.status, verdict.detail, batch.failures, retry_after))
        after = self.gate.back_off()
        if after is None:  # held, parking or stopped: the event that ends it says when to send
            return
        if before is None or after.began > before.began:
            self._limit.throttled()
        batch.not_before = after.next_try

    def _unvet(self, batch: Batch[Source]) -> None:
        if batch.alone:
            self._vetted.discard(batch.kind)

    def _park(self, batch: Batch[Source], cause: Cause, status: int, detail: str) -> None:
        for (ledger, place), source in zip(batch.places(), batch.sources, strict=True):
            if not ledger.is_closed:
                ledger.parked(place, self._letter(batch, source, cause, status, detail))

    def _letter(
        self, batch: Batch[Source], source: Source, cause: Cause, status: int, detail: str
    ) -> ParkedRecord[Source]:
        return ParkedRecord(source, cause, status, detail, self.scope, batch.attempts)
