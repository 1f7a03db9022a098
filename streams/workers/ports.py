"""The ports through which the workers act: what a consumer, a transactional producer, a transport and a clock promise.

`streams.adapters` implements them on Kafka and HTTP; `streams.testing` ships fakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from streams.delivery.contract import NoResponse, Request, Response
from streams.events.schema import WriterSchema

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


@dataclass(frozen=True, slots=True)
class Position:
    """An offset to commit, and the account that rides on it."""

    topic: str
    partition: int
    offset: int
    metadata: str


@dataclass(frozen=True, slots=True)
class Start:
    """Where an assigned partition begins. `metadata` is None where the group never committed: then `offset` is the
    earliest that the broker still has."""

    topic: str
    partition: int
    offset: int
    metadata: str | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Retention deleted records that were not read: the partition goes on at `earliest`."""

    topic: str
    partition: int
    position: int
    earliest: int


class KafkaUnreachable(Exception):
    """No broker answered for as long as the caller allows."""


class CommitRefused(Exception):
    """The group moved on (rebalance, or this member was removed): look at the assignment, redo or let go."""


class TransactionAborted(Exception):
    """The transaction was aborted and left nothing behind; it may be done again if its partitions are still ours."""


class Fenced(Exception):
    """Another process took this one's transactional id: leave."""


class AccessDenied(Exception):
    """Kafka knows this process and does not allow what it needs; the message names what is missing."""


class Listener(Protocol):
    """What a worker does when partitions come and go. Called inside `Consumer.poll`, on its thread.

    `revoked` and `lost` run in the client's own callback: they must not call the consumer.
    """

    def assigned(self, starts: Sequence[Start]) -> None: ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """They are still ours until this returns: settle and commit."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """They are somebody else's already: forget them."""
        ...

    def gap(self, gap: Gap) -> None: ...


class Consumer(Protocol):
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
        """Read this partition again from `offset`."""
        ...

    def topics(self) -> frozenset[str]:
        """Every topic that there is."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


class Transactions(Protocol):
    """Records and offsets written together or not at all. One thread uses it."""

    @property
    def produce(self) -> Callable[..., None]:
        """`produce(topic, value, key, headers=)` in the transaction; raises `BufferError` when the queue is full."""
        ...

    def writing(self) -> AbstractContextManager[Callable[..., None]]:
        """`produce` for a run of many records, as cheap as it can be; what `produce` raises is raised at its end."""
        ...

    def begin(self) -> None:
        """Open a transaction. Raises `Fenced`."""
        ...

    def flush_queue(self) -> None:
        """Wait until the queue has room again."""
        ...

    def commit(self, positions: Sequence[Position], consumer: Consumer | None) -> None:
        """Commit the records with the group's offsets. Raises `TransactionAborted` or `Fenced`."""
        ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: `ticket` as submitted, and how long it took."""

    ticket: int
    outcome: Response | NoResponse
    seconds: float = 0.0


class Transport(Protocol):
    """Sends requests in the background."""

    def submit(self, ticket: int, request: Request) -> None: ...

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        """Answers that came; waits up to the time-out for the first."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One record of the state topic. `written_ms` is the broker's time of writing; None where the topic keeps none."""

    key: str
    value: bytes | None
    written_ms: int | None


class Journal(Protocol):
    """A reader of the state topic, from its beginning on, as committed. One thread uses it."""

    def read_to_end(self) -> Sequence[JournalRecord]:
        """What was not read yet, up to the end as it is now. Raises `KafkaUnreachable`."""
        ...

    def poll(self) -> Sequence[JournalRecord]:
        """What has come since, without waiting; perhaps nothing."""
        ...

    def close(self) -> None: ...


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
        """The next letters. A partition's end is told again after each reading beyond it."""
        ...

    def close(self) -> None: ...


class LetterTopics(Protocol):
    """What a keeper does with the dead-letter topics beside reading them."""

    def partitions(self, topic: str) -> Sequence[Partition]:
        """The topic's partitions; none where it does not exist. Raises `KafkaUnreachable`."""
        ...

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        """Delete records before these offsets. What fails is logged and left: it is only garbage collection."""
        ...


class Notifier(Protocol):
    """Tells people. Never raises."""

    def notify(self, title: str, text: str) -> bool:
        """Whether every configured channel took it. May take some seconds."""
        ...


class SchemasUnavailable(Exception):
    """The place that knows the schema cannot be asked now (a registry's outage): wait, park nothing."""


class SchemaSource(Protocol):
    """A place beside `avro/` that knows writers' schemas: a folder, the topic `streams.schemas`, a registry."""

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a value's header (10 bytes single-object, 5 Confluent); None if this place does not know it.

        Raises `SchemasUnavailable`.
        """
        ...
