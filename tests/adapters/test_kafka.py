"""The Kafka adapter on a real broker, beyond what `tests/contracts` asks: who may commit, refusals, rebalances."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from structlog.testing import capture_logs

from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.member_settings import GroupProtocol
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.delivery.account import RouterCounts
from streams.ports.errors import CommitRefused, Fenced, RecordRefused, RecordsRefused, TransactionAborted
from streams.ports.kafka import Gap, Message, Partition, Position, Start
from streams.testing.brokers import Broker
from tests.chaos.scene import read_to_end
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS


@dataclass
class Events:
    """A listener that notes what it is told."""

    starts: list[Start] = field(default_factory=list)
    gone: list[Partition] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def assigned(self, starts: Sequence[Start]) -> None:
        self.starts += starts

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.gone += partitions

    def made_again(self, starts: Sequence[Start]) -> None:
        self.starts += starts

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.gone += partitions

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)


class Scene:
    """A topic with 150 records in each of two partitions, and a group of its own."""

    def __init__(self, broker: Broker) -> None:
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        self.admin = AdminClient(self.options)
        self.topic = f"adapter-{uuid4().hex}"
        claim(broker.bootstrap_servers, self.topic)
        self.other = f"{self.topic}-other"
        self.group = f"group-{uuid4().hex}"
        make_topics(self.admin, NewTopic(self.topic, 2, 1), NewTopic(self.other, 1, 1))
        producer = Producer(self.options)
        for number in range(300):
            producer.produce(self.topic, str(number // 2).encode(), partition=number % 2)
        producer.flush()
        self._consumers: list[GroupConsumer] = []

    def member(self, protocol: GroupProtocol = "classic") -> tuple[GroupConsumer, Events]:
        consumer, events = GroupConsumer(self.options, self.group, protocol, "test"), Events()
        consumer.subscribe([self.topic], events)
        self._consumers.append(consumer)
        return consumer, events

    def transactions(self, transactional_id: str) -> TransactionalProducer:
        transactions = TransactionalProducer(self.options, transactional_id, "test")
        transactions.start()
        return transactions

    def values(self, *topics: str) -> list[bytes | None]:
        """All committed values of these topics of one partition each, up to the ends that writers see."""
        servers = str(self.options["bootstrap.servers"])
        return [record.value for topic in topics for record in read_to_end(servers, topic)]

    def delete_before(self, partition: int, offset: int) -> None:
        deletion = self.admin.delete_records([TopicPartition(self.topic, partition, offset)])
        for future in deletion.values():
            future.result(PATIENCE_SECONDS)

    def close(self) -> None:
        for consumer in self._consumers:
            consumer.close()


@pytest.fixture
def scene(kafka: Broker) -> Iterator[Scene]:
    scene = Scene(kafka)
    yield scene
    scene.close()


def read(consumer: GroupConsumer, until: Callable[[list[Message]], bool]) -> list[Message]:
    """Poll until the condition on all that was read holds."""
    messages: list[Message] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until(messages):
        assert time.monotonic() < deadline, f"read {len(messages)} records, then waited in vain"
        messages += consumer.poll(500, 0.2)
    return messages


def poll_until_rebalanced(first: GroupConsumer, second: GroupConsumer, events: Events) -> None:
    """Until the first member, whose events these are, lost a partition to the second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not events.gone:
        assert time.monotonic() < deadline, "no rebalance came"
        first.poll(1, 0.1)
        second.poll(1, 0.1)


def places(messages: list[Message], partition: int) -> list[int]:
    return [message.offset() for message in messages if message.partition() == partition]


@pytest.mark.kafka
def test_a_partition_that_is_not_assigned_cannot_be_committed(scene: Scene) -> None:
    consumer, _ = scene.member()
    read(consumer, lambda messages: len(messages) == 300)
    with pytest.raises(CommitRefused, match="not assigned"):
        consumer.commit([Position(scene.other, 0, 1, "")])
    stranger = GroupConsumer(scene.options, scene.group, "classic", "stranger")
    transactions = scene.transactions(scene.group)
    transactions.begin()
    transactions.write(scene.other, b"never seen")
    with pytest.raises(TransactionAborted, match="not assigned"):
        transactions.commit([Position(scene.topic, 0, 1, "")], stranger)
    transactions.close()
    stranger.close()


