"""Commits of the sink: letters, counts and offsets move together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from streams.delivery.ledger import Ledger, ParkedRecord, Progress
from streams.ports.clock import Clock
from streams.ports.errors import CommitRefused, RecordsRefused, TransactionAborted
from streams.ports.kafka import Consumer, Message, Position, Transactions
from streams.ports.meters import UNMEASURED, SinkMeter
from streams.state.records import Record
from streams.workers.bisection import Bisection
from streams.workers.reading.start_positions import Beginning
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.first_starts import FirstStarts
from streams.workers.sink.letters import SinkLetters, SinkTopics

log = structlog.get_logger(__name__)

Progresses = Mapping[int, Progress[Message]]
Commit = Callable[[Progresses], None]

COMMIT_SECONDS = 0.1
"""At most ten commits a second: each is a round trip."""
COMMIT_RECORDS_MAX = 4_000
"""But no more than this waits for one: after a kill it would be sent twice."""
LETTERS_PER_TRANSACTION_MAX = 1_000
"""Bounds what one transaction writes within its time-out; the rest comes with the next commit."""


class CommitExtras(Protocol):
    """What a commit writes besides letters, counts and offsets: the memory of what was delivered, by partition."""

    def is_due(self, number: int) -> bool:
        """Whether there is anything of this partition to write."""
        ...

    def topic_of(self, number: int) -> str:
        """The mark of the partition's topic, where the places of letters are remembered; else empty."""
        ...

    def write(self, transactions: Transactions, numbers: Collection[int]) -> None:
        """Write what there is of these partitions."""
        ...

    def committed(self, numbers: Collection[int]) -> None:
        """What was written last of these is committed."""
        ...

    def refused(self, number: int, refusals: Mapping[str, str]) -> bool:
        """A transaction of this partition was refused by these topics. Whether the refused record was one of
        these, and is left out from now on."""
        ...


