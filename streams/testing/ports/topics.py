"""A topic in memory: records, commits, what is deleted, and when a process dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streams.delivery.partitioner import partition_of
from streams.ports.clock import Clock
from streams.ports.kafka import Headers, Partition, Position
from streams.testing.ports.groups import FakeGroup


@dataclass(frozen=True, slots=True)
class FakeMessage:
    """A record in memory."""

    _topic: str
    _partition: int
    _offset: int
    _key: bytes | None
    _value: bytes | None
    _headers: tuple[tuple[str, bytes | None], ...] = ()
    written_ms: int | None = None
    is_marker: bool = False
    """The end of a transaction: it takes an offset, and no reader gets it."""

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Headers | None:
        return list(self._headers) or None

    def timestamp(self) -> tuple[int, int]:
        """As Kafka's client tells it: 2 where the broker's time is known, else 0."""
        return (0, 0) if self.written_ms is None else (2, self.written_ms)


class Killed(BaseException):
    """The process ended here. The test that killed it catches this."""


@dataclass(slots=True)
class Kill:
    """Ends a process at its n-th commit from now on: before it, or right after it."""

    commits: int
    is_committed: bool


@dataclass(slots=True)
class FakeKafka:
    """Topics and one group's commits in memory, shared by the fake consumers and transactions of a test."""

    records: dict[Partition, list[FakeMessage]] = field(default_factory=dict)
    committed: dict[Partition, Position] = field(default_factory=dict)
    record_bytes_max: int = 16_000_000
    """A larger value is refused by the client that is to write it."""
    topic_bytes_max: dict[str, int] = field(default_factory=dict)
    """A larger value is refused by its topic, and its whole transaction with it."""
    policies: dict[str, Callable[[bytes | None], str]] = field(default_factory=dict)
    """By topic: why it does not take a value; empty where it does."""
    refuse_commits: int = 0
    """How many of the next commits are refused, as after a rebalance."""
    clock: Clock | None = None
    """The broker's: with one, records are stamped with its time when they are written."""
    deleted_before: dict[Partition, int] = field(default_factory=dict)
    """Records before these offsets were deleted: no reader gets them."""
    owners: dict[str, object] = field(default_factory=dict)
    """Who holds each transactional id: an earlier holder is fenced."""
    kills: dict[str, Kill] = field(default_factory=dict)
    """By transactional id: whose commits end in death."""
    groups: dict[str, FakeGroup] = field(default_factory=dict)
    """By name. A consumer that names no group is alone, and its commits are in `committed`."""
    writes_markers: bool = False
    """Whether the end of a transaction takes an offset of each partition that it wrote, as it does in Kafka."""
    spreads_keys: bool = False
    """Whether a record without a partition goes where its key says; else all go to partition 0."""
    made_again: dict[str, int] = field(default_factory=dict)
    """How often a topic was deleted and made again."""
    tells_ids: bool = False
    """Whether consumers are told the ids of topics, and so notice that one was made again."""

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = 0,
    ) -> FakeMessage:
        log = self.records.setdefault((topic, partition), [])
        written_ms = None if self.clock is None else self.clock.epoch_ms()
        message = FakeMessage(topic, partition, len(log), key, value, tuple(headers), written_ms)
        log.append(message)
        return message

    def refusal(self, topic: str, value: bytes | None) -> str:
        """Why the topic does not take this value; empty where it does."""
        if len(value or b"") > self.topic_bytes_max.get(topic, self.record_bytes_max):
            return "Broker: Message size too large"
        policy = self.policies.get(topic)
        return policy(value) if policy else ""

    def read(self, topic: str) -> list[FakeMessage]:
        """All records of a topic."""
        logs = [self.records[place] for place in sorted(self.records) if place[0] == topic]
        return [message for log in logs for message in log if not message.is_marker]

    def partition(self, topic: str, key: bytes | None) -> int:
        """Where a record of this key goes."""
        if not self.spreads_keys or not key:
            return 0
        return partition_of(key, max(1, sum(name == topic for name, _ in self.records)))

    def group(self, name: str) -> FakeGroup:
        """The group of this name; it begins with its first member."""
        return self.groups.setdefault(name, FakeGroup(name))

    def mark(self, partitions: Sequence[Partition]) -> None:
        """A transaction that wrote to these ended."""
        if self.writes_markers:
            for topic, number in partitions:
                log = self.records[topic, number]
                log.append(FakeMessage(topic, number, len(log), None, None, is_marker=True))

    def delete_topic(self, topic: str) -> None:
        """The topic and its records are gone, and what the group committed for it. Made again, it has another id."""
        for partition in [one for one in self.records if one[0] == topic]:
            del self.records[partition]
            self.committed.pop(partition, None)
            self.deleted_before.pop(partition, None)
        self.made_again[topic] = self.made_again.get(topic, 0) + 1

    def topic_id(self, topic: str) -> str:
        """Another one, once the topic was made again."""
        again = self.made_again.get(topic, 0)
        return f"id-of-{topic}#{again}" if again else f"id-of-{topic}"

    def make_again(self, topic: str) -> None:
        """Delete the topic with all that is on it, and make it again. Kafka forgets what was committed of it."""
        self.made_again[topic] = self.made_again.get(topic, 0) + 1
        for place in [place for place in self.records if place[0] == topic]:
            self.records[place] = []
            self.deleted_before.pop(place, None)
            for commits in (self.committed, *(group.committed for group in self.groups.values())):
                commits.pop(place, None)

    def delete_before(self, partition: Partition, offset: int) -> None:
        """As retention does it. What is deleted already stays so."""
        self.deleted_before[partition] = max(offset, self.earliest(partition))

    def earliest(self, partition: Partition) -> int:
        """The first offset that was not deleted."""
        return self.deleted_before.get(partition, 0)

    def commit(self, positions: Sequence[Position]) -> None:
        for position in positions:
            self.committed[position.topic, position.partition] = position

    def is_killed(self, transactional_id: str, *, is_committed: bool) -> bool:
        """Whether the process dies at this side of the commit."""
        kill = self.kills.get(transactional_id)
        if kill is None or kill.is_committed != is_committed:
            return False
        kill.commits -= 1
        return kill.commits == 0

    def is_refused(self) -> bool:
        if self.refuse_commits:
            self.refuse_commits -= 1
            return True
        return False
