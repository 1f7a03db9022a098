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

from streams.adapters.kafka import client_topics
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.member_settings import SESSION_TIMEOUT_MS, GroupProtocol
from streams.adapters.kafka.topic_ids import topic_ids
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.delivery.account import SinkCounts
from streams.delivery.metadata import topic_mark
from streams.ports.errors import CommitRefused, TransactionAborted
from streams.ports.kafka import Consumer, Gap, Message, Partition, Position, Start, Transactions
from streams.testing.brokers import Broker
from streams.testing.ports import FakeConsumer, FakeKafka, FakeTransactions
from tests.protocols import needs_consumer_protocol
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS, wait_until

RECORDS = 150
"""In each of the two partitions."""


@dataclass
class Events:
    """A listener that notes what it is told."""

    starts: list[Start] = field(default_factory=list)
    revoked_ones: list[Partition] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """In which way partitions began, in order."""

    def assigned(self, starts: Sequence[Start]) -> None:
        self.starts += starts
        self.told.append("assigned")

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.revoked_ones += partitions

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked_ones += partitions

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def made_again(self, starts: Sequence[Start]) -> None:
        self.starts += starts
        self.told.append("made again")

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
    def consumer(self, away_seconds_max: int) -> Consumer: ...

    @abstractmethod
    def be_away(self, consumer: Consumer) -> None:
        """The member did not poll for longer than it may: the group goes on without it."""

    @abstractmethod
    def transactions(self) -> Transactions: ...

    @abstractmethod
    def delete_before(self, partition: int, offset: int) -> None: ...

    @abstractmethod
    def make_again(self, records: int) -> None:
        """Delete the topic, make it again, and write so many records to each partition."""

    @abstractmethod
    def topic_id(self) -> str: ...

    def member(self, away_seconds_max: int = 300) -> tuple[Consumer, Events]:
        """`away_seconds_max`: after so long without a poll the group goes on without it."""
        consumer, events = self.consumer(away_seconds_max), Events()
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
        claim(broker.bootstrap_servers, self._group)
        self.topic, self.other = f"{self._group}-topic", f"{self._group}-other"
        self._admin = AdminClient(self._options)
        make_topics(self._admin, NewTopic(self.topic, 2, 1), NewTopic(self.other, 1, 1))
        self._write(2 * RECORDS)

    def consumer(self, away_seconds_max: int) -> Consumer:
        options = {**self._options, "max.poll.interval.ms": away_seconds_max * 1000}
        return GroupConsumer(options, self._group, self._protocol, "contract")

    def be_away(self, consumer: Consumer) -> None:
        """Nobody polls it, so its client leaves by itself in time."""

    def transactions(self) -> Transactions:
        transactions = TransactionalProducer(self._options, f"{self._group}-writer", "contract")
        transactions.start()
        return transactions

    def delete_before(self, partition: int, offset: int) -> None:
        for future in self._admin.delete_records([TopicPartition(self.topic, partition, offset)]).values():
            future.result(PATIENCE_SECONDS)

    def make_again(self, records: int) -> None:
        self._admin.delete_topics([self.topic])[self.topic].result(PATIENCE_SECONDS)
        wait_until(lambda: self.topic not in self._admin.list_topics(timeout=60).topics, "the topic to be gone")
        make_topics(self._admin, NewTopic(self.topic, 2, 1))
        self._write(2 * records)

    def topic_id(self) -> str:
        return topic_ids(self._admin, [self.topic])[self.topic]

    def _write(self, records: int) -> None:
        producer = Producer(self._options)
        for number in range(records):
            producer.produce(self.topic, b"%d" % number, partition=number % 2)
        producer.flush()


class OnFakes(Scene):
    topic, other = "topic", "other"

    def __init__(self, group: str) -> None:
        super().__init__()
        self._group = group
        self._kafka = FakeKafka(tells_ids=True)
        self._kafka.records[self.other, 0] = []
        for number in range(2 * RECORDS):
            self._kafka.write(self.topic, b"%d" % number, partition=number % 2)

    def consumer(self, away_seconds_max: int) -> Consumer:
        return FakeConsumer(self._kafka, self._group)

    def be_away(self, consumer: Consumer) -> None:
        assert isinstance(consumer, FakeConsumer), "a member of this scene"
        self._kafka.group(self._group).expel(consumer.member)

    def transactions(self) -> Transactions:
        return FakeTransactions(self._kafka, "writer")

    def delete_before(self, partition: int, offset: int) -> None:
        self._kafka.delete_before((self.topic, partition), offset)

    def make_again(self, records: int) -> None:
        self._kafka.make_again(self.topic)
        for number in range(2 * records):
            self._kafka.write(self.topic, b"%d" % number, partition=number % 2)

    def topic_id(self) -> str:
        return self._kafka.topic_id(self.topic)


