"""What a sink knows of its connector's state: it follows the state topic, and never writes what the keeper keeps."""

from __future__ import annotations

from collections.abc import Sequence

from streams.ports.clock import Clock
from streams.ports.state import Journal, JournalRecord
from streams.state.records import key
from streams.state.standing import Standing

FOLLOW_SECONDS = 0.1


class Following:
    """The connector's standing, and which of this process's own suspicions the keeper has looked into."""

    def __init__(self, connector: str, instance: str, journal: Journal, clock: Clock) -> None:
        self.standing = Standing(connector)
        self._prefix = key("suspect", connector) + "/"
        self._instance = instance
        self._journal = journal
        self._clock = clock
        self._look_at = 0.0
        self._told: set[str] = set()
        self._seen: set[str] = set()
        self._answered: set[str] = set()

    def start(self) -> None:
        """Read the state to its end: nothing is sent before. Raises `KafkaUnreachable` and `StateError`."""
        self._apply(self._journal.read_to_end())

    def poll(self) -> bool:
        """Take what has come, ten times a second; whether anything did."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + FOLLOW_SECONDS
        return self._apply(self._journal.poll())

    def catch_up(self) -> bool:
        """Read the state to its end as it is now; whether anything came. Raises `KafkaUnreachable`."""
        return self._apply(self._journal.read_to_end())

    def suspicion_key(self, scope: str) -> str:
        """Where this process writes that it suspects a scope (`-`: the connector)."""
        return key("suspect", self.standing.connector, scope, self._instance)

    def told(self, scope: str) -> None:
        """A suspicion of this scope was written: from now on the keeper's answer is awaited."""
        self._told.add(scope)

    def awaits(self, scope: str) -> bool:
        """Whether a suspicion of ours waits for the keeper."""
        return scope in self._told

    def take_answered(self) -> frozenset[str]:
        """Scopes of ours that the keeper has looked into since the last call."""
        answered = frozenset(self._answered)
        self._answered.clear()
        return answered

    def close(self) -> None:
        self._journal.close()

    def _apply(self, records: Sequence[JournalRecord]) -> bool:
        for record in records:
            self.standing.apply(record.key, record.value)
            if record.key.startswith(self._prefix):
                self._take_own(record)
        return bool(records)

    def _take_own(self, record: JournalRecord) -> None:
        scope, _, instance = record.key.removeprefix(self._prefix).partition("/")
        if instance != self._instance or scope not in self._told:
            return
        if record.value is not None:
            self._seen.add(scope)
        elif scope in self._seen:
            self._seen.discard(scope)
            self._told.discard(scope)
            self._answered.add(scope)
