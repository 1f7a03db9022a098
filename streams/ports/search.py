"""Looking through topics for the records of one event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from streams.ports.kafka import Message, Partition


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of a partition, from `start` up to `end`. `earliest` is the first that is still there."""

    partition: Partition
    start: int
    end: int
    earliest: int

    @property
    def is_cut(self) -> bool:
        """Whether records that belong to it may have been deleted."""
        return self.start == self.earliest > 0


@dataclass(frozen=True, slots=True)
class Found:
    """A record, and when it was written (ms since 1970)."""

    message: Message
    written_ms: int


class Search(Protocol):
    """Reads without a group. Every method raises `KafkaUnreachable`. One thread uses it."""

    def topics(self) -> dict[str, int]:
        """Every topic that there is, and how many partitions it has."""
        ...

    def spans(self, partitions: Iterable[Partition], since_ms: int, until_ms: int | None = None) -> list[Span]:
        """From the first record written at `since_ms` or later up to the first at `until_ms`, else to the end as it
        is now."""
        ...

    def holding(self, needle: bytes, spans: Iterable[Span]) -> Iterator[Found]:
        """Records of these spans whose value holds the bytes, as committed, in offset order per partition."""
        ...

    def close(self) -> None: ...
