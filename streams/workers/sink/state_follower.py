"""What a sink knows of its connector's state: it follows the state topic, and never writes what the keeper keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from streams.delivery.metadata import topic_mark
from streams.ports.clock import Clock
from streams.ports.errors import JournalBegan
from streams.ports.state import Journal, JournalRecord
from streams.state.records import key
from streams.state.state_view import StateView

log = structlog.get_logger(__name__)

FOLLOW_SECONDS = 0.1


class StateFollower:
    """The connector's state, and which of this process's own suspicions the keeper has looked into.

    If the state topic is made again, what was known holds until a keeper wrote to the new topic: the keeper writes what
    it knows, and who it is at the end of that.
    """

    def __init__(
        self, connector: str, instance: str, journal: Journal, clock: Clock, topic_id: Callable[[], str] = str
    ) -> None:
        """`topic_id` tells which topic `journal` reads."""
        self._topic_id = topic_id
        self.view = StateView(connector)
        self._prefix = key("suspect", connector) + "/"
        self._keeper = key("keeper", connector)
        self._of_new_topic: list[JournalRecord] | None = None
        """What was read of a topic that was made again, until a keeper wrote to it."""
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
        return self._follow(self._journal.poll)

    def catch_up(self) -> bool:
        """Read the state to its end as it is now; whether anything came. Raises `KafkaUnreachable`."""
        return self._follow(self._journal.read_to_end)

    @property
    def mark(self) -> str:
        """Stands for the state topic, once a keeper wrote to it; empty before."""
        return "" if self.view.holder is None else topic_mark(self._topic_id())

    def suspicion_key(self, scope: str) -> str:
        """Where this process writes that it suspects a scope (`-`: the connector)."""
        return key("suspect", self.view.connector, scope, self._instance)

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

    def _follow(self, read: Callable[[], Sequence[JournalRecord]]) -> bool:
        try:
            records = read()
        except JournalBegan as reason:
            log.warning("the state is read from its beginning", connector=self.view.connector, reason=str(reason))
            self._of_new_topic = []
            self._answered |= self._told  # no answer comes any more: what is still so is suspected again
            self._told.clear()
            self._seen.clear()
            records = read()
        if self._of_new_topic is None:
            return self._apply(records)
        self._of_new_topic += records
        if not any(record.key == self._keeper for record in self._of_new_topic):
            return bool(self._answered)
        records, self._of_new_topic = self._of_new_topic, None
        self.view.forget()
        return self._apply(records)

    def _apply(self, records: Sequence[JournalRecord]) -> bool:
        for record in records:
            self.view.apply(record.key, record.value)
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