@pytest.mark.apache
def test_a_member_whose_partition_went_to_another_cannot_commit_it(scene: Scene) -> None:
    first, events = scene.member()
    read(first, lambda messages: len(messages) == 300)
    second, _ = scene.member()
    poll_until_rebalanced(first, second, events)
    with pytest.raises(CommitRefused):
        first.commit([Position(*partition, 150, "") for partition in events.gone])


@pytest.mark.apache
def test_a_process_that_was_replaced_is_fenced_and_its_open_transaction_leaves_nothing(scene: Scene) -> None:
    zombie = scene.transactions("same-id-" + scene.group)
    zombie.begin()
    zombie.write(scene.topic, b"of the zombie", partition=0)
    successor = scene.transactions("same-id-" + scene.group)
    with pytest.raises(Fenced):
        zombie.commit([], None)
    successor.begin()
    successor.write(scene.topic, b"of the successor", partition=0)
    successor.commit([], None)
    consumer, _ = scene.member()
    messages = read(consumer, lambda messages: any(message.value() == b"of the successor" for message in messages))
    assert not any(message.value() == b"of the zombie" for message in messages)
    zombie.close()
    successor.close()


@pytest.mark.kafka
def test_records_and_offsets_of_an_aborted_transaction_are_never_seen(scene: Scene) -> None:
    consumer, _ = scene.member()
    read(consumer, lambda messages: len(messages) == 300)
    transactions = scene.transactions(scene.group + "-aborting")
    transactions.begin()
    transactions.write(scene.topic, b"aborted", partition=1)
    transactions.abort()
    transactions.begin()
    transactions.write(scene.topic, b"committed", partition=1)
    transactions.commit([Position(scene.topic, 0, 33, "kept")], consumer)
    messages = read(consumer, lambda messages: len(messages) == 1)
    assert [message.value() for message in messages] == [b"committed"]
    consumer.close()
    transactions.close()
    second, events = scene.member()
    read(second, lambda _: len(events.starts) == 2)
    assert {start.partition: start.metadata for start in events.starts}[0] == "kept"


