"""Commits of the sink: letters, counts and offsets move together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
import structlog

from streams.delivery.account import Held
from streams.delivery.lane import Hold
from streams.delivery.ledger import Ledger, Parking, Progress
from streams.delivery.letter import Origin, Reason, letter_headers, origin_of
from streams.workers.encoding import EncoderCache
from streams.workers.ports import (
    Clock,
    CommitRefused,
    Consumer,
    Message,
    Position,
    Start,
    TransactionAborted,
    Transactions,
)

log = structlog.get_logger(__name__)

Commit = Callable[[Sequence[Position], Sequence[Parking[Message]]], None]

COMMIT_SECONDS = 0.1
"""At most ten commits a second: each is a round trip."""
COMMIT_RECORDS_MAX = 4_000
"""But no more than this waits for one: after a kill it would be sent twice."""
LETTERS_PER_TRANSACTION_MAX = 1_000
"""Bounds what one transaction writes within its time-out; the rest comes with the next commit."""


class SinkCommitter:
    """Commits the settled prefix of a sink's partitions, with the account as metadata."""

    def __init__(
        self,
        connector: str,
        topic: str,
        rejected_topic: str,
        audit_topic: str,
        *,
        consumer: Consumer,
        transactions: Transactions,
        encoders: EncoderCache,
        clock: Clock,
    ) -> None:
        self._connector = connector
        self._topic = topic
        self._rejected_topic = rejected_topic
        self._audit_topic = audit_topic
        self._consumer = consumer
        self._transactions = transactions
        self._encoders = encoders
        self._clock = clock
        self._committed_at = clock.monotonic()
        self._first_starts: list[Start] = []
        self._held: tuple[Held, ...] = ()
        self._must_restate = False
        self._log = log.bind(connector=connector)

    def assigned(self, starts: Sequence[Start]) -> None:
        """Partitions that the group never committed begin at the earliest record: once, and audited."""
        self._first_starts += [start for start in starts if start.metadata is None]

    def hold(self, scope: str, hold: Hold) -> None:
        """Say once, in the log and in the commit's metadata, that nothing is sent to a scope any more, and why."""
        if any(held.scope == scope for held in self._held):
            return
        held = Held(scope, hold.status, self._clock.epoch_ms(), hold.detail)
        self._held += (held,)
        self._must_restate = True
        what = "credentials refused, scope held" if hold.status else "connector suspended: configuration"
        mend = "mend them" if hold.status else "mend it"
        self._log.error(
            what,
            scope=scope,
            status=hold.status,
            detail=hold.detail,
            consequence="nothing is sent, parked or committed for it; records wait in the connector's topic",
            next_step=f"{mend}, then restart the sink; streams connectors show {self._connector}",
        )

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
            return False
        if letters:
            self._log.warning("records parked", count=len(letters), topic=self._rejected_topic)
        for number, progress in progresses.items():
            ledgers[number].committed(progress)
        return True

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
        progress.counts.held = self._held
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
        self._write(self._rejected_topic, message.key(), message.value(), letter_headers(headers, origin, reason))

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
            ledger.counts.held = self._held
            positions.append(Position(self._topic, number, ledger.next_offset, ledger.counts.to_metadata()))
        try:
            if positions:
                self._consumer.commit(positions)
        except CommitRefused as error:
            self._log.warning("commit refused, the group moved on", error=str(error))
            self._must_restate = True

    def _audit_first_starts(self, ledgers: Mapping[int, Ledger[Message]]) -> bool:
        """One transaction of the audit line and the first commit: so it is said once, whatever is killed."""
        starts = [
            start
            for start in self._first_starts
            if start.partition in ledgers and ledgers[start.partition].next_offset == start.offset
        ]
        self._first_starts = starts
        if not starts:
            return True
        positions = [
            Position(self._topic, start.partition, start.offset, ledgers[start.partition].counts.to_metadata())
            for start in starts
        ]
        line = {
            "v": 1,
            "at": self._clock.epoch_ms(),
            "who": f"sink {self._connector}",
            "what": "started at the earliest record",
            "why": "the group had never committed",
            "partitions": {str(start.partition): start.offset for start in starts},
        }
        try:
            self._transactions.begin()
            self._write(self._audit_topic, self._connector.encode(), orjson.dumps(line), [])
            self._transactions.commit(positions, self._consumer)
        except TransactionAborted as error:
            self._log.warning("first commit refused, the group moved on", error=str(error))
            return False
        self._first_starts = []
        return True
