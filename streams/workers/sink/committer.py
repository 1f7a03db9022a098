"""Commits of the sink: letters, counts and offsets move together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from streams.delivery.ledger import Ledger, Parking, Progress
from streams.delivery.letter import Origin, Reason, letter_headers, origin_of
from streams.ports.clock import Clock
from streams.ports.errors import CommitRefused, RecordsRefused, TransactionAborted
from streams.ports.kafka import Consumer, Message, Position, Transactions
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.state.audit import Line
from streams.state.records import Record
from streams.workers.parts import Halving
from streams.workers.reading.passed_records import passed_line
from streams.workers.reading.start_positions import Beginning, audit_lines
from streams.workers.sink.encoders import EncoderCache

log = structlog.get_logger(__name__)

Commit = Callable[[Sequence[Position], Sequence[Parking[Message]]], None]

COMMIT_SECONDS = 0.1
"""At most ten commits a second: each is a round trip."""
COMMIT_RECORDS_MAX = 4_000
"""But no more than this waits for one: after a kill it would be sent twice."""
LETTERS_PER_TRANSACTION_MAX = 1_000
"""Bounds what one transaction writes within its time-out; the rest comes with the next commit."""

SAY_PARKED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SinkTopics:
    """Names of the topics that a sink reads and writes; `credentials` begins those of credential letters."""

    connector: str
    rejected: str
    credentials: str
    state: str
    audit: str


class SinkCommitter:
    """Commits the settled prefix of a sink's partitions, with the account as metadata.

    `on_unsendable` is called after each commit: how many letters it wrote because the mapping rejects the records.
    """

    def __init__(
        self,
        connector: str,
        topics: SinkTopics,
        *,
        consumer: Consumer,
        transactions: Transactions,
        encoders: EncoderCache,
        clock: Clock,
        meter: SinkMeter = UNMEASURED,
    ) -> None:
        self._connector = connector
        self._topics = topics
        self._topic = topics.connector
        self._consumer = consumer
        self._transactions = transactions
        self._encoders = encoders
        self._clock = clock
        self._meter = meter
        self._committed_at = clock.monotonic()
        self._first_starts: list[Beginning] = []
        self.on_unsendable: Callable[[int], None] = lambda _records: None
        self._must_restate = False
        self._passed: list[tuple[Origin, str]] = []
        self._parked: dict[str, int] = {}
        self._say_parked_at = clock.monotonic()
        self._log = log.bind(connector=connector)

    def assigned(self, begun: Sequence[Beginning]) -> None:
        """Partitions that the group never committed begin somewhere: once, and audited."""
        self._first_starts += [beginning for beginning in begun if beginning.why]

    def tell(self, suspicions: Mapping[str, Record]) -> bool:
        """Write what the keeper shall look into, by key; whether it was written."""
        try:
            self._transactions.begin()
            for name, suspicion in suspicions.items():
                self._transactions.write(self._topics.state, suspicion.to_bytes(), name.encode())
            self._transactions.commit((), None)
        except TransactionAborted as error:
            self._log.warning("suspicion not written, told again", error=str(error))
            return False
        return True

    def restate(self) -> None:
        """The counts changed without a record being settled: commit them where the offsets stand."""
        self._must_restate = True

    def commit_if_due(self, ledgers: Mapping[int, Ledger[Message]]) -> None:
        """Commit when enough is settled or settled long enough."""
        if self._first_starts and not self._audit_first_starts(ledgers):
            return
        if self._must_restate:
            self._restate(ledgers)
        settled = sum(ledger.settled for ledger in ledgers.values())
        is_old = self._clock.monotonic() - self._committed_at >= COMMIT_SECONDS
        if settled and (is_old or settled >= COMMIT_RECORDS_MAX):
            self._commit_once(ledgers, self._commit_plainly)

    def commit(self, ledgers: Mapping[int, Ledger[Message]]) -> None:
        """Commit all that is settled; in transactions, for it may run where the consumer must not be called."""
        while self._commit_once(ledgers, self._commit_transaction):
            pass

    def _commit_once(self, ledgers: Mapping[int, Ledger[Message]], commit: Commit) -> bool:
        """Commit settled prefixes; whether anything moved.

        1. Letters, counts and offsets go in one transaction; without a letter a plain commit is enough.
        2. Only after it was accepted do the ledgers move on.
        3. A refusal changes nothing: the group moved on, and the partition's new owner reads these records again.
        """
        progresses = {
            number: progress
            for number, ledger in ledgers.items()
            if (progress := ledger.progress(LETTERS_PER_TRANSACTION_MAX)) is not None
        }
        if not progresses:
            return False
        try:
            self._commit_progresses(ledgers, progresses, commit)
        except RecordsRefused as error:
            self._log.info("a letter is refused, looking for it", error=str(error))
            return self._commit_apart(ledgers, commit)
        except (CommitRefused, TransactionAborted) as error:
            self._say_moved_on(error)
            return False
        return True

    def _commit_progresses(
        self, ledgers: Mapping[int, Ledger[Message]], progresses: Mapping[int, Progress[Message]], commit: Commit
    ) -> None:
        """Raises `CommitRefused` and `TransactionAborted`: then nothing moved."""
        positions = [self._position(number, progress) for number, progress in progresses.items()]
        letters = [letter for progress in progresses.values() for letter in progress.letters]
        self._committed_at = self._clock.monotonic()
        commit(positions, letters)
        self._say_passed()
        self._say_parked(letters)
        skipped: dict[str, int] = {}
        for number, progress in progresses.items():
            for reason, count in progress.counts.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + count - ledgers[number].counts.skipped.get(reason, 0)
            ledgers[number].committed(progress)
        self._meter.committed(skipped, letters)
        self._count(letters)

    def _commit_apart(self, ledgers: Mapping[int, Ledger[Message]], commit: Commit) -> bool:
        """Commit partition by partition, half as many letters at a time, until one that Kafka refuses stands alone.

        It is passed then: counted as skipped, said with its place.
        """
        for number, ledger in ledgers.items():
            halving = Halving(LETTERS_PER_TRANSACTION_MAX)
            while (progress := ledger.progress(halving.items_max)) is not None:
                try:
                    self._commit_progresses(ledgers, {number: progress}, commit)
                except RecordsRefused as error:
                    is_found = halving.refused(len(progress.letters))
                    self._meter.aborted()
                    if self._topics.audit in error.refusals:
                        self._say_passed()
                    elif is_found:
                        [letter] = progress.letters
                        ledger.unparked(letter, "refused_by_kafka")
                        self._passed.append((self._origin(letter.source), str(error)))
                except (CommitRefused, TransactionAborted) as error:
                    self._say_moved_on(error)
                    return False
                else:
                    halving.passed()
        return True

    def _say_moved_on(self, error: Exception) -> None:
        self._log.warning("commit refused, the group moved on", error=str(error))
        self._meter.aborted()

    def _say_passed(self) -> None:
        """The records that were passed without a letter."""
        for origin, why in self._passed:
            self._log.error(
                "record passed, its dead-letter topic does not take it",
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                why=why,
            )
        self._passed.clear()

    def _say_parked(self, letters: Sequence[Parking[Message]]) -> None:
        """What was parked since it was said last, by cause: at once, then every 10 s while it goes on."""
        for letter in letters:
            self._parked[letter.cause] = self._parked.get(letter.cause, 0) + 1
        now = self._clock.monotonic()
        if self._parked and now >= self._say_parked_at:
            self._log.warning("records parked", **self._parked)
            self._parked.clear()
            self._say_parked_at = now + SAY_PARKED_SECONDS

    def _count(self, letters: Sequence[Parking[Message]]) -> None:
        unsendable = sum(letter.cause == "rejected" and not letter.attempts for letter in letters)
        if unsendable:
            self.on_unsendable(unsendable)

    def _commit_plainly(self, positions: Sequence[Position], letters: Sequence[Parking[Message]]) -> None:
        if letters or self._passed:
            self._commit_transaction(positions, letters)
        else:
            self._consumer.commit(positions)

    def _commit_transaction(self, positions: Sequence[Position], letters: Sequence[Parking[Message]]) -> None:
        self._transactions.begin()
        for letter in letters:
            self._park(letter)
        if self._passed:
            self._audit(passed_line(f"sink {self._connector}", self._connector, self._clock.epoch_ms(), self._passed))
        self._transactions.commit(positions, self._consumer)

    def _position(self, number: int, progress: Progress[Message]) -> Position:
        return Position(self._topic, number, progress.next_offset, progress.counts.to_metadata())

    def _park(self, letter: Parking[Message]) -> None:
        message = letter.source
        reason = Reason(
            cause=letter.cause,
            status=letter.status,
            detail=letter.detail,
            scope=letter.scope,
            event_type=self._encoders.event_type(message),
            attempts=letter.attempts,
            parked_at_ms=self._clock.epoch_ms(),
        )
        headers = message.headers() or []
        origin = self._origin(message)
        topic = self._topics.credentials + letter.scope if letter.cause == "credentials" else self._topics.rejected
        self._transactions.write(topic, message.value(), message.key(), letter_headers(headers, origin, reason))

    def _origin(self, message: Message) -> Origin:
        place = Origin(message.topic(), message.partition(), message.offset())
        return origin_of(message.headers() or [], place)

    def _audit(self, line: Line) -> None:
        self._transactions.write(self._topics.audit, line.to_bytes(), self._connector.encode())

    def _restate(self, ledgers: Mapping[int, Ledger[Message]]) -> None:
        self._must_restate = False
        positions = []
        for number, ledger in ledgers.items():
            positions.append(Position(self._topic, number, ledger.next_offset, ledger.counts.to_metadata()))
        try:
            if positions:
                self._consumer.commit(positions)
        except CommitRefused as error:
            self._log.warning("commit refused, the group moved on", error=str(error))
            self._must_restate = True

    def _audit_first_starts(self, ledgers: Mapping[int, Ledger[Message]]) -> bool:
        """One transaction of the audit line and the first commit: so it is said once, whatever is killed."""
        begun = [
            beginning
            for beginning in self._first_starts
            if (ledger := ledgers.get(beginning.start.partition)) is not None
            and ledger.next_offset == beginning.start.offset
        ]
        self._first_starts = begun
        if not begun:
            return True
        positions = []
        for beginning in begun:
            start = beginning.start
            metadata = ledgers[start.partition].counts.to_metadata()
            positions.append(Position(self._topic, start.partition, start.offset, metadata))
        places = {str(one.start.partition): (one.start.offset, one.why) for one in begun}
        try:
            self._transactions.begin()
            for line in audit_lines(f"sink {self._connector}", self._connector, self._clock.epoch_ms(), places):
                self._audit(line)
            self._transactions.commit(positions, self._consumer)
        except RecordsRefused as error:
            self._log.error("the audit does not take where partitions began", error=str(error), **places)
        except TransactionAborted as error:
            self._log.warning("first commit refused, the group moved on", error=str(error))
            return False
        self._first_starts = []
        return True
