"""Writes what vendors send to Kafka, and lets each request be answered once it is there.

One thread runs `step` for ever. Each step is one transaction of all requests that came within 10 ms, in this order:

1. take requests and turn each body into records, one at a time; no transaction is open meanwhile;
2. write the records of all, pages to every partition, and the counts with them;
3. commit, and only then let them be answered.

So a kill anywhere leaves nothing or everything of a request, and a sender that got no answer sends it again: ids are
the same then, and the sink does nothing twice.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from streams.delivery.received import ReceivedCounts, row_key
from streams.ports.clock import Clock
from streams.ports.errors import KafkaUnreachable, RecordsRefused, TransactionAborted
from streams.ports.kafka import Transactions
from streams.ports.meters import UNMEASURED, ReceiverMeter
from streams.ports.pulse import NO_PULSE, Pulse
from streams.wayback.reception import KeysUnreadable
from streams.wayback.records import Malformed, Page, Record
from streams.workers.bisection import write_in_parts
from streams.workers.receiver.currents import REPEATED, UNDECODABLE, CurrentsIntake
from streams.workers.receiver.requests import (
    CurrentsRequest,
    NotWritten,
    Outgoing,
    Prepared,
    ReceivedRequest,
    as_malformed,
    outgoing_of,
    prepared,
    received,
)

log = structlog.get_logger(__name__)

JOIN_SECONDS = 0.010
"""Requests that come within this time share a transaction: a commit costs about as much."""
BATCH_BYTES_MAX = 8_000_000
"""Of values in one transaction; more wait for the next. It is open for less than two seconds then."""
REFUSED = "refused_by_kafka"
IDLE_SECONDS = 0.5
DRAIN_SECONDS_MAX = 15.0
"""After the order to stop, for what is in hand."""
DRAIN_STEP_SECONDS = 0.05
AWAY_SECONDS = 1.0
"""Between two attempts to reach Kafka again."""


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """A producer that shut out its predecessor, and what that one had counted, by connector."""

    transactions: Transactions
    counts: dict[str, ReceivedCounts]


@dataclass(frozen=True, slots=True)
class ReceiverTopics:
    """Where records go, by connector, and where the counts are."""

    connectors: Mapping[str, str]
    received: str


class ReceiverWriter:
    """The loop. Any thread may `submit`; one runs it."""

    def __init__(
        self,
        topics: ReceiverTopics,
        instance: str,
        *,
        connect: Callable[[], KafkaConnection],
        partitions_of: Callable[[str], int],
        clock: Clock,
        meter: ReceiverMeter = UNMEASURED,
        pulse: Pulse = NO_PULSE,
        currents: CurrentsIntake | None = None,
    ) -> None:
        """`connect` and `partitions_of` raise `KafkaUnreachable`; the first is called here once.

        `currents` is for HTTP inlets, where there are any.
        """
        self._topics = topics
        self._instance = instance
        self._connect = connect
        self._partitions_of = partitions_of
        self._clock = clock
        self._meter = meter
        self._pulse = pulse
        self._currents = currents
        self._waiting: queue.SimpleQueue[ReceivedRequest | CurrentsRequest] = queue.SimpleQueue()
        self._connection = connect()
        self.is_away = False
        """Whether Kafka was out of reach at the last attempt: then nobody need wait for it."""

    def submit(self, request: ReceivedRequest | CurrentsRequest) -> None:
        """Take a request; its `answer` is a `Reception`, or raises `NotWritten` or `KeysUnreadable`."""
        self._waiting.put(request)

    def run(self, stop: threading.Event, has_requests: Callable[[], bool]) -> None:
        """Write until told to stop, then what is in hand. What fails for good, raises."""
        try:
            self._pulse.joined()
            while not stop.is_set():
                self._pulse.beat("receiver")
                self.step(IDLE_SECONDS)
            until = self._clock.monotonic() + DRAIN_SECONDS_MAX
            while has_requests() and self._clock.monotonic() < until:
                self.step(DRAIN_STEP_SECONDS)
            log.info("receiver stops")
        finally:
            self._connection.transactions.close()
            self._refuse_waiting("the receiver is stopping")

    def step(self, wait_seconds: float) -> None:
        """One transaction, or none where nothing comes within `wait_seconds`."""
        if self.is_away and not self._came_back():
            self._refuse_waiting("Kafka does not answer")
            return
        batch = self._gather(wait_seconds)
        try:
            write_in_parts(batch, self._write, self._write_apart)
        except TransactionAborted as error:
            log.warning("transaction aborted: its senders are told to try again", error=str(error))
            if self._currents is not None:
                self._currents.forget_topics()  # one may have been deleted
            self._meter.aborted()
            _refuse(batch, "the transaction was aborted")
        except KafkaUnreachable as error:
            self._left(error)
            _refuse(batch, "Kafka does not answer")
        except BaseException:  # whatever ends the process, senders must get an answer
            _refuse(batch, "the receiver is stopping")
            raise

    # Taking requests.

    def _gather(self, wait_seconds: float) -> list[Prepared]:
        """What came within `JOIN_SECONDS` of the first, as records. What needs no record is answered at once."""
        batch: list[Prepared] = []
        size = 0
        until: float | None = None
        while size < BATCH_BYTES_MAX:
            left = wait_seconds if until is None else until - self._clock.monotonic()
            try:
                request = self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
            except queue.Empty:
                break
            until = self._clock.monotonic() + JOIN_SECONDS if until is None else until
            # From here on it cannot be taken back; who went away before is left out.
            if not request.answer.set_running_or_notify_cancel():
                continue
            one = self._prepared(request)
            if one is not None:
                batch.append(one)
                size += one.size_bytes
        return batch

    def _prepared(self, request: ReceivedRequest | CurrentsRequest) -> Prepared | None:
        try:
            one = self._as_records(request)
        except (KeysUnreadable, NotWritten) as error:
            request.answer.set_exception(error)
        except KafkaUnreachable as error:
            self._left(error)
            request.answer.set_exception(NotWritten("Kafka does not answer"))
        else:
            if one.outgoing or one.skipped:
                return one
            request.answer.set_result(one.reception)
        return None

    def _as_records(self, request: ReceivedRequest | CurrentsRequest) -> Prepared:
        if isinstance(request, CurrentsRequest):
            assert self._currents is not None
            return self._currents.prepared(request)
        topic = self._topics.connectors[request.connector]
        return prepared(request, topic, lambda: self._partitions_of(topic))

    # Writing.

    def _write(self, batch: Sequence[Prepared]) -> None:
        """One transaction for all of these, then their answers."""
        self._announce(batch)
        counts: dict[str, ReceivedCounts] = {}
        for one in batch:
            more = ReceivedCounts(one.received, one.skipped)
            counts[one.request.account] = counts.get(one.request.account, ReceivedCounts()).plus(more)
        self._commit([record for one in batch for record in one.outgoing], counts)
        for one in batch:
            self._answer(one, one.received, one.skipped)

    def _answer(self, one: Prepared, received: int, skipped: Mapping[str, int]) -> None:
        request = one.request
        if isinstance(request, CurrentsRequest):
            self._meter.inlet_written(request.inlet, received, skipped)
        else:
            self._meter.written(request.connector, request.entry_name, received, skipped)
        request.answer.set_result(one.reception)

    def _announce(self, batch: Sequence[Prepared]) -> None:
        """New schemas first, in a transaction of their own: no reader sees a record before its schema."""
        if self._currents is None or not (records := self._currents.new_schemas(batch)):
            return
        self._commit(records, {})
        self._currents.announced(records)

    def _commit(self, outgoing: Iterable[Outgoing], counts: Mapping[str, ReceivedCounts]) -> None:
        transactions, known = self._connection.transactions, self._connection.counts
        new = {name: known.get(name, ReceivedCounts()).plus(more) for name, more in counts.items()}
        transactions.begin()
        for topic, key, value, partition, headers in outgoing:
            transactions.write(topic, value, key, headers, partition)
        for account, row in new.items():
            transactions.write(self._topics.received, row.to_json(), row_key(account, self._instance))
        try:
            transactions.commit((), None)
        except RecordsRefused as error:
            if self._topics.received in error.refusals:  # no record of a vendor is to blame
                raise TransactionAborted(str(error)) from error
            raise
        known.update(new)

    def _write_apart(self, one: Prepared, _error: RecordsRefused) -> None:
        """A request with a record that Kafka does not take: the others are written, in as few transactions as it needs.

        Its answer still means that all of it is in Kafka. Without one the sender repeats it, with the same ids.
        """
        if isinstance(one.request, CurrentsRequest):
            self._events_apart(one, one.request)
        else:
            self._records_apart(one, one.request)

    def _records_apart(self, one: Prepared, request: ReceivedRequest) -> None:
        topic = self._topics.connectors[request.connector]
        taken = received(request).taken
        records = [] if taken is None else taken.records
        written, skipped = 0, one.skipped.copy()

        def write(part: Sequence[Record]) -> None:
            nonlocal written
            outgoing = [each for item in part for each in outgoing_of(item, topic, lambda: self._partitions_of(topic))]
            self._commit(outgoing, {request.account: ReceivedCounts(len(outgoing))})
            written += len(outgoing)

        def refuse(record: Record, error: RecordsRefused) -> None:
            if not isinstance(record, Malformed | Page):
                try:
                    write([as_malformed(record, f"Kafka does not take it: {error.refusals.get(topic, '')}")])
                except RecordsRefused:
                    """Not even so."""
                else:
                    return
            skipped[REFUSED] += 1
            log.error("a received record is skipped: Kafka refuses it", topic=topic, why=str(error))

        write_in_parts(records, write, refuse)
        if skipped:
            self._commit([], {request.account: ReceivedCounts(0, skipped)})
        self._answer(one, written, skipped)

    def _events_apart(self, one: Prepared, request: CurrentsRequest) -> None:
        """What an event's topic does not take becomes a letter."""
        assert self._currents is not None
        currents = self._currents
        counted, passed = ReceivedCounts(), 0

        def write(part: Sequence[Outgoing]) -> None:
            nonlocal counted
            letters = sum(map(currents.is_letter, part))
            more = ReceivedCounts(len(part) - letters, +Counter({UNDECODABLE: letters}))
            self._commit(part, {request.account: more})
            counted = counted.plus(more)

        def refuse(record: Outgoing, error: RecordsRefused) -> None:
            nonlocal passed
            if not currents.is_letter(record):
                try:
                    write([currents.refused(request, record, error)])
                except RecordsRefused:
                    """Not even so."""
                else:
                    return
            passed += 1
            log.error("a received event is skipped: Kafka refuses it", topic=record[0], why=str(error))

        write_in_parts(one.outgoing, write, refuse)
        rest = +Counter({REPEATED: one.skipped[REPEATED], REFUSED: passed})
        if rest:
            self._commit([], {request.account: ReceivedCounts(0, rest)})
        self._answer(one, counted.received, counted.skipped + rest)

    # Kafka out of reach.

    def _left(self, error: KafkaUnreachable) -> None:
        if not self.is_away:
            log.error("Kafka does not answer: senders are told to try again", error=str(error))
        self.is_away = True

    def _came_back(self) -> bool:
        """A new producer shuts out the one whose last commit is in doubt, and the counts are read again."""
        try:
            connection = self._connect()
        except KafkaUnreachable:
            return False
        self._connection.transactions.close()
        self._connection = connection
        self.is_away = False
        log.info("Kafka answers again")
        return True

    def _refuse_waiting(self, why: str) -> None:
        while True:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                return
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(NotWritten(why))


def _refuse(batch: Sequence[Prepared], why: str) -> None:
    """Those that were not answered: a part of the batch may be in Kafka already."""
    for one in batch:
        if not one.request.answer.done():
            one.request.answer.set_exception(NotWritten(why))
