"""A Kafka cluster as operations see it: topics and their settings, groups' offsets with their metadata, ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.config.topology import ActualTopic
from streams.ports.kafka import Partition


@dataclass(frozen=True, slots=True)
class Commit:
    """What a group committed for a partition: the next offset, and its metadata."""

    offset: int
    metadata: str


class Cluster(Protocol):
    """Every method raises `KafkaUnreachable` and `KafkaRefusal`. Threads may not share it."""

    def brokers(self) -> int:
        """How many brokers the cluster has."""
        ...

    def broker_setting(self, name: str) -> str | None:
        """A setting of one broker; None where it has none of that name."""
        ...

    def topic_setting(self, name: str, topics: Collection[str]) -> dict[str, str]:
        """One setting of these topics; nothing of a topic that is gone, or whose settings may not be read."""
        ...

    def topic_names(self) -> frozenset[str]: ...

    def topics(self, prefix: str) -> dict[str, ActualTopic]:
        """Topics whose names begin so, with their settings."""
        ...

    def create_topic(self, name: str, partitions: int, replication: int, configuration: Mapping[str, str]) -> bool:
        """Create a topic; False where it is there already."""
        ...

    def configure_topic(self, name: str, settings: Mapping[str, str]) -> None: ...

    def partitions(self, *topics: str) -> tuple[Partition, ...]:
        """The partitions of these topics; none of one that is missing."""
        ...

    def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Which topics these names stand for now, as far as Kafka tells; one that is made again has another id."""
        ...

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where a read_committed reader of each partition would stop now."""
        ...

    def high_watermarks(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The end of each partition, records of open transactions among what is before it."""
        ...

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset that is still there."""
        ...

    def commits(self, group: str, topics: Collection[str]) -> dict[Partition, Commit]:
        """What a group committed for these topics; nothing where it never did."""
        ...

    def members(self, group: str) -> int:
        """How many processes are in the group now."""
        ...

    def oldest_ms(self, positions: Mapping[Partition, int]) -> int | None:
        """When the oldest record from these offsets on was written (ms since 1970), as far as found in time."""
        ...

    def first_written_ms(self, positions: Mapping[Partition, int]) -> dict[Partition, int]:
        """When the first record from each offset on was written (ms since 1970), committed or not; nothing for a
        partition that holds no record from there on, or did not answer in time."""
        ...

    def close(self) -> None: ...
