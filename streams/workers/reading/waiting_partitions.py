"""Partitions that wait for something (a schema), while others go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal

from streams.ports.kafka import Consumer, Partition

RETRY_SECONDS = 1.0
OVER_SECONDS = 2 * RETRY_SECONDS
"""A partition that was let go this long after its last hold, and was not held again, waits no more."""

Why = Literal["schema", "registry", "memory", "counts"]


@dataclass(frozen=True, slots=True)
class Wait:
    """What a partition waits for at an offset. Times are seconds of the monotonic clock."""

    offset: int
    why: Why
    detail: str
    since: float
    held_at: float


@dataclass(frozen=True, slots=True)
class _Age:
    """Since when a partition waits for unknown schemas, and the end that it had then."""

    since: float
    end: int


class WaitingPartitions:
    """Pauses a partition at an offset and resumes it from there a second later, so that its record is tried again.

    Records of it that are read during the pause must be passed over: they are read again after the pause.

    All records that a partition held when it began to wait share one wait. Another unknown schema among them does not
    start a new wait. Otherwise a thousand of them would hold the good records behind them a thousand times as long.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.partitions: dict[Partition, tuple[float, int]] = {}
        """Those that wait: until when (seconds of the monotonic clock), and the offset to go on from."""
        self._waits: dict[Partition, Wait] = {}
        self._began: dict[Partition, tuple[int, float]] = {}
        """The offset that a partition was held at last, and since when. One that is held there again has waited all
        the time: a slow second between two holds, or an aborted transaction, does not make an old wait a new one."""
        self._ages: dict[Partition, _Age] = {}

    def holds(self, partition: Partition) -> bool:
        return partition in self.partitions

    def waits(self, now: float) -> dict[Partition, Wait]:
        """What waits, since when and why: also in the moment between two holds at one offset."""
        for partition, wait in list(self._waits.items()):
            if partition not in self.partitions and now - wait.held_at > OVER_SECONDS:
                del self._waits[partition]
        return dict(self._waits)

    def hold(self, partition: Partition, offset: int, now: float, why: Why, detail: str) -> None:
        """Read nothing of it for a second, then again from `offset`."""
        began = self._began.get(partition)
        since = began[1] if began is not None and began[0] == offset else now
        self._began[partition] = offset, since
        self._waits[partition] = Wait(offset, why, detail, since, now)
        age = self._ages.get(partition)
        if why == "schema" and (age is None or offset >= age.end):
            self._ages[partition] = _Age(now, max(self._consumer.known_end(partition), offset + 1))
        self.partitions[partition] = (now + RETRY_SECONDS, offset)
        self._consumer.rewind(partition, offset)
        self._consumer.pause([partition])

    def stand(self, partition: Partition, offset: int) -> None:
        """Read nothing of it until it is let go, then from `offset`. Nothing is wrong, so no wait is told."""
        self.partitions[partition] = (inf, offset)
        self._consumer.rewind(partition, offset)
        self._consumer.pause([partition])

    def let_go(self, partition: Partition) -> None:
        """A partition that stands goes on at once."""
        _, offset = self.partitions.pop(partition)
        self._consumer.rewind(partition, offset)
        self._consumer.resume([partition])

    def waited_seconds(self, partition: Partition, offset: int, now: float) -> float:
        """How long the record at `offset` has waited for schemas, also behind other records; 0 where it has not."""
        age = self._ages.get(partition)
        return now - age.since if age is not None and offset < age.end else 0.0

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
        self._waits.clear()

    def begin_again(self, partitions: Iterable[Partition]) -> None:
        """Their topic was made again, and is read from its beginning: what was waited for is gone with the old one. The
        client keeps a partition paused wherever it is read from, so those that wait are resumed."""
        places = list(partitions)
        held = [place for place in places if place in self.partitions]
        self.forget(places)
        self._consumer.resume(held)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are not ours any more."""
        for partition in partitions:
            self.partitions.pop(partition, None)
            self._waits.pop(partition, None)
            self._began.pop(partition, None)
            self._ages.pop(partition, None)
