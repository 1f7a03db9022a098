"""A keeper's lease: the one place from which a connector's state is written, a transaction at a time.

It has no time limit. A keeper that takes it fences its predecessor, reads the state to its end, and only then acts.
Every `commit` is one transaction of records, state and audit lines. The state in memory moves only afterwards.

If the state topic is deleted and made again, the keeper has what was on it of its connector, and writes it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import structlog

from streams.ports.clock import Clock
from streams.ports.errors import JournalBegan
from streams.ports.kafka import Headers, Transactions
from streams.ports.state import JournalRecord, WholeJournal
from streams.state.audit import Line, StateWrittenAgain
from streams.state.credentials import BROKER_SKEW_MS_MAX
from streams.state.kinds import KEEPER_KINDS
from streams.state.records import CREDENTIALS, REJECTED, LeaseHolder, Record, Totals, key
from streams.state.state_view import StateView, added

log = structlog.get_logger(__name__)

SomeRecord = TypeVar("SomeRecord", bound=Record)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write in a transaction; with partition -1 its key says where."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = -1


@dataclass(frozen=True, slots=True)
class LeaseTopics:
    """Names of the topics that a lease is about; `credentials` is what those of credential scopes begin with."""

    state: str
    audit: str
    connector: str
    """Where letters go back to. Empty for the source's lease: its letters are routed again."""
    rejected: str
    credentials: str

    def dead_letters(self, letters: str) -> str:
        """The topic of `rejected` or `credentials.<scope>` letters."""
        return self.rejected if letters == REJECTED else self.credentials + letters.removeprefix(CREDENTIALS)


