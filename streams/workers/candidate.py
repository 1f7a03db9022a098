"""A member of a group that only chooses one process: the one that has the first partition of a certain topic.

The group commits nothing and reads nothing. A killed member loses the partition after the session's time-out, 10 s.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from streams.ports.kafka import Consumer, Gap, Partition, Start
from streams.ports.pulse import Pulse

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2


class Chosen(Protocol):
    """Works while this process is chosen: a loop with a lease."""

    def own(self, is_ours: bool) -> None: ...


Loop = TypeVar("Loop", bound=Chosen)


class Candidate(Generic[Loop]):
    """One member. `when_deleted` is logged when the topic was deleted and made again."""

    def __init__(self, consumer: Consumer, topic: str, loop: Loop, pulse: Pulse, when_deleted: str) -> None:
        self.loop = loop
        self._consumer = consumer
        self._topic = topic
        self._pulse = pulse
        self._when_deleted = when_deleted
        self._is_subscribed = False

    def run(self, stop: threading.Event) -> None:
        """Take part until told to stop, then leave the group."""
        try:
            while not stop.is_set():
                self.poll()
        finally:
            self._consumer.close()

    def poll(self) -> None:
        """Take part in the group."""
        self._pulse.beat("candidate")
        if not self._is_subscribed:
            self._consumer.subscribe([self._topic], self)
            self._is_subscribed = True
        self._consumer.poll(1, POLL_SECONDS)

    def assigned(self, starts: Sequence[Start]) -> None:
        if starts:
            self._consumer.pause([(start.topic, start.partition) for start in starts])
            self._pulse.joined()
        if any(start.partition == 0 for start in starts):
            self.loop.own(True)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        if any(number == 0 for _, number in partitions):
            self.loop.own(False)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def gap(self, gap: Gap) -> None:
        """Nothing is read here."""

    def made_again(self, starts: Sequence[Start]) -> None:
        log.error(self._when_deleted, topics=[start.topic for start in starts])
