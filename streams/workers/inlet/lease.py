"""An inlet's lease: the one place from which its progress is written, a transaction at a time.

A process that takes it fences its predecessor, reads the topic of inlets to its end, and only then acts. Every
`commit` is one transaction of records, schemas, progress and audit lines. What is in memory moves only afterwards.

If the topic of inlets is deleted and made again, the progress that is known is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from streams.inlets.inlet_view import InletView, Start
from streams.inlets.progress import Closed, Counts, Entry, Head
from streams.ports.clock import Clock
from streams.ports.errors import JournalBegan
from streams.ports.kafka import Transactions
from streams.ports.state import Journal, JournalRecord, WholeJournal
from streams.state.audit import Line, StateWrittenAgain
from streams.workers.ingest import Progress

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InletTopics:
    """Names of the topics that an inlet writes, besides those of the events."""

    inlets: str
    schemas: str
    audit: str


Outgoing = tuple[str, bytes, bytes | None]
"""Topic, value and key of a record."""

INGESTED = "ingest/"
"""What the keys begin with by which `streams ingest` remembers files on the topic of state."""


class InletLease:
    """The right to write an inlet's progress, until another process takes it: then all here raises `Fenced`."""

    def __init__(
        self,
        inlet: str,
        topics: InletTopics,
        instance: str,
        start: Start | None,
        *,
        transactions: Transactions,
        journal: WholeJournal,
        by_hand: WholeJournal,
        clock: Clock,
    ) -> None:
        """Take the lease. `transactions` has fenced every predecessor; both journals are at their beginning, `by_hand`
        on the topic of state. `start` is None where the inlet begins at the moment of its first start.

        Raises `Fenced`, `TransactionAborted`, `KafkaUnreachable` and `StateError`.
        """
        self.inlet = inlet
        self.topics = topics
        self.clock = clock
        self.instance = instance
        self.view = InletView(inlet)
        self._transactions = transactions
        self._journal = journal
        self._by_hand = by_hand
        self._ingested = dict[bytes, Progress]()
        self._kept = dict[str, bytes]()
        """The inlet's records as the topic holds them, by key."""
        self._is_lost = False
        """Whether the topic was made again, and does not hold them yet."""
        for record in journal.read_whole():
            self._take(record.key, record.value)
        self._read_by_hand(by_hand.read_whole())
        before = self.view.head
        head = replace(
            before, term=before.term + 1, instance=instance, started_ms=before.started_ms or clock.epoch_ms()
        )
        self.view.start = Start.at(head.started_ms) if start is None else start
        self.commit(head=head)

    @property
    def epoch(self) -> int:
        """The number of this lease: one more than that of the lease before."""
        return self.view.head.term

    def follow(self) -> None:
        """Take what people ordered, and which files were ingested by hand. Raises as `commit` does where the topic of
        inlets was made again."""
        self._take_orders(self._read(self._journal))
        self._read_by_hand(self._read(self._by_hand))
        if self._is_lost:
            self._write_again()

    def _read(self, journal: Journal) -> Sequence[JournalRecord]:
        """What is new. Files that were ingested by hand stay known, whatever became of the topic of state."""
        try:
            return journal.poll()
        except JournalBegan as reason:
            log.warning("what is known of the topic stays known", inlet=self.inlet, reason=str(reason))
            self._is_lost = self._is_lost or journal is self._journal
            return journal.read_to_end()

    def _take_orders(self, records: Iterable[JournalRecord]) -> None:
        for record in records:
            if record.key.startswith("order/"):
                self._take(record.key, record.value)

    def _write_again(self) -> None:
        rows = {name.encode(): value for name, value in self._kept.items()}
        line = StateWrittenAgain(topic=self.topics.inlets, records=len(rows))
        self.commit(records=[(self.topics.inlets, value, name) for name, value in rows.items()], audit=[line])
        self._is_lost = False

    def ingested(self, sha256: bytes) -> Progress | None:
        """How far `streams ingest` is with a container of these bytes."""
        return self._ingested.get(sha256)

    def commit(
        self,
        entries: Mapping[str, Entry] | None = None,
        *,
        records: Iterable[Outgoing] = (),
        counts: Counts | None = None,
        head: Head | None = None,
        closed: Mapping[str, Closed] | None = None,
        orders_done: Sequence[str] = (),
        audit: Sequence[Line] = (),
    ) -> None:
        """One transaction. Raises `TransactionAborted`: then nothing changed."""
        rows: dict[str, bytes | None] = dict(self.view.rows(entries or {}))
        if closed:
            rows |= self.view.closing(closed)
        after = head or self.view.head
        if head is not None or counts is not None:
            after = after.counted(counts or Counts())
            rows[f"inlet/{self.inlet}"] = after.to_bytes()
        rows |= {f"order/{self.inlet}/{key}": None for key in orders_done}
        self._transactions.begin()
        for topic, value, record_key in records:
            self._transactions.write(topic, value, record_key)
        for key, row in rows.items():
            self._transactions.write(self.topics.inlets, row, key.encode())
        for line in audit:
            written = line.stamped(self.clock.epoch_ms(), f"inlet {self.instance}", self.inlet)
            self._transactions.write(self.topics.audit, written.to_bytes(), self.inlet.encode())
        self._transactions.commit((), None)
        for key, row in rows.items():
            self._take(key, row)

    def _take(self, key: str, value: bytes | None) -> None:
        if self.view.apply(key, value):
            if value is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = value

    def close(self) -> None:
        """Give the lease up; what is open is aborted."""
        self._transactions.close()
        self._journal.close()
        self._by_hand.close()

    def _read_by_hand(self, records: Iterable[object]) -> None:
        for record in records:
            key, value = record.key, record.value  # type: ignore[attr-defined]
            if not key.startswith(INGESTED) or "/" in (sha256 := key.removeprefix(INGESTED)):
                continue  # restamped, or once more under a label: other records
            if value is None:
                self._ingested.pop(bytes.fromhex(sha256), None)
            else:
                self._ingested[bytes.fromhex(sha256)] = Progress.from_json(value)


TakeInletLease = Callable[[], InletLease]
"""Takes the lease. Raises as `InletLease` does."""