def write_on(scene: Scene, transactions: TransactionalProducer) -> None:
    """Until something is raised."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        transactions.write(scene.other, b"value", b"key")


@pytest.mark.apache
def test_a_partition_that_went_away_paused_comes_back_and_is_read(scene: Scene) -> None:
    """A sink that is SUSPENDED pauses all it has; what a rebalance takes meanwhile, it will not resume."""
    first, events = scene.member()
    read(first, lambda messages: len(messages) == 300)
    first.pause([(scene.topic, 0), (scene.topic, 1)])
    second, _ = scene.member()
    poll_until_rebalanced(first, second, events)
    (gone,) = events.gone
    second.close()
    messages = read(first, lambda messages: bool(messages))
    assert {message.partition() for message in messages} == {gone[1]}


@pytest.mark.apache
def test_a_fenced_producer_learns_of_it_while_it_writes(scene: Scene) -> None:
    transactional_id = f"transactions-{uuid4().hex}"
    first = scene.transactions(transactional_id)
    scene.transactions(transactional_id).close()
    first.begin()
    with pytest.raises(Fenced):
        write_on(scene, first)


def behind_a_long_end(scene: Scene) -> Iterator[TransactionalProducer]:
    """Open transactions, with a record that waits until the markers of the transaction before are written.

    The pauses are what the race needs: the record leaves after 5 ms, and must not be taken yet.
    """
    many = f"{scene.topic}-many"
    make_topics(scene.admin, NewTopic(many, 60, 1))
    scene.options["linger.ms"] = 5
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    for number in range(8):
        transactions.begin()
        for partition in range(60):
            transactions.write(many, b"before", partition=partition)
        transactions.commit((), None)
        transactions.begin()
        transactions.write(scene.other, b"never")
        time.sleep(0.007 + number % 4 * 0.004)
        yield transactions
    transactions.begin()
    transactions.write(scene.other, b"after them")
    transactions.commit((), None)
    transactions.close()


@pytest.mark.apache
def test_a_transaction_that_is_aborted_before_the_broker_has_begun_it_does_not_end_the_client(scene: Scene) -> None:
    for transactions in behind_a_long_end(scene):
        transactions.abort()
    assert scene.values(scene.other) == [b"after them"]


def write_and_commit(transactions: TransactionalProducer, topic: str, partition: int) -> None:
    """A client that does not know the topic yet learns only at the end that there is no such partition."""
    transactions.write(topic, b"value", partition=partition)
    transactions.commit((), None)


@pytest.mark.apache
def test_a_transaction_that_fails_before_the_broker_has_begun_it_does_not_end_the_client(scene: Scene) -> None:
    for transactions in behind_a_long_end(scene):
        with pytest.raises(TransactionAborted, match="partition"):
            write_and_commit(transactions, scene.other, partition=7)
    assert scene.values(scene.other) == [b"after them"]


@pytest.mark.apache
def test_a_record_that_the_broker_refuses_aborts_its_transaction_and_the_next_one_goes_well(scene: Scene) -> None:
    small = f"{scene.topic}-small"
    make_topics(scene.admin, NewTopic(small, 1, 1, config={"max.message.bytes": "1000"}))
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    transactions.begin()
    transactions.write(small, Random(1).randbytes(5_000), b"key")
    with pytest.raises(TransactionAborted):
        write_on(scene, transactions)
    transactions.begin()
    transactions.write(scene.other, b"value", b"key")
    transactions.commit((), None)


def small_topic(scene: Scene, **settings: str) -> str:
    """A topic that takes records of 1,000 bytes."""
    small = f"{scene.topic}-small"
    wanted = NewTopic(small, 1, 1, config=settings or {"max.message.bytes": "1000"})
    make_topics(scene.admin, wanted)
    return small


@pytest.mark.apache
@pytest.mark.parametrize(
    ("settings", "key"),
    [({"max.message.bytes": "1000"}, b"key"), ({"cleanup.policy": "compact"}, None)],
    ids=["by its size", "by its lack of a key"],
)
def test_a_record_that_its_topic_does_not_take_is_told_from_a_transaction_that_may_be_done_again(
    scene: Scene, settings: dict[str, str], key: bytes | None
) -> None:
    small = small_topic(scene, **settings)
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    transactions.begin()
    for _ in range(10):
        transactions.write(scene.other, b"beside it", b"key")
        transactions.write(small, b"before it", b"key")
    transactions.write(small, Random(1).randbytes(5_000), key)
    with pytest.raises(RecordsRefused) as refused:
        transactions.commit((), None)
    assert list(refused.value.refusals) == [small]
    transactions.begin()
    transactions.write(small, b"after it", b"key")
    transactions.commit((), None)
    assert scene.values(small, scene.other) == [b"after it"]


@pytest.mark.apache
def test_a_refusal_is_told_as_a_refusal_whenever_its_answer_comes(scene: Scene) -> None:
    """Before the offsets are sent, while they are, or after: the client's own error names no topic then."""
    small = small_topic(scene)
    member, _ = scene.member()
    read(member, lambda messages: len(messages) == 300)
    scene.options["linger.ms"] = 5
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    told = []
    for number in range(48):
        transactions.begin()
        transactions.write(small, Random(number).randbytes(5_000), b"key")
        time.sleep(number % 24 * 0.0005)  # the record leaves after 5 ms
        try:
            transactions.write(scene.other, b"beside it", b"key")
            transactions.commit([Position(scene.topic, 0, 100, "")], member)
        except TransactionAborted as error:
            told.append((type(error), getattr(error, "refusals", {}).keys()))
    assert told == [(RecordsRefused, {small})] * 48
    transactions.begin()
    transactions.write(small, b"after them", b"key")
    transactions.commit((), None)
    assert scene.values(small, scene.other) == [b"after them"]


@pytest.mark.apache
def test_a_record_that_the_client_does_not_take_leaves_the_others_of_its_transaction(scene: Scene) -> None:
    scene.options["message.max.bytes"] = 10_000
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    transactions.begin()
    transactions.write(scene.other, b"before it")
    with pytest.raises(RecordRefused, match="too large"):
        transactions.write(scene.other, b"x" * 20_000)
    transactions.write(scene.other, b"after it")
    transactions.commit((), None)
    assert scene.values(scene.other) == [b"before it", b"after it"]


@dataclass(frozen=True)
class Left:
    """A member that left its group, and does not know it: the broker refuses what it commits, each time at once."""

    group: str
    metadata: Any

    def is_assigned(self, _partition: Partition) -> bool:
        return True

    def group_metadata(self) -> Any:
        return self.metadata


