"""Partitions that wait for something (a schema), while others go on."""

from __future__ import annotations

from collections.abc import Iterable

from streams.ports.kafka import Consumer, Partition

RETRY_SECONDS = 1.0


class WaitingPartitions:
    """Pauses a partition at an offset and lets it go on from there a second later, to be asked again.

    Whatever is read of it meanwhile must be passed over: it is read again, for going on begins at that offset.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.partitions: dict[Partition, tuple[float, int]] = {}
        """Those that wait: until when (seconds of the monotonic clock), and the offset to go on from."""

    def holds(self, partition: Partition) -> bool:
        return partition in self.partitions

    def hold(self, partition: Partition, offset: int, now: float) -> None:
        """Read nothing of it for a second, then again from `offset`."""
        self.partitions[partition] = (now + RETRY_SECONDS, offset)
        self._consumer.rewind(partition, offset)
        self._consumer.pause([partition])

    def resume_due(self, now: float) -> None:
        """Let those go on whose second is over."""
        for partition, (until, offset) in list(self.partitions.items()):
            if until <= now:
                del self.partitions[partition]
                self._consumer.rewind(partition, offset)
                self._consumer.resume([partition])

    def release_all(self) -> None:
        """Let all go on from wherever the caller rewinds them to."""
        self._consumer.resume(list(self.partitions))
        self.partitions.clear()

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are not ours any more."""
        for partition in partitions:
            self.partitions.pop(partition, None)