class NoExtras:
    """Of a destination that composes nothing."""

    def is_due(self, _number: int) -> bool:
        return False

    def topic_of(self, _number: int) -> str:
        return ""

    def write(self, _transactions: Transactions, _numbers: Collection[int]) -> None: ...
    def committed(self, _numbers: Collection[int]) -> None: ...

    def refused(self, _number: int, _refusals: Mapping[str, str]) -> bool:
        return False


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
        self._topics = topics
        self._consumer = consumer
        self._transactions = transactions
        self._clock = clock
        self._meter = meter
        self._letters = SinkLetters(connector, topics, transactions=transactions, encoders=encoders, clock=clock)
        self._first_starts = FirstStarts(connector, topics, consumer=consumer, transactions=transactions, clock=clock)
        self._committed_at = clock.monotonic()
        self.extras: CommitExtras = NoExtras()
        self.on_unsendable: Callable[[int], None] = lambda _records: None
        self._must_restate = False
        self._has_left_out = False
        """Whether a commit that is due was left to the requests that were due with it, and none came since."""
        self._log = log.bind(connector=connector)

    def assigned(self, begun: Sequence[Beginning]) -> None:
        """Partitions that the group never committed begin somewhere: once, and audited."""
        self._first_starts.assigned(begun)

    def tell(self, records: Mapping[str, Record]) -> bool:
        """Write to the state what sinks write there, by key. Returns whether it was written."""
        try:
            self._transactions.begin()
            for name, record in records.items():
                self._transactions.write(self._topics.state, record.to_bytes(), name.encode())
            self._transactions.commit((), None)
        except TransactionAborted as error:
            self._log.warning("could not write to the state, will try again", error=str(error))
            return False
        return True

    def restate(self) -> None:
        """The counts changed without a record being settled: commit them where the offsets stand."""
        self._must_restate = True

    def commit_if_due(self, ledgers: Mapping[int, Ledger[Message]], *, is_next: bool = False) -> None:
        """Commit when enough is settled or settled long enough.

        `is_next`: requests are due that `commit_now` is called for before they go. One commit is enough for both, and a
        second one right after it would wait until Kafka has ended the first. If none came, the next call commits.
        """
        if self._first_starts.is_pending and not self._first_starts.commit(ledgers):
            return
        if self._must_restate:
            self._restate(ledgers)
        settled = sum(ledger.settled for ledger in ledgers.values())
        is_old = self._clock.monotonic() - self._committed_at >= COMMIT_SECONDS
        is_due = (is_old or settled >= COMMIT_RECORDS_MAX) and (settled > 0 or any(map(self.extras.is_due, ledgers)))
        self._has_left_out = is_due and is_next and not self._has_left_out
        if is_due and not self._has_left_out:
            self._commit_once(ledgers, self._commit_plainly)

    def commit_now(self, ledgers: Mapping[int, Ledger[Message]]) -> None:
        """Commit all that is settled, where the consumer may be called; nothing while first starts are not audited."""
        if not self._first_starts.is_pending:
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
            if (progress := self._progress(number, ledger, LETTERS_PER_TRANSACTION_MAX)) is not None
        }
        if not progresses:
            return False
        try:
            self._commit_progresses(ledgers, progresses, commit)
        except RecordsRefused as error:
            self._log.info("Kafka refused a letter, searching for it", error=str(error))
            return self._commit_apart(ledgers, commit)
        except (CommitRefused, TransactionAborted) as error:
            self._say_moved_on(error)
            return False
        return True

    def _progress(self, number: int, ledger: Ledger[Message], letters_max: int) -> Progress[Message] | None:
        progress = ledger.progress(letters_max)
        return ledger.standstill() if progress is None and self.extras.is_due(number) else progress

    def _commit_progresses(
        self, ledgers: Mapping[int, Ledger[Message]], progresses: Progresses, commit: Commit
    ) -> None:
        """Raises `CommitRefused` and `TransactionAborted`: then nothing moved."""
        self._committed_at = self._clock.monotonic()
        self._has_left_out = False
        commit(progresses)
        letters = _letters(progresses)
        self._letters.committed(letters)
        skipped: dict[str, int] = {}
        for number, progress in progresses.items():
            for reason, count in progress.counts.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + count - ledgers[number].counts.skipped.get(reason, 0)
            ledgers[number].committed(progress)
        self.extras.committed(progresses.keys())
        self._meter.committed(skipped, letters)
        self._count(letters)

    def _commit_apart(self, ledgers: Mapping[int, Ledger[Message]], commit: Commit) -> bool:
        """Commit partition by partition, half as many letters at a time, until one that Kafka refuses stands alone.

        It is passed then: counted as skipped, said with its place.
        """
        for number, ledger in ledgers.items():
            bisection = Bisection(LETTERS_PER_TRANSACTION_MAX)
            while (progress := self._progress(number, ledger, bisection.items_max)) is not None:
                try:
                    self._commit_progresses(ledgers, {number: progress}, commit)
                except RecordsRefused as error:
                    is_found = bisection.refused(len(progress.letters)) or not progress.letters
                    self._meter.aborted()
                    if self._topics.audit in error.refusals:
                        self._letters.say_passed()
                    elif is_found and not self.extras.refused(number, error.refusals):
                        [letter] = progress.letters
                        ledger.unparked(letter, "refused_by_kafka")
                        self._letters.pass_over(letter, str(error))
                except (CommitRefused, TransactionAborted) as error:
                    self._say_moved_on(error)
                    return False
                else:
                    bisection.passed()
        return True

    def _say_moved_on(self, error: Exception) -> None:
        self._log.warning("commit refused: the group has rebalanced", error=str(error))
        self._meter.aborted()

    def _count(self, letters: Sequence[ParkedRecord[Message]]) -> None:
        unsendable = sum(letter.cause == "rejected" and not letter.attempts for letter in letters)
        if unsendable:
            self.on_unsendable(unsendable)

    def _commit_plainly(self, progresses: Progresses) -> None:
        """A plain commit, or a transaction where anything has to be written with it."""
        if _letters(progresses) or self._letters.has_passed or any(map(self.extras.is_due, progresses)):
            self._commit_transaction(progresses)
        else:
            self._consumer.commit(self._positions(progresses))

    def _commit_transaction(self, progresses: Progresses) -> None:
        """Letters, memory, audit, counts and offsets: all of them, or nothing."""
        self._transactions.begin()
        self._letters.write(_letters(progresses), self.extras.topic_of)
        self.extras.write(self._transactions, progresses.keys())
        self._letters.audit_passed()
        self._transactions.commit(self._positions(progresses), self._consumer)

    def _positions(self, progresses: Progresses) -> list[Position]:
        return [
            Position(self._topics.connector, number, progress.next_offset, progress.counts.to_metadata())
            for number, progress in progresses.items()
        ]

    def _restate(self, ledgers: Mapping[int, Ledger[Message]]) -> None:
        self._must_restate = False
        positions = []
        for number, ledger in ledgers.items():
            positions.append(Position(self._topics.connector, number, ledger.next_offset, ledger.counts.to_metadata()))
        try:
            if positions:
                self._consumer.commit(positions)
        except CommitRefused as error:
            self._log.warning("commit refused: the group has rebalanced", error=str(error))
            self._must_restate = True


def _letters(progresses: Progresses) -> list[ParkedRecord[Message]]:
    return [letter for progress in progresses.values() for letter in progress.letters]
