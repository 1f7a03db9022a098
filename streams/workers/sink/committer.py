"""Commits of the sink: letters, counts and offsets move together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson
import structlog

from streams.delivery.ledger import Ledger, Parking, Progress
from streams.delivery.letter import Origin, Reason, letter_headers, origin_of
from streams.ports.clock import Clock
from streams.ports.errors import CommitRefused, TransactionAborted
from streams.ports.kafka import Consumer, Message, Position, Transactions
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.state.records import Record
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

    `on_commit` is told how many records were delivered or rejected by each commit, and how many of them rejected.
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
        self.on_commit: Callable[[int, int], None] = lambda _settled, _rejected: None
        self._must_restate = False
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
                self._write(self._topics.state, name.encode(), suspicion.to_bytes(), [])
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

        1. Letters, counts and offsets go in one transaction; without a letter a plain commit carries the rest.
        2. Only after it was accepted do the ledgers move on.
        3. A refusal moves nothing: the group moved on, and whoever owns the partition reads these records again.
        """
        progresses = {
            number: progress
            for number, ledger in ledgers.items()
            if (progress := ledger.progress(LETTERS_PER_TRANSACTION_MAX)) is not None
        }
        if not progresses:
            return False
        positions = [self._position(number, progress) for number, progress in progresses.items()]
        letters = [letter for progress in progresses.values() for letter in progress.letters]
        self._committed_at = self._clock.monotonic()
        try:
            commit(positions, letters)
        except (CommitRefused, TransactionAborted) as error:
            self._log.warning("commit refused, the group moved on", error=str(error))
            self._meter.aborted()
            return False
        self._say_parked(letters)
        skipped: dict[str, int] = {}
        for number, progress in progresses.items():
            for reason, count in progress.counts.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + count - ledgers[number].counts.skipped.get(reason, 0)
            ledgers[number].committed(progress)
        self._meter.committed(skipped, letters)
        self._count(letters, sum(progress.records for progress in progresses.values()))
        return True

    def _say_parked(self, letters: Sequence[Parking[Message]]) -> None:
        """What was parked since it was said last, by cause: at once, then every 10 s while it goes on."""
        for letter in letters:
            self._parked[letter.cause] = self._parked.get(letter.cause, 0) + 1
        now = self._clock.monotonic()
        if self._parked and now >= self._say_parked_at:
            self._log.warning("records parked", **self._parked)
            self._parked.clear()
            self._say_parked_at = now + SAY_PARKED_SECONDS

    def _count(self, letters: Sequence[Parking[Message]], records: int) -> None:
        rejected = sum(letter.cause == "rejected" for letter in letters)
        others = len(letters) - rejected
        self.on_commit(records - others, rejected)

    def _commit_plainly(self, positions: Sequence[Position], letters: Sequence[Parking[Message]]) -> None:
        if letters:
            self._commit_transaction(positions, letters)
        else:
            self._consumer.commit(positions)

    def _commit_transaction(self, positions: Sequence[Position], letters: Sequence[Parking[Message]]) -> None:
        self._transactions.begin()
        for letter in letters:
            self._park(letter)
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
        origin = origin_of(headers, Origin(message.topic(), message.partition(), message.offset()))
        topic = self._topics.credentials + letter.scope if letter.cause == "credentials" else self._topics.rejected
        self._write(topic, message.key(), message.value(), letter_headers(headers, origin, reason))

    def _write(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        while True:
            try:
                self._transactions.produce(topic, value, key, headers=list(headers))
            except BufferError:
                self._transactions.flush_queue()
            else:
                return

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
            for line in audit_lines(f"sink {self._connector}", self._clock.epoch_ms(), places):
                self._write(self._topics.audit, self._connector.encode(), orjson.dumps(line), [])
            self._transactions.commit(positions, self._consumer)
        except TransactionAborted as error:
            self._log.warning("first commit refused, the group moved on", error=str(error))
            return False
        self._first_starts = []
        return True
