"""The router: reads the Currents topics and writes each event to the topic of every connector that wants it.

One thread runs `step` for ever. Each step is one Kafka transaction, in this order:

1. read records; rebalances happen here, and no transaction is open meanwhile;
2. for each record: find its route by the value's first bytes, count it, write it to its connectors' topics with key,
   value and foreign headers untouched and its origin added; what cannot be decoded goes to the source dead letters;
3. commit records, offsets and counts together.

So a kill anywhere leaves nothing or everything, and a read_committed reader of a connector's topic sees each event
exactly once. A refused commit means that the group moved on: what is still ours is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import RouterCounts, SourceCause
from streams.delivery.letter import ORIGIN_HEADER, Origin, Reason, letter_headers
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.walker import MISSING, PRESENT
from streams.ports.clock import Clock
from streams.ports.errors import RecordRefused, RecordsRefused, SchemasUnavailable, TransactionAborted
from streams.ports.kafka import Consumer, Gap, Headers, Message, Partition, Position, Start, Transactions
from streams.ports.meters import TRACEPARENT_HEADER, UNMEASURED, RouterMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.state.audit import Line
from streams.state.records import Waits
from streams.workers.reading.passed_records import passed_line
from streams.workers.reading.paused_partitions import WaitingPartitions
from streams.workers.reading.schema_resolver import SchemaResolver, Unknown
from streams.workers.reading.start_positions import MADE_AGAIN, Beginning, Copies, audit_lines, beginnings
from streams.workers.reading.wait_report import WaitReport, partition_waits
from streams.workers.router.refusals import Refusals
from streams.workers.router.routes import Found, Routes, Routing, source_topics

log = structlog.get_logger(__name__)

POLL_SECONDS_MAX = 0.1
TOPICS_SECONDS_FIRST = 2.0
TOPICS_FIRST_SECONDS = 120.0
"""Shortly after the start, and after each new topic, more are likely to come: they are looked for often for so long."""
TOPICS_SECONDS = 10.0
"""How often new Currents topics are looked for; they must be seen within 30 s."""
SAY_SECONDS = 30.0


@dataclass(slots=True)
class PartitionState:
    """One source partition: the next offset to commit, and the counts of all before it."""

    place: bytes
    """`topic/partition/`: what `streams-origin` begins with."""
    next_offset: int
    counts: RouterCounts
    beginning: Beginning | None
    """Until it is audited, where it has to be."""
    pending: RouterCounts = field(default_factory=RouterCounts)
    pending_offset: int = -1


class Router:
    """Routes Currents events to connector topics; one thread calls `run`, or `step` for ever."""

    def __init__(
        self,
        routing: Routing,
        *,
        patterns: Sequence[str],
        own_prefix: str,
        source_letters_topic: str,
        audit_topic: str,
        consumer: Consumer,
        transactions: Transactions,
        resolver: SchemaResolver,
        clock: Clock,
        keep: Callable[[bool], None],
        copies: Copies,
        report: WaitReport | None = None,
        meter: RouterMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
    ) -> None:
        """`keep` is told whether partition 0 of the first Currents topic is ours: its owner keeps the source's dead
        letters."""
        self._keep = keep
        self._copies = copies
        self._patterns = patterns
        self._own_prefix = own_prefix
        self._source_letters_topic = source_letters_topic
        self._audit_topic = audit_topic
        self._consumer = consumer
        self._transactions = transactions
        self._clock = clock
        self._meter = meter
        self._report = report
        self._pulse = pulse
        self._states: dict[Partition, PartitionState] = {}
        self._routes = Routes(routing, resolver)
        self._waiting = WaitingPartitions(consumer)
        self._subscribed: frozenset[str] = frozenset()
        self._looked_at: float | None = None
        self._found_at = 0.0
        self._say_waiting_at = float("-inf")
        self._must_commit = False
        self._refusals = Refusals(audit_topic)
        self._passed: list[tuple[Origin, str]] = []

    def run(self, stop: threading.Event) -> None:
        """Route until told to stop, then leave. What fails, raises; its transaction is aborted."""
        try:
            while not stop.is_set():
                self._pulse.beat("router")
                self.step()
            if self._report is not None:
                self._report.end()
            log.info("router stops")
        finally:
            self._transactions.close()
            self._consumer.close()

    def step(self) -> None:
        """Read, route, commit: one transaction, or none where there is nothing to do."""
        now = self._clock.monotonic()
        self._look_for_topics(now)
        self._waiting.resume_due(now)
        if self._report is not None:
            self._report.step(self._waits)
        messages = self._consumer.poll(self._refusals.records_max, POLL_SECONDS_MAX)
        if not messages and not self._must_commit:
            return
        trace = self._meter.began(messages)
        self._transactions.begin()
        try:
            self._route_all(messages, now, trace)
            self._audit_first_starts()
            self._audit_passed()
            positions = self._positions()
            self._transactions.commit(positions, self._consumer)
        except RecordsRefused as error:
            self._refusals.learn(error, messages)
            self._meter.aborted()
            self._read_again()
        except TransactionAborted as error:
            log.warning("transaction aborted, read again", error=str(error))
            self._meter.aborted()
            self._read_again()
        else:
            self._committed()

    def _waits(self) -> Waits:
        """What this process waits for now."""
        waits = Waits(partitions=partition_waits(self._waiting, self._clock))
        self._meter.waits(waits)
        return waits

    # The group's news, inside `poll`: no transaction is open then.

    def assigned(self, starts: Sequence[Start]) -> None:
        for beginning in beginnings(starts, self._copies, self._consumer):
            start = beginning.start
            counts = RouterCounts.from_metadata(start.metadata)
            counts.lost += beginning.lost
            self._meter.lost(beginning.lost)
            place = f"{start.topic}/{start.partition}/".encode()
            self._states[start.topic, start.partition] = PartitionState(place, start.offset, counts, beginning)
            self._must_commit = self._must_commit or bool(beginning.why)
        self._tell_keeper()
        self._pulse.joined()
        log.info("partitions assigned", partitions=[f"{start.topic}/{start.partition}" for start in starts])

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._states.pop(partition, None)
        self._tell_keeper()
        self._waiting.forget(partitions)
        log.info("partitions revoked", partitions=[f"{topic}/{number}" for topic, number in partitions])

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def _tell_keeper(self) -> None:
        self._keep(bool(self._subscribed) and (min(self._subscribed), 0) in self._states)

    def made_again(self, starts: Sequence[Start]) -> None:
        """Counts of the topic that was deleted stay: they are in no commit any more, so the next one carries them."""
        self._waiting.forget([(start.topic, start.partition) for start in starts])
        for start in starts:
            state = self._states.get((start.topic, start.partition))
            if state is not None:
                state.counts.lost += state.pending.lost
                state.next_offset, state.beginning = start.offset, Beginning(start, MADE_AGAIN)
                state.pending, state.pending_offset = RouterCounts(), -1
                self._must_commit = True

    def gap(self, gap: Gap) -> None:
        """Retention deleted what was not read: counted, said, never skipped in silence."""
        state = self._states.get((gap.topic, gap.partition))
        if state is not None:
            state.pending.lost += max(0, gap.earliest - gap.position)
            state.pending_offset = max(state.pending_offset, gap.earliest)
            self._must_commit = True
        log.error(
            "records lost to retention",
            topic=gap.topic,
            partition=gap.partition,
            from_offset=gap.position,
            to_offset=gap.earliest,
        )

    # Routing.

    def _look_for_topics(self, now: float) -> None:
        if self._looked_at is None:
            self._found_at = now
        else:
            is_early = now - self._found_at < TOPICS_FIRST_SECONDS
            if now - self._looked_at < (TOPICS_SECONDS_FIRST if is_early else TOPICS_SECONDS):
                return
        self._looked_at = now
        topics = source_topics(self._consumer.topics(), self._patterns, self._own_prefix)
        if topics and not topics <= self._subscribed:
            self._found_at = now
            self._subscribed |= topics
            self._tell_keeper()
            self._consumer.subscribe(sorted(self._subscribed), self)
            log.info("reading topics", count=len(self._subscribed))
        elif not self._subscribed:
            log.warning("no Currents topic yet", patterns=list(self._patterns))

    def _route_all(self, messages: Sequence[Message], now: float, trace: bytes) -> None:
        """The hot path: no log line and no metric per record."""
        states, routes, waiting = self._states, self._routes.by_header, self._waiting
        write, refused = self._transactions.write, self._refusals.known
        refusals: dict[str, str] = {}
        topic, number = "", -1
        state: PartitionState | None = None
        for message in messages:
            if message.partition() != number or message.topic() != topic:  # records come in runs of one partition
                topic, number = message.topic(), message.partition()
                state = states.get((topic, number))
            if state is None or (waiting.partitions and waiting.holds((topic, number))):
                continue
            offset = message.offset()
            value = message.value() or b""
            route, start = routes.get(value[:SINGLE_OBJECT_HEADER_BYTES]), SINGLE_OBJECT_HEADER_BYTES
            added: Headers = []
            if route is None:
                found = self._find_route(message, state, now)
                if found is None:
                    continue
                route, start, added = found
            state.pending_offset = offset + 1
            state.pending.read += 1
            if route.skip is not None:
                state.pending.skip(route.skip)
                continue
            presence = route.presence(value, start)
            if presence == PRESENT:
                headers: Headers = message.headers() or []
                headers.append((ORIGIN_HEADER, state.place + b"%d" % offset))
                headers += added
                if trace and not any(name == TRACEPARENT_HEADER for name, _ in headers):
                    headers.append((TRACEPARENT_HEADER, trace))
                key = message.key()
                routed = state.pending.routed
                for connector, connector_topic in route.targets:
                    if refused and (why := self._refusals.why((topic, number, offset), connector_topic)):
                        refusals[connector] = why
                        continue
                    try:
                        write(connector_topic, value, key, headers)
                    except RecordRefused as refusal:
                        refusals[connector] = refusal.why
                        continue
                    routed[connector] = routed.get(connector, 0) + 1
                if refusals:
                    self._park_refused(message, state, refusals)
                    refusals.clear()
            elif presence == MISSING:
                state.pending.skip("no_external_user_id")
            else:
                self._park(message, state, "undecodable", "undecodable: the datum does not fit its schema")

    def _find_route(self, message: Message, state: PartitionState, now: float) -> Found | None:
        """The route of a value that the cache does not know; None if it was parked, or its partition waits."""
        place = (message.topic(), message.partition())
        try:
            waited = self._waiting.waited_seconds(place, message.offset(), now)
            found = self._routes.find(message, message.topic(), waited)
        except SchemasUnavailable as error:
            self._say_waiting(error, now)
            self._waiting.hold(place, message.offset(), now, "registry", str(error))
            return None
        if isinstance(found, Found):
            return found
        if isinstance(found, Unknown):
            if not found.is_final:
                self._waiting.hold(place, message.offset(), now, "schema", found.detail)
                return None
            self._park(message, state, "unknown-schema", found.detail)
        else:
            self._park(message, state, "undecodable", found.detail)
        state.pending.read += 1
        state.pending_offset = message.offset() + 1
        return None

    def _say_waiting(self, error: SchemasUnavailable, now: float) -> None:
        """At once, then every 30 s: it is asked each second, for each partition."""
        if now >= self._say_waiting_at:
            self._say_waiting_at = now + SAY_SECONDS
            log.warning("schema registry does not answer, waiting", error=str(error))

    def _park_refused(self, message: Message, state: PartitionState, refusals: Mapping[str, str]) -> None:
        """The letter names the connectors that did not get the record: a replay is for those alone."""
        why = "; ".join(dict.fromkeys(refusals.values()))
        self._park(message, state, "refused", f"{', '.join(refusals)}: {why}", ",".join(refusals))

    def _park(
        self, message: Message, state: PartitionState, cause: SourceCause, detail: str, owed_to: str = ""
    ) -> None:
        origin = Origin(message.topic(), message.partition(), message.offset())
        reason = Reason(cause, 0, detail, owed_to, "", 0, self._clock.epoch_ms())
        read = [*(message.headers() or []), (ORIGIN_HEADER, origin.to_header())]
        headers = letter_headers(read, origin, reason)
        why = self._refusals.why((origin.topic, origin.partition, origin.offset), self._source_letters_topic)
        if not why:
            try:
                self._transactions.write(self._source_letters_topic, message.value(), message.key(), headers)
            except RecordRefused as refusal:
                why = refusal.why
            else:
                state.pending.undecodable += 1
                return
        state.pending.skip("refused_by_kafka")
        self._passed.append((origin, f"{detail}; as a dead letter: {why}" if cause == "refused" else why))

    # Committing.

    def _audit_first_starts(self) -> None:
        """The audit line goes in the transaction of the first commit: so it is said once, whatever is killed."""
        begun = [state.beginning for state in self._states.values() if state.beginning and state.beginning.why]
        places = {f"{one.start.topic}/{one.start.partition}": (one.start.offset, one.why) for one in begun}
        for line in audit_lines("router", SOURCE, self._clock.epoch_ms(), places):
            self._audit(line)

    def _audit_passed(self) -> None:
        """Which records no topic took: in the transaction that passes them."""
        if self._passed:
            self._audit(passed_line("router", SOURCE, self._clock.epoch_ms(), self._passed))

    def _audit(self, line: Line) -> None:
        """What the audit itself does not take is in the log."""
        if self._refusals.is_audit_refused:
            log.error("the audit does not take a line", **line.to_json())
            return
        try:
            self._transactions.write(self._audit_topic, line.to_bytes(), b"router")
        except RecordRefused as refusal:
            log.error("the audit does not take a line", error=refusal.why, **line.to_json())  # noqa: TRY400

    def _positions(self) -> list[Position]:
        positions = []
        for (topic, number), state in self._states.items():
            if state.pending_offset < 0 and not (state.beginning and state.beginning.why):
                continue
            counts = state.counts.copy()
            counts.add(state.pending)
            offset = max(state.next_offset, state.pending_offset)
            positions.append(Position(topic, number, offset, counts.to_metadata()))
        return positions

    def _committed(self) -> None:
        self._must_commit = False
        for origin, why in self._passed:
            log.error(
                "record passed, Kafka does not take it",
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                why=why,
            )
        self._passed.clear()
        counted = RouterCounts()
        for state in self._states.values():
            if state.pending_offset >= 0:
                counted.add(state.pending)
                state.next_offset = max(state.next_offset, state.pending_offset)
                state.counts.add(state.pending)
                state.pending = RouterCounts()
                state.pending_offset = -1
            state.beginning = None
        self._refusals.passed({partition: state.next_offset for partition, state in self._states.items()})
        self._meter.committed(counted)

    def _read_again(self) -> None:
        """Forget what the aborted transaction counted; what is still ours is read from the last commit."""
        self._passed.clear()
        self._waiting.release_all()
        for partition, state in self._states.items():
            state.pending = RouterCounts()
            state.pending_offset = -1
            self._consumer.rewind(partition, state.next_offset)
