"""A member of a consumer group: on Kafka by both group protocols, and on the fake."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.consumer import GroupConsumer, GroupProtocol
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.ports.errors import CommitRefused, TransactionAborted
from streams.ports.kafka import Consumer, Gap, Message, Partition, Position, Start, Transactions
from streams.testing.brokers import Broker
from streams.testing.ports import FakeConsumer, FakeKafka, FakeTransactions

PATIENCE_SECONDS = 30.0
RECORDS = 150
"""In each of the two partitions."""


@dataclass
class Events:
    """A listener that notes what it is told."""

    starts: list[Start] = field(default_factory=list)
    revoked_ones: list[Partition] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def assigned(self, starts: Sequence[Start]) -> None:
        self.starts += starts

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.revoked_ones += partitions

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked_ones += partitions

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def made_again(self, starts: Sequence[Start]) -> None:
        self.starts += starts

    def begun(self) -> dict[int, tuple[int, str | None]]:
        return {start.partition: (start.offset, start.metadata) for start in self.starts}


class Scene(ABC):
    """A topic with 150 records in each of two partitions, another topic, and one group."""

    topic: str
    other: str

    def __init__(self) -> None:
        self._members: list[Consumer] = []
        self._writers: list[Transactions] = []

    @abstractmethod
    def consumer(self) -> Consumer: ...

    @abstractmethod
    def transactions(self) -> Transactions: ...

    @abstractmethod
    def delete_before(self, partition: int, offset: int) -> None: ...

    def member(self) -> tuple[Consumer, Events]:
        consumer, events = self.consumer(), Events()
        consumer.subscribe([self.topic], events)
        self._members.append(consumer)
        return consumer, events

    def writer(self) -> Transactions:
        transactions = self.transactions()
        self._writers.append(transactions)
        return transactions

    def leave(self, consumer: Consumer) -> None:
        consumer.close()
        self._members.remove(consumer)

    def close(self) -> None:
        for consumer in self._members:
            consumer.close()
        for transactions in self._writers:
            transactions.close()


class OnKafka(Scene):
    def __init__(self, broker: Broker, protocol: GroupProtocol) -> None:
        super().__init__()
        self._options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        self._protocol = protocol
        self._group = f"contract-{uuid4().hex[:8]}"
        self.topic, self.other = f"{self._group}-topic", f"{self._group}-other"
        self._admin = AdminClient(self._options)
        for future in self._admin.create_topics([NewTopic(self.topic, 2, 1), NewTopic(self.other, 1, 1)]).values():
            future.result(PATIENCE_SECONDS)
        producer = Producer(self._options)
        for number in range(2 * RECORDS):
            producer.produce(self.topic, b"%d" % number, partition=number % 2)
        producer.flush()

    def consumer(self) -> Consumer:
        return GroupConsumer(self._options, self._group, self._protocol, "contract")

    def transactions(self) -> Transactions:
        transactions = TransactionalProducer(self._options, f"{self._group}-writer", "contract")
        transactions.start()
        return transactions

    def delete_before(self, partition: int, offset: int) -> None:
        for future in self._admin.delete_records([TopicPartition(self.topic, partition, offset)]).values():
            future.result(PATIENCE_SECONDS)


class OnFakes(Scene):
    topic, other = "topic", "other"

    def __init__(self) -> None:
        super().__init__()
        self._kafka = FakeKafka()
        self._kafka.records[self.other, 0] = []
        for number in range(2 * RECORDS):
            self._kafka.write(self.topic, b"%d" % number, partition=number % 2)

    def consumer(self) -> Consumer:
        return FakeConsumer(self._kafka)

    def transactions(self) -> Transactions:
        return FakeTransactions(self._kafka, "writer")

    def delete_before(self, partition: int, offset: int) -> None:
        self._kafka.deleted_before[self.topic, partition] = offset


KAFKA = [pytest.mark.kafka, pytest.mark.apache]


@pytest.fixture(params=["fake", pytest.param("classic", marks=KAFKA), pytest.param("consumer", marks=KAFKA)])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = OnFakes() if request.param == "fake" else OnKafka(request.getfixturevalue("kafka"), request.param)
    yield made
    made.close()


def read(consumer: Consumer, until: Callable[[list[Message]], bool]) -> list[Message]:
    """Poll until the condition on all that was read holds."""
    messages: list[Message] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until(messages):
        assert time.monotonic() < deadline, f"read {len(messages)} records, then nothing came"
        messages += consumer.poll(500, 0.2)
    return messages


def read_all(consumer: Consumer) -> list[Message]:
    return read(consumer, lambda messages: len(messages) == 2 * RECORDS)


def offsets(messages: Sequence[Message], partition: int) -> list[int]:
    return [message.offset() for message in messages if message.partition() == partition]


def test_a_group_that_never_committed_starts_at_the_earliest_record_and_says_so(scene: Scene) -> None:
    scene.delete_before(1, 40)
    consumer, events = scene.member()
    messages = read(consumer, lambda messages: len(messages) == 2 * RECORDS - 40)
    assert events.begun() == {0: (0, None), 1: (40, None)}
    assert offsets(messages, 1) == list(range(40, RECORDS))
    assert events.gaps == []


def test_a_group_goes_on_where_it_committed_with_the_metadata_that_it_left(scene: Scene) -> None:
    first, _ = scene.member()
    read_all(first)
    first.commit([Position(scene.topic, 0, 100, '{"v":1,"delivered":7}'), Position(scene.topic, 1, 120, "")])
    scene.leave(first)
    second, events = scene.member()
    messages = read(second, lambda messages: len(messages) == 80)
    assert offsets(messages, 0) == list(range(100, RECORDS))
    assert events.begun() == {0: (100, '{"v":1,"delivered":7}'), 1: (120, "")}


def test_a_gap_left_by_retention_is_told_with_its_offsets_and_reading_goes_on_after_it(scene: Scene) -> None:
    first, _ = scene.member()
    read_all(first)
    first.commit([Position(scene.topic, number, 20, "") for number in (0, 1)])
    scene.leave(first)
    scene.delete_before(0, 70)
    second, events = scene.member()
    messages = read(second, lambda messages: len(messages) == 210)
    assert events.begun() == {0: (20, ""), 1: (20, "")}
    assert events.gaps == [Gap(scene.topic, 0, 20, 70)]
    assert offsets(messages, 0) == list(range(70, RECORDS))
    assert offsets(messages, 1) == list(range(20, RECORDS))


def test_a_paused_partition_gives_nothing_and_a_rewound_one_gives_its_records_again(scene: Scene) -> None:
    consumer, _ = scene.member()
    read_all(consumer)
    consumer.rewind((scene.topic, 0), 120)
    consumer.pause([(scene.topic, 0)])
    consumer.rewind((scene.topic, 1), 140)
    messages = read(consumer, lambda messages: len(offsets(messages, 1)) == 10)
    assert offsets(messages, 0) == []
    consumer.resume([(scene.topic, 0)])
    messages = read(consumer, lambda messages: len(messages) == 30)
    assert offsets(messages, 0) == list(range(120, RECORDS))


def test_a_partition_that_is_rewound_to_deleted_records_tells_a_gap(scene: Scene) -> None:
    consumer, events = scene.member()
    read_all(consumer)
    scene.delete_before(0, 70)
    consumer.rewind((scene.topic, 0), 20)
    messages = read(consumer, lambda messages: len(messages) == 80)
    assert offsets(messages, 0) == list(range(70, RECORDS))
    assert events.gaps == [Gap(scene.topic, 0, 20, 70)]


def test_a_partition_that_is_not_assigned_stays_away_though_it_is_rewound(scene: Scene) -> None:
    writer = scene.writer()
    writer.begin()
    writer.write(scene.other, b"of another topic")
    writer.commit((), None)
    consumer, events = scene.member()
    read_all(consumer)
    consumer.rewind((scene.other, 0), 0)
    consumer.rewind((scene.topic, 0), 149)
    messages = read(consumer, lambda messages: bool(messages))
    assert {message.topic() for message in messages} == {scene.topic}
    assert {start.topic for start in events.starts} == {scene.topic}


def test_the_end_of_a_partition_is_known_once_it_was_read(scene: Scene) -> None:
    consumer, _ = scene.member()
    assert consumer.known_end((scene.topic, 0)) == -1
    read_all(consumer)
    assert consumer.known_end((scene.topic, 0)) == RECORDS
    assert consumer.known_end((scene.other, 0)) == -1


def test_every_topic_is_told_subscribed_or_not(scene: Scene) -> None:
    consumer, _ = scene.member()
    assert {scene.topic, scene.other} <= consumer.topics()


def test_a_partition_that_is_not_assigned_cannot_be_committed(scene: Scene) -> None:
    consumer, _ = scene.member()
    read_all(consumer)
    with pytest.raises(CommitRefused, match="not assigned"):
        consumer.commit([Position(scene.other, 0, 1, "")])


def test_a_transaction_commits_no_offset_of_a_partition_that_is_not_assigned(scene: Scene) -> None:
    consumer, _ = scene.member()
    read_all(consumer)
    writer = scene.writer()
    writer.begin()
    writer.write(scene.topic, b"never seen", partition=0)
    with pytest.raises(TransactionAborted, match="not assigned"):
        writer.commit([Position(scene.topic, 0, 33, ""), Position(scene.other, 0, 1, "")], consumer)
    writer.begin()
    writer.write(scene.topic, b"seen", partition=0)
    writer.commit([Position(scene.topic, 0, 44, "kept")], consumer)
    assert [message.value() for message in read(consumer, lambda messages: bool(messages))] == [b"seen"]
    scene.leave(consumer)
    second, events = scene.member()
    read(second, lambda _: len(events.starts) == 2)
    assert events.begun()[0] == (44, "kept")


def test_who_leaves_the_group_settles_first_and_commits_nothing_afterwards(scene: Scene) -> None:
    consumer, events = scene.member()
    read_all(consumer)
    consumer.commit([Position(scene.topic, 0, 10, "")])
    scene.leave(consumer)
    assert sorted(events.revoked_ones) == [(scene.topic, 0), (scene.topic, 1)]
    with pytest.raises(CommitRefused):
        consumer.commit([Position(scene.topic, 0, 99, "")])
    second, again = scene.member()
    read(second, lambda _: len(again.starts) == 2)
    assert again.begun() == {0: (10, ""), 1: (0, None)}
