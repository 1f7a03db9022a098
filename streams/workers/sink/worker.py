"""The sink: delivers one connector's topic to its destination.

> A record is settled when it was delivered, skipped for a counted reason, or parked. Offsets are committed only past
> settled records; parking and the commit are one Kafka transaction.

One thread runs `step` for ever, and each step has the same order:

1. take the answers that came, and let each batch's lane settle it or queue it again;
2. obey the connector's state: tell the keeper what is suspected, park what is for INVALID credentials;
3. commit what is settled: letters, counts and offsets in one transaction, or a plain commit where there is no letter;
4. read records, encode them, fill batches;
5. send what is due.

So a kill between any two loses nothing: what was not committed is read again, and the keys of the first delivery make
the second harmless.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random

import structlog

from streams.delivery.account import SinkCounts
from streams.delivery.batch import Batch, BatchBuilder
from streams.delivery.contract import (
    Destination,
    Misconfigured,
    NoResponse,
    Rejected,
    Request,
    Retry,
    Skipped,
    Unauthorised,
    Verdict,
)
from streams.delivery.lane import Lane
from streams.delivery.ledger import Ledger, Parking
from streams.delivery.letter import again_of
from streams.delivery.pace import TokenBucket
from streams.ports.clock import Clock
from streams.ports.http import Answer, Transport
from streams.ports.kafka import Consumer, Gap, Message, Partition, Start
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.state.records import BackOff, Suspect, Waits
from streams.workers.reading.paused_partitions import WaitingPartitions
from streams.workers.reading.start_positions import Copies, beginnings
from streams.workers.reading.wait_report import WaitReport, epoch_ms, partition_waits
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.encoders import EncoderCache, SchemaWaits
from streams.workers.sink.restraint import Relief, Restraint
from streams.workers.sink.window import Window

log = structlog.get_logger(__name__)

POLL_RECORDS_MAX = 500
"""Small reads keep the working set in cache, and answers are looked at between them."""
POLL_SECONDS_IDLE = 0.1
POLL_SECONDS_BUSY = 0.01
BATCH_AGE_SECONDS_MAX = 0.2
"""How long a record may wait for its batch to fill: most of the latency at low rates."""
CUTS_SECONDS = 60.0
SETTLE_SECONDS_MAX = 12.0
"""When partitions go or the process stops, answers that are under way are awaited for this long: a process that stops
has 25 s for these, a commit, its keeper's last step and leaving the group."""


