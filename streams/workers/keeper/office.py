"""A keeper's office: the one place from which a connector's state is written, a transaction at a time.

A keeper that opens it fences its predecessor, reads the state to its end, and only then acts. Every `commit` is one
transaction of records, state and audit lines; the state in memory moves only after it was accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import structlog

from streams.ports.clock import Clock
from streams.ports.kafka import Headers, Transactions
from streams.ports.state import Journal
from streams.state.audit import Line
from streams.state.credentials import BROKER_SKEW_MS_MAX
from streams.state.records import CREDENTIALS, REJECTED, Record, Term, Totals, key
from streams.state.standing import Standing, added

log = structlog.get_logger(__name__)

SomeRecord = TypeVar("SomeRecord", bound=Record)


class BeginAgain(Exception):
    """What tasks remember of dead letters means nothing any more: each begins again from the committed state."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write in a transaction."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class OfficeTopics:
    """Names of the topics of an office; `credentials` is what those of credential scopes begin with."""

    state: str
    audit: str
    connector: str
    """Where letters go back to. Empty for the source's office: its letters are routed again."""
    rejected: str
    credentials: str

    def dead_letters(self, letters: str) -> str:
        """The topic of `rejected` or `credentials.<scope>` letters."""
        return self.rejected if letters == REJECTED else self.credentials + letters.removeprefix(CREDENTIALS)


class Office:
    """One term of office. Raises `Fenced` where another keeper took over: then drop it."""

    def __init__(
        self,
        connector: str,
        topics: OfficeTopics,
        instance: str,
        *,
        transactions: Transactions,
        journal: Journal,
        clock: Clock,
    ) -> None:
        """Take office. `transactions` has fenced every predecessor; `journal` is at the state's beginning.

        Raises `Fenced`, `TransactionAborted`, `KafkaUnreachable` and `StateError`.
        """
        self.connector = connector
        self.topics = topics
        self.clock = clock
        self.standing = Standing(connector)
        self._transactions = transactions
        self._journal = journal
        self._instance = instance
        self._epoch = 0
        self._broker_skew_ms: int | None = None
        self._skew_measured_at: float | None = None
        for record in journal.read_to_end():
            self.standing.apply(record.key, record.value)
        previous = self.standing.term
        self._epoch = 1 if previous is None else previous.epoch + 1
        self.confirm()

    @property
    def epoch(self) -> int:
        """The number of this term."""
        return self._epoch

    def confirm(self) -> None:
        """Write the term (again). Raises `Fenced` where another keeper took over."""
        self.commit({key("keeper", self.connector): Term(instance=self._instance)})

    def now(self) -> int:
        """Milliseconds since 1970."""
        return self.clock.epoch_ms()

    def follow(self) -> None:
        """Take what others wrote: suspects, requests, imports. What keepers wrote is known already."""
        for record in self._journal.poll():
            kind, _, rest = record.key.partition("/")
            if rest.partition("/")[0] != self.connector:
                continue
            if kind in ("suspect", "request", "imported"):
                self.standing.apply(record.key, record.value)
            elif record.value is not None:
                self._measure_skew(record.value, record.written_ms)

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
            self._transactions.write(record.topic, record.value, record.key, record.headers)
        for name, value in values.items():
            self._transactions.write(self.topics.state, value, name.encode())
        for line in audit:
            written = line.stamped(now, f"keeper {self._instance}", self.connector)
            self._transactions.write(self.topics.audit, written.to_bytes(), self.connector.encode())
        self._transactions.commit((), None)
        for name, value in values.items():
            self.standing.apply(name, value)

    def counted(self, **changes: Mapping[str, int] | int) -> Totals:
        """The totals with these counts added and the next revision: write them with what they count."""
        totals = self.standing.totals
        update: dict[str, Any] = {"revision": totals.revision + 1}
        for name, change in changes.items():
            before = getattr(totals, name)
            update[name] = before + change if isinstance(change, int) else added(before, change)
        return totals.model_copy(update=update)

    def close(self) -> None:
        """Leave office; what is open is aborted."""
        self._transactions.close()
        self._journal.close()

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
        self._skew_measured_at = self.clock.monotonic()


OpenOffice = Callable[[], Office]
"""Takes office. Raises as `Office` does."""
