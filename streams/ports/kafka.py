"""Kafka as workers see it: a member of a consumer group, and a transactional producer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Partition = tuple[str, int]
"""Topic and partition number."""


Headers = list[tuple[str, bytes | None]]


class Message(Protocol):
    """A record as read; `headers()` costs most, so the hot path never calls it."""

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Headers | None: ...
    def timestamp(self) -> tuple[int, int]:
        """Its kind, and milliseconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """An offset to commit, and the account that is stored in its metadata."""

    topic: str
    partition: int
    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Start:
    """Where an assigned partition begins. `metadata` is None where the group never committed: then `offset` is the
    earliest that the broker still has. `topic_id` is empty where Kafka does not tell it.

    `is_made_again`: what the group committed is of an earlier topic of this name. `offset` is the earliest of the new
    one, and `metadata` what was committed for the old one."""

    topic: str
    partition: int
    offset: int
    metadata: str | None
    topic_id: str = ""
    is_made_again: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Retention deleted records that were not read: the partition goes on at `earliest`, which is after `position`.

    Raises `ValueError` if it is not: then nothing was deleted.
    """

    topic: str
    partition: int
    position: int
    earliest: int

    def __post_init__(self) -> None:
        if self.earliest <= self.position:
            raise ValueError(f"a gap of {self.topic}/{self.partition} from {self.position} to {self.earliest}")

    @property
    def offsets(self) -> int:
        """How many. Not all need to have been records."""
        return self.earliest - self.position


class Listener(Protocol):
    """What a worker does when partitions come and go. Called inside `Consumer.poll`, on its thread.

    `revoked` and `lost` run in the client's own callback: they must not call the consumer.
    """

    def assigned(self, starts: Sequence[Start]) -> None: ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """They are still assigned until this returns: settle and commit."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Another member owns them already: forget them."""
        ...

    def gap(self, gap: Gap) -> None: ...

    def made_again(self, starts: Sequence[Start]) -> None:
        """The topic of these assigned partitions was deleted and made again: reading starts at the earliest record."""
        ...


class Member(Protocol):
    """Whose offsets a transaction commits."""

    @property
    def group(self) -> str: ...

    def is_assigned(self, partition: Partition) -> bool: ...

    def group_metadata(self) -> object:
        """The membership as it is now, as the Kafka client describes it: generations move, so it is not kept."""
        ...


class Consumer(Member, Protocol):
    """A member of a consumer group. One thread uses it."""

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None: ...

    def poll(self, records_max: int, timeout_seconds: float) -> Sequence[Message]:
        """Records in offset order per partition. Raises `KafkaUnreachable` before the first contact only."""
        ...

    def commit(self, positions: Sequence[Position]) -> None:
        """Commit and wait for the answer. Raises `CommitRefused`."""
        ...

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Read nothing of these until they are resumed, or taken away."""
        ...

    def resume(self, partitions: Sequence[Partition]) -> None: ...

    def rewind(self, partition: Partition, offset: int) -> None:
        """Read this partition again from `offset`. Where a listener does it, the poll gives nothing that was fetched
        before."""
        ...

    def topics(self) -> frozenset[str]:
        """Every topic that there is."""
        ...

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The ids that these topics have now; those that do not exist are left out. Raises `KafkaUnreachable`."""
        ...

    def known_end(self, partition: Partition) -> int:
        """One past the last record that the broker was known to hold at the last read; -1 where nothing was read."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Transactions(Protocol):
    """Records and offsets written together or not at all. One thread uses it."""

    def begin(self) -> None:
        """Open a transaction; one that was left open is aborted first. Raises `Fenced`."""
        ...

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        """Write a record in the transaction, once there is room for it.

        Raises `RecordRefused` where this record alone cannot be written, `TransactionAborted` where an earlier one
        failed, and `Fenced`.
        """
        ...

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        """Commit the records with the group's offsets. Raises `TransactionAborted` (`RecordsRefused` where Kafka does
        not take one of them) or `Fenced`."""
        ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


OpenTransactions = Callable[[str], AbstractContextManager[Transactions]]
"""Opens the transactional id, which fences its holder; closed at the end. Raises `KafkaUnreachable`, `Fenced`."""
