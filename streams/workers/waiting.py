"""Partitions that wait for something (a schema), while others go on."""

from __future__ import annotations

from collections.abc import Iterable

from streams.workers.ports import Consumer, Partition

RETRY_SECONDS = 1.0


class WaitingPartitions:
    """Pauses a partition at an offset and lets it go on from there a second later, to be asked again."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.partitions: dict[Partition, float] = {}
        """Those that wait, and until when (seconds of the monotonic clock)."""

    def holds(self, partition: Partition) -> bool:
        return partition in self.partitions

    def hold(self, partition: Partition, offset: int, now: float) -> None:
        """Read nothing of it for a second, then again from `offset`."""
        self.partitions[partition] = now + RETRY_SECONDS
        self._consumer.rewind(partition, offset)
        self._consumer.pause([partition])

    def resume_due(self, now: float) -> None:
        """Let those go on whose second is over."""
        due = [partition for partition, until in self.partitions.items() if until <= now]
        if due:
            for partition in due:
                del self.partitions[partition]
            self._consumer.resume(due)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are not ours any more."""
        for partition in partitions:
            self.partitions.pop(partition, None)
