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
from collections.abc import Mapping, Sequence

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import RouterCounts
from streams.delivery.late_counts import Late
from streams.ports.errors import KafkaUnreachable, RecordsRefused, TransactionAborted
from streams.ports.kafka import Gap, Message, Partition, Position, Start
from streams.state.records import StateError, key
from streams.state.worker_records import Began, LastCommit, Waits
from streams.workers.reading.last_commits import LastCommits
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.reading.start_positions import beginnings
from streams.workers.reading.wait_report import partition_waits
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.router.distribution import Distribution
from streams.workers.router.metadata import MetadataWatch
from streams.workers.router.partitions import PartitionState
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.refusals import Refusals
from streams.workers.router.routes import Routes, Routing
from streams.workers.router.source_letters import SourceLetters
from streams.workers.router.subscription import Subscription

log = structlog.get_logger(__name__)

POLL_SECONDS_MAX = 0.1


class Router:
    """Routes Currents events to connector topics; one thread calls `run`, or `step` for ever."""

    def __init__(self, routing: Routing, resolver: SchemaResolver, topics: RouterTopics, ports: RouterPorts) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._consumer = ports.consumer
        self._transactions = ports.transactions
        self._meter = ports.meter
        self._states: dict[Partition, PartitionState] = {}
        self._subscription = Subscription(topics, ports.consumer)
        self._waiting = WaitingPartitions(ports.consumer)
        self._refusals = Refusals(topics.audit)
        self._letters = SourceLetters(topics, ports, self._refusals)
        self._distribution = Distribution(
            ports, Routes(routing, resolver), self._waiting, refusals=self._refusals, letters=self._letters
        )
        self._metadata = MetadataWatch(ports.connectors, ports.hand_overs)
        self._last_commits = LastCommits(
            SOURCE, ports.consumer.topic_ids, lambda: ports.source_view().last_commits, ports.clock
        )
        self._state_topic = topics.state
        self._must_commit = False

    def run(self, stop: threading.Event) -> None:
        """Route until told to stop, then leave. What fails, raises; its transaction is aborted."""
        try:
            while not stop.is_set():
                self._ports.pulse.beat("router")
                self.step()
            if self._ports.report is not None:
                self._ports.report.end()
            log.info("router stops")
        finally:
            if self._ports.deletions is not None:
                self._ports.deletions.close()
            self._transactions.close()
            self._consumer.close()

    def step(self) -> None:
        """Read, route, commit: one transaction, or none where there is nothing to do."""
        now = self._clock.monotonic()
        if self._subscription.look(now, self):
            self._tell_keeper()
        self._waiting.resume_due(now)
        if self._ports.report is not None:
            self._ports.report.step(self._waits)
        messages = self._consumer.poll(self._refusals.records_max, POLL_SECONDS_MAX)
        self._write_last_commits()
        self._hand_over_counts(now)
        if messages or self._must_commit:
            self._transact(messages, now)

    def _hand_over_counts(self, now: float) -> None:
        """Give the keeper the counts of connectors that left; a partition with too many of them waits until it has."""
        self._must_commit = self._metadata.give_away(self._states, now) or self._must_commit
        for partition, why in self._metadata.full.items():
            if partition in self._states and not self._waiting.holds(partition):
                self._waiting.hold(partition, self._states[partition].next_offset, now, "counts", why)

    def _transact(self, messages: Sequence[Message], now: float) -> None:
        """Steps 2 and 3: all of it is committed, or nothing."""
        trace = self._meter.began(messages)
        self._transactions.begin()
        try:
            self._distribution.write(messages, self._states, now, trace)
            self._letters.audit_starts(self._states)
            self._write_beginnings()
            self._letters.audit_passed()
            if self._ports.deletions is not None:
                self._ports.deletions.write(self._transactions)
            positions = self._positions()
            self._transactions.commit(positions, self._consumer)
        except RecordsRefused as error:
            self._refusals.learn(error, messages)
            self._meter.aborted()
            self._read_again()
        except TransactionAborted as error:
            log.warning("transaction aborted: its records are read again", error=str(error))
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
        self._write_last_commits(starts)  # the topics of these may be those that were deleted
        lates = self._lates([start for start in starts if start.is_made_again])
        for beginning in beginnings(starts, self._ports.copies, self._consumer):
            start = beginning.start
            self._meter.lost(beginning.lost)
            place = start.topic, start.partition
            self._states[place] = PartitionState.begun(beginning, lates.get(place))
            self._must_commit = self._must_commit or bool(beginning.why)
        self._tell_keeper()
        self._ports.pulse.joined()
        self._metadata.assigned(self._states, self._clock.monotonic())
        log.info("partitions assigned", partitions=[f"{start.topic}/{start.partition}" for start in starts])

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            if (state := self._states.pop(partition, None)) is not None:
                self._last_commits.taken_away(partition, state.next_offset, state.counts.to_metadata())
        self._tell_keeper()
        self._waiting.forget(partitions)
        log.info("partitions revoked", partitions=[f"{topic}/{number}" for topic, number in partitions])

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def _write_beginnings(self) -> None:
        """With the first commit of each topic that was made again: the counts of the topics before that it has. Another
        router may tell more of them later."""
        for place, state in self._states.items():
            if state.was_made_again:
                began = Began(metadata=state.counts.to_metadata())
                self._transactions.write(self._state_topic, began.to_bytes(), key(Began.kind, SOURCE, *place).encode())

    def _write_last_commits(self, given: Sequence[Start] = ()) -> None:
        """Counts of topics that were deleted, for the process that gets the topics that are made again."""
        commits = self._last_commits.of_deleted([(start.topic, start.partition) for start in given])
        if not commits:
            return
        try:
            self._transactions.begin()
            for place, commit in commits.items():
                record_key = key(LastCommit.kind, SOURCE, *place).encode()
                self._transactions.write(self._state_topic, commit.to_bytes(), record_key)
            self._transactions.commit((), None)
        except TransactionAborted as error:
            log.warning("could not write counts of deleted topics, will try again", error=str(error))
        else:
            self._last_commits.written(commits)

    def _tell_keeper(self) -> None:
        self._ports.keep(self._subscription.first_partition in self._states)

    def made_again(self, starts: Sequence[Start]) -> None:
        self._waiting.begin_again([(start.topic, start.partition) for start in starts])
        lates = self._lates(starts)
        for start in starts:
            place = start.topic, start.partition
            if (state := self._states.get(place)) is not None:
                state.begin_again(start, lates.get(place))
                self._must_commit = True

    def _lates(self, made_again: Sequence[Start]) -> Mapping[Partition, Late]:
        """Counts of the topics before that are not in the commits of these."""
        if not made_again:
            return {}
        try:
            return self._ports.source_view().late
        except (KafkaUnreachable, StateError) as error:
            log.warning("could not read what was told late of deleted topics", error=str(error))
            return {}

    def gap(self, gap: Gap) -> None:
        """Retention deleted what was not read: counted, said, never skipped in silence."""
        state = self._states.get((gap.topic, gap.partition))
        if state is not None:
            state.pass_gap(gap)
            self._must_commit = True
        log.error(
            "records lost to retention",
            topic=gap.topic,
            partition=gap.partition,
            from_offset=gap.position,
            to_offset=gap.earliest,
        )

    # Committing.

    def _positions(self) -> list[Position]:
        found = [state.position(partition) for partition, state in self._states.items()]
        positions = [position for position in found if position is not None]
        self._metadata.look(positions, self._clock.monotonic())
        return positions

    def _committed(self) -> None:
        self._must_commit = False
        self._letters.committed()
        counted = RouterCounts()
        for state in self._states.values():
            counted.add(state.take_pending())
        self._refusals.passed({partition: state.next_offset for partition, state in self._states.items()})
        self._meter.committed(counted)

    def _read_again(self) -> None:
        """Forget what the aborted transaction counted; what is still ours is read from the last commit."""
        self._letters.aborted()
        self._waiting.release_all()
        for partition, state in self._states.items():
            state.forget_pending()
            self._consumer.rewind(partition, state.next_offset)
