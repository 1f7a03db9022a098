"""Dead-letter topics, as the keeper reads them and as commands show them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.ports.kafka import Message, Partition


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Letters in offset order per partition. `ends` are the partitions whose end was reached, and where it is."""

    letters: Sequence[Message]
    ends: Mapping[Partition, int]


class Letters(Protocol):
    """Reads dead letters as committed, without a group. One thread uses it."""

    def open(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on, and no others; 0 is the earliest that there is."""
        ...

    def read(self, records_max: int, timeout_seconds: float) -> LetterPage:
        """The next letters. A partition's end is given once, and again after letters beyond it were read."""
        ...

    def close(self) -> None:
        """Let the client go. The next `open` makes a new one."""
        ...


class LetterTopics(Protocol):
    """What a keeper does with the dead-letter topics, except reading them."""

    def partitions(self, topic: str) -> Sequence[Partition]:
        """The topic's partitions; none where it does not exist. Raises `KafkaUnreachable`."""
        ...

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Which topics these names stand for now, as far as Kafka tells. Raises `KafkaUnreachable`."""
        ...

    def delete_before(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Delete records before these offsets. Returns the partitions where that failed, and why. A partition that
        does not exist has nothing to delete."""
        ...


Stretch = tuple[Partition, Sequence[Message]]
"""Some letters of one partition, in offset order."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The first and the last unsettled letter of a partition, as they stand; both None where there is none."""

    first: Message | None
    last: Message | None


class LetterScan(Protocol):
    """Reads dead letters without a group, up to where each topic ends when it begins. Raises `KafkaUnreachable`."""

    def scan(
        self, starts: Mapping[Partition, int], report: Callable[[int], None] = lambda _count: None
    ) -> Iterator[Stretch]:
        """Letters from these offsets on, as committed; 0 is the earliest that there is. `report` is called after
        each batch with the number of letters that were read in all."""
        ...

    def edges(
        self, starts: Mapping[Partition, int], is_settled: Callable[[Partition, int], bool]
    ) -> dict[Partition, Edges]:
        """The edges of each partition from its start on. Reads a few letters, however many there are."""
        ...
