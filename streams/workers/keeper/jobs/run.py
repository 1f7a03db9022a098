"""A job runs: reads its letters, decides of each, and gathers what the next transaction settles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from streams.delivery.pace import BURST_SECONDS, Share, TokenBucket
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.ports.letters import Letters
from streams.state.orders import partition_of
from streams.state.records import PURGED, REJECTED, Job
from streams.state.selection import REPLAYS_MAX, LetterFacts, Selection
from streams.workers.bisection import Bisection
from streams.workers.keeper.jobs.batch import Batch
from streams.workers.keeper.jobs.letters import JobLetters
from streams.workers.keeper.jobs.outcome import Stays
from streams.workers.keeper.jobs.ways import Way
from streams.workers.keeper.lease import Lease
from streams.workers.reading.event_reader import EventReader

log = structlog.get_logger(__name__)

TAKEN_MAX = 500
"""Letters of one transaction: well under the 10 s that a transaction may take, at any size of letter."""
TAKEN_BYTES_MAX = 4_000_000
"""Values of one transaction: what is in memory twice, as letters and as records."""
LOOKED_AT_MAX = 2_000
"""Letters of one step: some 50 ms, then the keeper's other duties have their turn."""
UNCOMMITTED_MAX = 20_000
"""Where nothing is taken, the position is committed after so many: what a kill lets the successor read again."""


Place = tuple[int, int]
"""Partition number and offset of a letter."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What to commit now; `is_over`: the job ends with it. `waits`: nothing can be done at this moment."""

    batch: Batch | None
    is_over: bool
    waits: bool


class JobRun:
    """One job under one lease, from its committed positions on. Reads and decides; who commits calls `committed`."""

    def __init__(
        self,
        lease: Lease,
        job_id: str,
        job: Job,
        *,
        reader: Letters,
        events: EventReader,
        way: Way,
        share: Share | None = None,
        bisection: Bisection | None = None,
        refused: Collection[Place] = (),
    ) -> None:
        """`bisection` says how many letters a transaction may hold while a refused one is searched. Those at `refused`
        places stay where they are. `share` bounds replays beside the job's own rate: live traffic shares the sink.

        Raises `ValueError` where the job's selection cannot be read, and `OrderError` where its ends cannot."""
        self.job_id = job_id
        self.lease = lease
        self._action = job.action
        self._selection = Selection.model_validate(job.selection)
        self._events = events
        self._way = way
        way.begin()
        self._batch = Batch()
        self._done = job.done
        self._is_waiting_said = False
        self._refused = refused
        self._bisection = bisection or Bisection(TAKEN_MAX)
        self._rate_burst = TAKEN_MAX if job.rate is None else max(1, min(TAKEN_MAX, int(job.rate * BURST_SECONDS)))
        self._pace = TokenBucket(job.rate, lease.clock.monotonic())
        self._share = share if job.action == "replay" else None
        name = self._selection.letters
        ends = {partition_of(place, name): end for place, end in job.ends.items()}
        starts = {
            number: max(lease.view.cursor((name, number)), job.positions.get(f"{name}/{number}", 0)) for number in ends
        }
        self._letters = JobLetters(reader, lease.topics.dead_letters(name), starts, ends)

    def gather(self) -> Gathered:
        """Look at some letters, within the limits of a step, of a transaction, of the order and of its rate."""
        now = self.lease.clock.monotonic()
        if self._pace.seconds_until(self._burst, now) > 0.0:
            if self._share is not None:
                self._share.leave()
            return Gathered(None, is_over=False, waits=True)
        if self._share is not None and self._share.seconds_until(1, now) > 0.0:
            return Gathered(None, is_over=False, waits=True)
        looked_at_max = self._batch.looked_at + LOOKED_AT_MAX
        waits = False
        while not self._is_full and self._batch.looked_at < looked_at_max:
            letter = self._letters.next()
            if letter is None:
                break
            try:
                self._decide(letter)
            except SchemasUnavailable as error:
                self._letters.put_back(letter)
                self._say_waiting(error)
                waits = True
                break
        is_over = self._letters.is_over or self._is_limit_reached
        is_due = is_over or self._batch.taken > 0 or self._batch.looked_at >= UNCOMMITTED_MAX
        return Gathered(self._batch if is_due else None, is_over, waits)

    def committed(self) -> None:
        """What was gathered is committed."""
        now = self.lease.clock.monotonic()
        self._pace.take(self._batch.taken, now)
        if self._share is not None:
            self._share.take(self._batch.taken, now)
        self._bisection.passed()
        self._done += self._batch.taken
        self._batch = Batch()

    def close(self) -> None:
        self._letters.close()

    @property
    def _burst(self) -> int:
        return min(self._rate_burst, self._bisection.items_max)

    @property
    def _is_limit_reached(self) -> bool:
        limit = self._selection.limit
        return limit is not None and self._done + self._batch.taken >= limit

    @property
    def _is_full(self) -> bool:
        batch = self._batch
        return batch.taken >= self._burst or batch.size_bytes >= TAKEN_BYTES_MAX or self._is_limit_reached

    def _decide(self, letter: Message) -> None:
        """Take the letter, leave it out, or pass it by. Raises `SchemasUnavailable`: then nothing changed."""
        selection, batch, number = self._selection, self._batch, letter.partition()
        is_settled = self.lease.view.is_settled((selection.letters, number), letter.offset())
        if is_settled and not self._is_copied(number, letter.offset()):
            batch.look_at(letter)
            return
        facts = self._facts(letter)
        if not selection.takes(facts):
            if selection.letters == REJECTED:
                batch.look_at(letter)
            else:
                self._letters.end(number)  # only a prefix may leave
            return
        if self._action == "replay" and selection.letters == REJECTED and facts.verdict.replays >= REPLAYS_MAX:
            batch.look_at(letter)
            batch.leave_out("replays")
            return
        if (number, letter.offset()) in self._refused:
            batch.look_at(letter)
            batch.leave_out("refused")
            return
        fate = self._way.of(letter, self.job_id, is_settled)
        batch.look_at(letter)
        if isinstance(fate, Stays):
            batch.leave_out(fate.reason)
            return
        cause = facts.cause or "unknown"
        batch.take(letter, cause, fate, is_settled)
        if self._action == "purge":
            event = self._events.read_now(letter)
            batch.receipt.add(number, letter.offset(), cause, event.event_type, event.time)

    def _is_copied(self, number: int, offset: int) -> bool:
        """Whether a settled letter is meant: what a person purged never comes back."""
        return self._selection.again and not self.lease.view.is_settled((PURGED, number), offset)

    def _facts(self, letter: Message) -> LetterFacts:
        headers = letter.headers() or []
        if self._selection.needs_event_id:
            event = self._events.read(letter)
            return LetterFacts.of(headers, event.event_type, event.event_id)
        event_type = self._events.event_type(letter) if self._selection.needs_event_type else ""
        return LetterFacts.of(headers, event_type)

    def _say_waiting(self, error: SchemasUnavailable) -> None:
        """Once a job: it is tried again and again."""
        if not self._is_waiting_said:
            self._is_waiting_said = True
            log.warning("job waits for the schema registry", connector=self.lease.connector, error=str(error))