@pytest.fixture(autouse=True)
def _a_slow_reader_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that has read nothing of a topic that was made again, for 3 s, joins again with a new client, and reads
    what was not committed a second time. On a busy machine it may just be slow."""
    monkeypatch.setattr(client_topics, "ASK_SECONDS", PATIENCE_SECONDS)


KAFKA = [pytest.mark.kafka, pytest.mark.apache]
PROTOCOLS = [
    pytest.param("classic", marks=KAFKA),
    pytest.param("consumer", marks=[*KAFKA, needs_consumer_protocol]),
]


@pytest.fixture(params=["fake", "fake of a group", *PROTOCOLS])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made: Scene
    if request.param.startswith("fake"):
        made = OnFakes("contract" if request.param == "fake of a group" else "")
    else:
        made = OnKafka(request.getfixturevalue("kafka"), request.param)
    yield made
    made.close()


@pytest.fixture(params=["fake of a group", *PROTOCOLS])
def shared(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A scene with several members."""
    is_fake = request.param == "fake of a group"
    made = OnFakes("contract") if is_fake else OnKafka(request.getfixturevalue("kafka"), request.param)
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


def commit_once_divided(consumer: Consumer, positions: Sequence[Position]) -> None:
    """A group that has a new member takes no commit in the moment in which it divides the partitions."""

    def is_committed() -> bool:
        try:
            consumer.commit(positions)
        except CommitRefused:
            return False
        return True

    wait_until(is_committed, "the commit to be taken")


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


def test_who_was_away_for_too_long_takes_nothing_from_the_others_when_it_leaves(shared: Scene) -> None:
    away, _ = shared.member(away_seconds_max=SESSION_TIMEOUT_MS // 1000)
    read_all(away)
    shared.be_away(away)
    owner, owned = shared.member()
    read(owner, lambda _: len(owned.starts) == 2)
    with pytest.raises(CommitRefused):
        away.commit([Position(shared.topic, 1, 99, "")])
    shared.leave(away)
    third, taken = shared.member()
    for _ in range(5):
        third.poll(500, 0.2)
    assert taken.starts == [], "the owner did not give anything up yet"
    commit_once_divided(owner, [Position(shared.topic, number, 10, "") for number in (0, 1)])

    def is_taken() -> bool:
        owner.poll(500, 0.2)
        third.poll(500, 0.2)
        return bool(taken.starts)

    wait_until(is_taken, "the third member to take a partition")
    assert [(start.topic, start.partition) for start in taken.starts] == owned.revoked_ones
    assert [start.offset for start in taken.starts] == [10]


def test_a_topic_that_is_made_again_while_it_is_read_is_told_and_read_from_its_beginning(scene: Scene) -> None:
    consumer, events = scene.member()
    read_all(consumer)
    before = scene.topic_id()
    assert {start.topic_id for start in events.starts} == {before}
    events.starts.clear()
    scene.make_again(40)
    messages = read(consumer, lambda messages: len(messages) == 80)
    assert scene.topic_id() != before
    assert {(start.topic_id, start.offset) for start in events.starts} == {(scene.topic_id(), 0)}
    assert [offsets(messages, number) for number in (0, 1)] == [list(range(40))] * 2
    assert events.gaps == []


def test_a_member_that_is_given_a_partition_of_a_topic_that_was_made_again_begins_its_others_anew_at_once(
    shared: Scene,
) -> None:
    first, events = shared.member()
    second, _ = shared.member()
    wait_until(lambda: _shared(first, second, shared), "each member to own a partition")
    own = next(number for number in (0, 1) if first.is_assigned((shared.topic, number)))
    shared.make_again(RECORDS)
    events.starts.clear()
    shared.leave(second)
    read(first, lambda _: any(start.partition == 1 - own for start in events.starts))
    assert {start.topic_id for start in events.starts} == {shared.topic_id()}
    assert events.told[-1] == "assigned"


def _shared(first: Consumer, second: Consumer, scene: Scene) -> bool:
    first.poll(500, 0.2)
    second.poll(500, 0.2)
    return all(first.is_assigned((scene.topic, one)) != second.is_assigned((scene.topic, one)) for one in (0, 1))


def test_a_group_does_not_go_on_where_it_committed_for_a_topic_that_was_deleted(scene: Scene) -> None:
    mark = topic_mark(scene.topic_id())
    scene.make_again(40)
    late, _ = scene.member()
    read(late, lambda messages: len(messages) == 80)
    metadata = SinkCounts(delivered=7, topic=mark).to_metadata()
    late.commit([Position(scene.topic, 0, 20, metadata), Position(scene.topic, 1, 20, "")])
    scene.leave(late)
    second, events = scene.member()
    messages = read(second, lambda messages: len(messages) == 60)
    starts = {start.partition: start for start in events.starts}
    assert starts[0] == Start(scene.topic, 0, 0, metadata, scene.topic_id(), is_made_again=True)
    assert starts[1] == Start(scene.topic, 1, 20, "", scene.topic_id())
    assert offsets(messages, 0) == list(range(40))


def test_what_a_group_committed_is_forgotten_with_its_topic(scene: Scene) -> None:
    first, _ = scene.member()
    read_all(first)
    first.commit([Position(scene.topic, number, 20, "") for number in (0, 1)])
    scene.leave(first)
    scene.make_again(40)
    second, events = scene.member()
    read(second, lambda messages: len(messages) == 80)
    assert events.begun() == {0: (0, None), 1: (0, None)}