@pytest.mark.apache
def test_a_transaction_that_is_aborted_again_and_again_is_begun_after_a_pause_that_grows(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, _ = scene.member()
    read(member, lambda messages: len(messages) == 300)
    left = Left(scene.group, member.group_metadata())
    member.close()
    pauses: list[float] = []
    clock = SimpleNamespace(sleep=pauses.append, monotonic=time.monotonic)
    monkeypatch.setattr("streams.adapters.kafka.transactions.time", clock)
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    for _ in range(7):
        transactions.begin()
        transactions.write(scene.other, b"aborted")
        with pytest.raises(TransactionAborted):
            transactions.commit([Position(scene.topic, 0, 100, "")], left)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    transactions.begin()
    transactions.write(scene.other, b"committed")
    transactions.commit((), None)
    pauses.clear()
    transactions.begin()
    assert pauses == []
    transactions.close()
    assert scene.values(scene.other) == [b"committed"]


@pytest.mark.apache
def test_a_large_record_that_its_compression_makes_small_is_taken(scene: Scene) -> None:
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    transactions.begin()
    transactions.write(scene.other, b"x" * 5_000_000)
    transactions.commit((), None)
    assert scene.values(scene.other) == [b"x" * 5_000_000]


@pytest.mark.apache
def test_more_records_than_the_client_holds_are_written_without_a_word_of_it(scene: Scene) -> None:
    scene.options["queue.buffering.max.messages"] = 10
    transactions = scene.transactions(f"transactions-{uuid4().hex}")
    transactions.begin()
    for number in range(200):
        transactions.write(scene.other, b"%d" % number, b"key")
    transactions.commit((), None)
    assert scene.values(scene.other) == [b"%d" % number for number in range(200)]


OFFSET_REQUESTS_MAX = 20
"""Of a consumer that asks for all partitions at once: one for the committed, one for the earliest offsets, and some to
spare, as after a rebalance. One that asks partition by partition needs 60."""


@pytest.mark.apache
def test_many_new_partitions_begin_at_their_earliest_each_and_are_asked_for_together(scene: Scene) -> None:
    many = f"{scene.topic}-many"
    make_topics(scene.admin, NewTopic(many, 60, 1))
    scene.delete_before(1, 20)
    requests: list[Counter[str]] = []
    scene.options["statistics.interval.ms"] = 100
    scene.options["stats_cb"] = lambda text: requests.append(requests_of(json.loads(text)))  # type: ignore[assignment]
    consumer, events = scene.member()
    consumer.subscribe([scene.topic, many], events)
    with capture_logs() as lines:
        read(consumer, lambda _: len(events.starts) == 62)
        counted = len(requests)
        read(consumer, lambda _: len(requests) > counted + 1)  # the newest were counted after the start
    expected = {(scene.topic, 0): 0, (scene.topic, 1): 20} | {(many, number): 0 for number in range(60)}
    assert {(start.topic, start.partition): start.offset for start in events.starts} == expected
    asked = {name: count for name, count in requests[-1].items() if name in ("ListOffsets", "OffsetFetch")}
    assert asked["ListOffsets"] > 0
    assert sum(asked.values()) <= OFFSET_REQUESTS_MAX
    assert any(line["event"] == "asking where partitions begin" and line["partitions"] >= 60 for line in lines)


def requests_of(statistics: Mapping[str, Any]) -> Counter[str]:
    """How often a client sent each kind of request, to all its brokers."""
    sent = Counter[str]()
    for broker in statistics["brokers"].values():
        sent.update(broker["req"])
    return sent


def random_name(seed: int) -> str:
    """Forty characters that no two names share."""
    return "c" + Random(seed).randbytes(20).hex()[:39]


def test_a_commit_with_the_counts_of_two_hundred_connectors_is_taken(scene: Scene) -> None:
    names = [random_name(number) for number in range(200)]
    counts = RouterCounts({name: number * 7_919_123_457 for number, name in enumerate(names)}, {}, 1, 2, 3)
    consumer, events = scene.member()
    read(consumer, lambda _: len(events.starts) == 2)
    consumer.commit([Position(scene.topic, 0, 5, counts.to_metadata())])
    consumer.close()
    second, again = scene.member()
    read(second, lambda _: len(again.starts) == 2)
    assert (
        RouterCounts.from_metadata({start.partition: start.metadata for start in again.starts}[0]).named(names)
        == counts
    )