class Lease:
    """The right to write a connector's state, until another keeper takes it: then all here raises `Fenced`, and the
    keeper drops it.
    """

    def __init__(
        self,
        connector: str,
        topics: LeaseTopics,
        instance: str,
        *,
        transactions: Transactions,
        journal: WholeJournal,
        clock: Clock,
    ) -> None:
        """Take the lease. `transactions` has fenced every predecessor; `journal` is at the state's beginning.

        Raises `Fenced`, `TransactionAborted`, `KafkaUnreachable` and `StateError`.
        """
        self.connector = connector
        self.topics = topics
        self.clock = clock
        self.view = StateView(connector)
        self._transactions = transactions
        self._journal = journal
        self._instance = instance
        self._epoch = 0
        self._broker_skew_ms: int | None = None
        self._skew_measured_at: float | None = None
        self._compared_at = 0
        """When the record was written by which the clocks were compared last, by the keeper's clock (ms)."""
        self._kept: dict[str, bytes] = {}
        """The connector's records as the topic holds them, by key."""
        self._found: set[str] | None = None
        """Keys that a topic which was made again has already; None: there is nothing to write again."""
        for record in journal.read_whole():
            self.view.apply(record.key, record.value)
            self._keep(record.key, record.value)
        previous = self.view.holder
        self.is_first = previous is None
        """Whether the topic of state knew no keeper of this connector."""
        self._epoch = 1 if previous is None else previous.epoch + 1
        self.confirm()

    @property
    def epoch(self) -> int:
        """The number of this lease: one more than that of the lease before."""
        return self._epoch

    def confirm(self) -> None:
        """Write who holds the lease (again). Raises `Fenced` where another keeper took over."""
        self.commit({key("keeper", self.connector): LeaseHolder(instance=self._instance)})

    def now(self) -> int:
        """Milliseconds since 1970."""
        return self.clock.epoch_ms()

    def follow(self) -> None:
        """Take what others wrote: suspects, requests, imports. What keepers wrote is known already.

        Raises as `commit` does where the state topic was made again.
        """
        try:
            self._take(self._journal.poll())
            if self._found is None:
                return
        except JournalBegan:
            self._found = set()
        self._take(self._journal.read_to_end())
        self._write_again(self._found)
        self._found = None

    def _take(self, records: Iterable[JournalRecord]) -> None:
        for record in records:
            kind, _, rest = record.key.partition("/")
            if rest.partition("/")[0] != self.connector:
                continue
            if self._found is not None:
                self._found.add(record.key)
            if kind not in KEEPER_KINDS:
                self._keep(record.key, record.value)
            if kind in ("suspect", "request", "imported", "withheld"):
                self.view.apply(record.key, record.value)
            elif record.value is not None:
                self._measure_skew(record.value, record.written_ms)

    def is_clock_compared_since(self, time: int) -> bool:
        """Whether the keeper's clock was compared with the broker's by a record that was written at or after this time
        (ms, by the keeper's clock)."""
        return self._compared_at >= time

    def clock_problem(self, fresh_seconds: float) -> str:
        """Why the broker's clock forbids a purge; empty where it agrees and was compared lately."""
        if self._skew_measured_at is None or self.clock.monotonic() - self._skew_measured_at > fresh_seconds:
            return "the broker's clock was not compared yet"
        if self._broker_skew_ms is None:
            return "the state topic keeps no broker time: run `streams topics apply`"
        if abs(self._broker_skew_ms) > BROKER_SKEW_MS_MAX:
            return f"the keeper's clock and the broker's differ by {abs(self._broker_skew_ms) / 1000:.0f} s"
        return ""

    def commit(
        self,
        changes: Mapping[str, Record | None],
        *,
        records: Iterable[Outgoing] = (),
        audit: Sequence[Line] = (),
    ) -> None:
        """One transaction. A change of None takes its key back. Raises `TransactionAborted`: then nothing changed."""
        now = self.now()
        values: dict[str, bytes | None] = {
            name: None if record is None else record.model_copy(update={"epoch": self._epoch, "at": now}).to_bytes()
            for name, record in changes.items()
        }
        self._transactions.begin()
        for record in records:
            self._transactions.write(record.topic, record.value, record.key, record.headers, record.partition)
        for name, value in values.items():
            self._transactions.write(self.topics.state, value, name.encode())
        for line in audit:
            written = line.stamped(now, f"keeper {self._instance}", self.connector)
            self._transactions.write(self.topics.audit, written.to_bytes(), self.connector.encode())
        self._transactions.commit((), None)
        for name, value in values.items():
            self.view.apply(name, value)
            self._keep(name, value)

    def counted(self, **changes: Mapping[str, int] | int) -> Totals:
        """The totals with these counts added and the next revision: write them with what they count."""
        totals = self.view.totals
        update: dict[str, Any] = {"revision": totals.revision + 1}
        for name, change in changes.items():
            before = getattr(totals, name)
            update[name] = before + change if isinstance(change, int) else added(before, change)
        return totals.model_copy(update=update)

    def close(self) -> None:
        """Give up the lease; what is open is aborted."""
        self._transactions.close()
        self._journal.close()

    def _keep(self, name: str, value: bytes | None) -> None:
        if name.split("/", 2)[1:2] != [self.connector]:
            return
        if value is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = value

    def _write_again(self, found: set[str]) -> None:
        """What a state topic that was made again does not have. Who keeps is written last: then sinks trust it."""
        missing = {name: value for name, value in self._kept.items() if name not in found}
        self.commit(
            {key("keeper", self.connector): LeaseHolder(instance=self._instance)},
            records=[Outgoing(self.topics.state, name.encode(), value, []) for name, value in missing.items()],
            audit=[StateWrittenAgain(topic=self.topics.state, records=len(missing))],
        )
        log.error(
            "the state topic was deleted and made again: the keeper wrote again what it knows",
            connector=self.connector,
            topic=self.topics.state,
            records=len(missing),
        )

    def _measure_skew(self, value: bytes, written_ms: int | None) -> None:
        try:
            content = orjson.loads(value)
        except orjson.JSONDecodeError:
            return  # another program's: it tells no time
        if not isinstance(content, dict) or content.get("epoch") != self._epoch:
            return  # an earlier keeper's
        at = content.get("at", 0)
        if not isinstance(at, int):
            return
        self._broker_skew_ms = None if written_ms is None else written_ms - at
        self._skew_measured_at, self._compared_at = self.clock.monotonic(), at


TakeLease = Callable[[], Lease]
"""Takes the lease. Raises as `Lease` does."""
