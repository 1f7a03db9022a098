"""A listener for tests of members of a group."""

from __future__ import annotations

from collections.abc import Sequence

from streams.ports.kafka import Gap, Partition, Start


class Owned:
    """Knows what its member has."""

    def __init__(self) -> None:
        self.partitions: set[Partition] = set()

    def assigned(self, starts: Sequence[Start]) -> None:
        self.partitions |= {(start.topic, start.partition) for start in starts}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.partitions -= set(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def gap(self, gap: Gap) -> None: ...
    def made_again(self, starts: Sequence[Start]) -> None: ...
