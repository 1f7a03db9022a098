"""How far a sink reads ahead of what is settled: bounded in records and bytes, whatever the backlog."""

from __future__ import annotations

from collections.abc import Mapping

from streams.delivery.ledger import Ledger
from streams.ports.kafka import Consumer, Message
from streams.workers.reading.waiting_partitions import WaitingPartitions

WINDOW_RECORDS_MAX = 10_000
"""Records read and not committed: how far other scopes go on while one scope waits, because commits are contiguous."""
WINDOW_BYTES_MAX = 48_000_000
"""The same in bytes of values, for records of up to 900 kB: a quarter of a process's memory budget."""
FULL_SECONDS_MAX = 1.0
"""A window that stays full for longer is a slow destination: pause, but keep polling, so that no rebalance comes."""


class Window:
    """Looks at the ledgers of a topic's partitions, and pauses these while they are full for long."""

    def __init__(
        self, topic: str, ledgers: Mapping[int, Ledger[Message]], consumer: Consumer, waiting: WaitingPartitions
    ) -> None:
        self.is_paused = False
        self._topic = topic
        self._ledgers = ledgers
        self._consumer = consumer
        self._waiting = waiting
        self._full_since: float | None = None

    def has_room(self) -> bool:
        """Whether more may be read."""
        ledgers = self._ledgers.values()
        return (
            sum(ledger.unsettled for ledger in ledgers) < WINDOW_RECORDS_MAX
            and sum(ledger.unsettled_bytes for ledger in ledgers) < WINDOW_BYTES_MAX
        )

    def is_empty(self) -> bool:
        """Whether all that was read is settled and committed."""
        return not any(ledger.unsettled for ledger in self._ledgers.values())

    def opened(self) -> None:
        """There is room: read on."""
        self._full_since = None
        if self.is_paused:
            self.is_paused = False
            partitions = [(self._topic, number) for number in self._ledgers]
            self._consumer.resume([partition for partition in partitions if not self._waiting.holds(partition)])

    def closed(self, now: float) -> None:
        """There is no room. Seconds of the monotonic clock."""
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since >= FULL_SECONDS_MAX and not self.is_paused:
            self.is_paused = True
            self._consumer.pause([(self._topic, number) for number in self._ledgers])