class Sink:
    """Delivers one connector's topic; one thread calls `run`, or `step` for ever."""

    def __init__(
        self,
        connector: str,
        topic: str,
        build: Callable[[], Destination],
        *,
        consumer: Consumer,
        committer: SinkCommitter,
        restraint: Restraint,
        keep: Callable[[bool], None],
        transport: Transport,
        encoders: EncoderCache,
        clock: Clock,
        random: Random,
        give_up_seconds: float | None,
        records_per_second: float | None,
        partition_count: Callable[[], int],
        copies: Copies,
        report: WaitReport | None = None,
        meter: SinkMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
    ) -> None:
        """`build` makes the destination with its secrets as they are now; `keep` is told whether partition 0 is ours,
        which makes this process the connector's keeper."""
        self._topic = topic
        self._build = build
        self._destination = destination = build()
        self._generation = 0
        self._consumer = consumer
        self._committer = committer
        self._restraint = restraint
        self._keep = keep
        self._copies = copies
        self._transport = transport
        self._encoders = encoders
        self._clock = clock
        self._meter = meter
        self._report = report
        self._pulse = pulse
        self._partition_count = partition_count
        self._rate = records_per_second or destination.limits.records_per_second
        self._bucket = TokenBucket(self._rate, clock.monotonic())
        self._builders = {scope: BatchBuilder[Message](scope, destination.limits) for scope in destination.scopes}
        self._lanes = {
            scope: Lane[Message](
                scope, destination.limits, give_up_seconds=give_up_seconds, random=random, bucket=self._bucket
            )
            for scope in destination.scopes
        }
        self._ledgers: dict[int, Ledger[Message]] = {}
        self._partitions = 0
        self._waiting = WaitingPartitions(consumer)
        self._window = Window(topic, self._ledgers, consumer, self._waiting)
        self._in_flight: dict[int, Batch[Message]] = {}
        self._has_settled = False
        """Whether the answers under way were awaited for the last time: the process stops."""
        self._next_ticket = 0
        self._strings_cut = 0
        self._cuts_said_at = clock.monotonic()
        self._log = log.bind(connector=connector)

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop; then settle what is under way, commit and leave. What fails, raises."""
        self._restraint.start()
        self._consumer.subscribe([self._topic], self)
        try:
            while not stop.is_set():
                self._pulse.beat("sink")
                self.step()
            self._log.info("sink stops", requests_in_flight=len(self._in_flight))
            self._settle_in_flight(set(self._in_flight.values()))
            self._has_settled = True
            self._committer.commit(self._ledgers)
            if self._report is not None:
                self._report.end()
        finally:
            self._consumer.close()

    def step(self) -> None:
        """Take answers, obey the state, commit, read, send: in this order."""
        self._take_answers(0.0)
        self._restraint.tell()
        self._take_relief(self._restraint.look())
        self._park_invalid()
        self._committer.commit_if_due(self._ledgers)
        now = self._clock.monotonic()
        if self._window.has_room() and not self._restraint.stopped:
            self._window.opened()
            self._waiting.resume_due(now)
            messages = self._consumer.poll(POLL_RECORDS_MAX, self._poll_seconds(now))
            if messages and self._restraint.invalid:
                # A letter on its way back was written after its scope was VALID again: parked by an older view it
                # would lose its place behind letters that follow it.
                self._take_relief(self._restraint.catch_up())
            self._admit(messages)
        else:
            self._wait_for_room(now)
        self._flush_aged(self._clock.monotonic())
        self._send_due()
        self._say_cuts(now)
        if self._report is not None:
            self._report.step(self._waits)

    def _waits(self) -> Waits:
        """What this process waits for now."""
        now, now_ms = self._clock.monotonic(), self._clock.epoch_ms()
        back_offs = {
            scope: BackOff(
                status=patience.status,
                detail=patience.detail,
                since=epoch_ms(patience.since, now, now_ms),
                next_try=epoch_ms(patience.next_try, now, now_ms),
            )
            for scope, lane in self._lanes.items()
            if (patience := lane.patience) is not None
        }
        waits = Waits(partitions=partition_waits(self._waiting, self._clock), back_offs=back_offs)
        self._meter.waits(waits)
        return waits

    # The group's news, inside `poll`.

    def assigned(self, starts: Sequence[Start]) -> None:
        begun = beginnings(starts, self._copies, self._consumer)
        for beginning in begun:
            start = beginning.start
            counts = SinkCounts.from_metadata(start.metadata)
            counts.lost += beginning.lost
            self._meter.lost(beginning.lost)
            self._ledgers[start.partition] = Ledger(start.offset, counts)
        self._committer.assigned(begun)
        self._pulse.joined()
        self._partitions = self._partition_count() if self._rate is not None else 0
        self._share_rate()
        if 0 in self._ledgers:
            self._keep(True)
        if self._window.is_paused:
            self._consumer.pause([(start.topic, start.partition) for start in starts])
        self._log.info("partitions assigned", partitions=sorted(start.partition for start in starts))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Await the answers that are under way for these partitions, commit, forget them."""
        going = {number for _, number in partitions if number in self._ledgers}
        ledgers = {id(self._ledgers[number]) for number in going}
        under_way = {
            batch for batch in self._in_flight.values() if any(id(span.ledger) in ledgers for span in batch.spans)
        }
        if not self._has_settled:
            self._settle_in_flight(under_way)
        self._committer.commit({number: self._ledgers[number] for number in going})
        self._forget(going)
        self._log.info("partitions revoked", partitions=sorted(going))

    def lost(self, partitions: Sequence[Partition]) -> None:
        going = {number for _, number in partitions if number in self._ledgers}
        self._forget(going)
        self._log.warning("partitions lost", partitions=sorted(going))

    def gap(self, gap: Gap) -> None:
        """Retention deleted what was not read: counted, said, never skipped in silence."""
        ledger = self._ledgers.get(gap.partition)
        if ledger is not None:
            ledger.lose(gap.earliest, max(0, gap.earliest - gap.position))
            self._committer.restate()
            self._meter.lost(max(0, gap.earliest - gap.position))
        self._log.error(
            "records lost to retention", partition=gap.partition, from_offset=gap.position, to_offset=gap.earliest
        )

    def _forget(self, numbers: Iterable[int]) -> None:
        gone = set(numbers)
        if 0 in gone:
            self._keep(False)
        for number in gone:
            self._ledgers.pop(number).close()
        for scope, builder in self._builders.items():
            batch = builder.take()
            if batch is not None:
                self._lanes[scope].offer(batch)
            self._lanes[scope].drop_closed()
        self._waiting.forget((self._topic, number) for number in gone)
        self._share_rate()

    def _share_rate(self) -> None:
        """A configured rate is the account's: each process takes its partitions' share of it."""
        if self._rate is None:
            return
        share = len(self._ledgers) / max(1, self._partitions, len(self._ledgers))
        self._bucket.set_rate(self._rate * share, self._clock.monotonic())

    # Reading.

    def _admit(self, messages: Sequence[Message]) -> None:
        """Encode records and fill batches: the hot path, without a log line or a metric per record.

        Headers are read only for a destination that must tell a copy from a duplicate.
        """
        now = self._clock.monotonic()
        encoders, ledgers, lanes, builders = self._encoders.by_header, self._ledgers, self._lanes, self._builders
        vets, waiting = self._destination.vetting is not None, self._waiting
        again, invalid = self._destination.again, self._restraint.invalid
        event_types = self._encoders.event_types
        strings_cut = self._strings_cut
        for message in messages:
            number = message.partition()
            ledger = ledgers.get(number)
            if ledger is None or (waiting.partitions and waiting.holds((self._topic, number))):
                continue
            value = message.value() or b""
            encoder, start = encoders.get(value[:10]), 10
            if encoder is None:
                try:
                    waited = waiting.waited_seconds((self._topic, number), message.offset(), now)
                    encoder, start = self._encoders.find(message, value, waited)
                except SchemaWaits as wait:
                    self._waiting.hold((self._topic, number), message.offset(), now, wait.why, str(wait))
                    continue
            place = ledger.read(message.offset(), len(value))
            encoding = encoder(value, start)
            if type(encoding) is tuple:
                scope, body, cuts = encoding
                if cuts:
                    self._strings_cut += cuts
                if again is not None and (job := again_of(message.headers() or ())):
                    body = again(body, job)
                if invalid and scope in invalid:
                    refusal = invalid[scope]
                    ledger.parked(place, Parking(message, "credentials", refusal.status, refusal.detail, scope, 0))
                    continue
                if vets and lanes[scope].vets(event_types[encoder]):
                    alone = Batch[Message](scope, alone=True, kind=event_types[encoder], generation=self._generation)
                    alone.add(body, ledger, place, message)
                    lanes[scope].offer(alone)
                    continue
                batch = builders[scope].add(body, ledger, place, message, now)
                if batch is not None:
                    lanes[scope].offer(batch)
            elif isinstance(encoding, Skipped):
                ledger.skipped(place, encoding.reason)
            else:
                assert isinstance(encoding, Rejected)
                ledger.parked(place, Parking(message, "rejected", 0, encoding.detail, "", 0))
        if self._strings_cut != strings_cut:
            self._meter.truncated(self._strings_cut - strings_cut)

    def _say_cuts(self, now: float) -> None:
        """Strings that were cut to the destination's limit are counted, and said once a minute."""
        if self._strings_cut and now - self._cuts_said_at >= CUTS_SECONDS:
            self._log.warning("strings truncated to the destination's limit", count=self._strings_cut)
            self._strings_cut, self._cuts_said_at = 0, now

    def _wait_for_room(self, now: float) -> None:
        """Let answers come. A window that stays full is a slow destination: pause, but stay in the group."""
        self._window.closed(now)
        if self._window.is_paused:
            self._admit(self._consumer.poll(POLL_RECORDS_MAX, 0.0))
        self._take_answers(POLL_SECONDS_IDLE)

    def _poll_seconds(self, now: float) -> float:
        """Short while anything is under way or soon due: answers come on another thread."""
        if self._in_flight:
            return POLL_SECONDS_BUSY
        due = [BATCH_AGE_SECONDS_MAX - (now - builder.opened_at) for builder in self._builders.values() if len(builder)]
        due += [seconds for lane in self._lanes.values() if (seconds := lane.due_in(now)) is not None]
        return max(0.001, min([POLL_SECONDS_IDLE, *due]))

    # Sending.

    def _flush_aged(self, now: float) -> None:
        for scope, builder in self._builders.items():
            if len(builder) and now - builder.opened_at >= BATCH_AGE_SECONDS_MAX:
                batch = builder.take()
                assert batch is not None
                self._lanes[scope].offer(batch)

    def _send_due(self) -> None:
        if self._restraint.stopped:
            return
        now = self._clock.monotonic()
        for lane in self._lanes.values():
            while (batch := lane.next(now)) is not None:
                if batch.request is None or batch.generation != self._generation:
                    self._encode_again(batch)
                    batch.request = self._request(batch)
                self._next_ticket += 1
                self._in_flight[self._next_ticket] = batch
                self._transport.submit(self._next_ticket, batch.request)
                self._meter.sent(self._next_ticket, batch)

    def _request(self, batch: Batch[Message]) -> Request:
        vetting = self._destination.vetting if batch.alone else None
        if vetting is not None:
            return vetting.request(batch.scope, batch.bodies[0])
        return self._destination.request(batch.scope, batch.bodies)

    def _encode_again(self, batch: Batch[Message]) -> None:
        """Other credentials since it was encoded: they may be part of what is sent (Mixpanel's token is)."""
        if batch.generation == self._generation:
            return
        batch.generation = self._generation
        for index, message in enumerate(batch.sources):
            encoder, start = self._encoders.find(message, message.value() or b"")
            encoding = encoder(message.value() or b"", start)
            assert type(encoding) is tuple, "an event that was encoded before is encoded again"
            body = encoding[1]
            again = self._destination.again
            if again is not None and (job := again_of(message.headers() or ())):
                body = again(body, job)
            batch.bodies[index] = body

    def _take_answers(self, timeout_seconds: float) -> None:
        for answer in self._transport.answers(timeout_seconds):
            batch = self._in_flight.pop(answer.ticket)
            lane = self._lanes[batch.scope]
            verdict = self._verdict(answer, batch)
            self._meter.answered(batch, answer, verdict)
            lane.answered(batch, verdict, self._clock.monotonic(), self._clock.epoch_ms() / 1000)
            if isinstance(verdict, Retry):
                self._log.warning("not delivered, sent again later", scope=lane.scope, detail=verdict.detail)
            if isinstance(verdict, Unauthorised):
                self._restraint.suspect(
                    lane.scope, Suspect(what="credentials", status=verdict.status, detail=verdict.detail)
                )
            elif isinstance(verdict, Misconfigured):
                self._restraint.stop(Suspect(what="configuration", detail=verdict.detail))

    # What the keeper decided.

    def _take_relief(self, relief: Relief) -> None:
        """Deliver again what the keeper's decisions allow, with the secrets as they are in their files now."""
        if not relief:
            return
        self._renew()
        for scope in relief.at_once:
            self._lanes[scope].reset()
        for scope in relief.after_a_wait:
            self._lanes[scope].release(self._clock.monotonic())

    def _park_invalid(self) -> None:
        """What waits for INVALID credentials is parked, unless the connector is SUSPENDED: then nothing is."""
        if self._restraint.stopped:
            return
        for scope, refusal in self._restraint.invalid.items():
            lane = self._lanes[scope]
            batch = self._builders[scope].take()
            if batch is not None:
                lane.offer(batch)
            lane.park_waiting(refusal)

    def _renew(self) -> None:
        """Read the secrets again: whoever mended them did so in their files."""
        try:
            destination = self._build()
        except ValueError as error:
            self._log.warning("secrets not read again", error=str(error))
            return
        if destination.scopes != self._destination.scopes:
            self._log.warning(
                "secrets not taken: their feeds fall into other scopes now; restart the sink to take them",
                scopes=list(self._destination.scopes),
                would_be=list(destination.scopes),
            )
            return
        self._destination = destination
        self._encoders.use(destination)
        self._generation += 1
        for builder in self._builders.values():
            builder.generation = self._generation

    def _verdict(self, answer: Answer, batch: Batch[Message]) -> Verdict:
        outcome = answer.outcome
        if not isinstance(outcome, NoResponse):
            assert batch.request is not None, "an answer to a request that was not built"
            return self._destination.interpret(outcome, batch.request, len(batch))
        return Misconfigured(outcome.detail) if outcome.is_misconfigured else Retry(outcome.detail)

    def _settle_in_flight(self, batches: Collection[Batch[Message]]) -> None:
        """Wait for the answers to these batches, as long as a graceful stop allows."""
        deadline = self._clock.monotonic() + SETTLE_SECONDS_MAX
        while self._clock.monotonic() < deadline and any(batch in batches for batch in self._in_flight.values()):
            self._take_answers(POLL_SECONDS_IDLE)
