"""A topic that is deleted and made again: which positions are of the new one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka import client_topics
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.made_again import TopicWatch
from streams.adapters.kafka.topic_ids import topic_ids
from streams.delivery.account import RouterCounts, SinkCounts
from streams.delivery.metadata import topic_mark
from streams.ports.kafka import Gap, Partition, Start
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.apache


class Starts:
    """A listener that remembers where partitions began, and began anew, and what was told as lost."""

    def __init__(self) -> None:
        self.found: list[Start] = []
        self.anew: list[Start] = []
        self.gaps: list[Gap] = []

    def assigned(self, starts: Sequence[Start]) -> None:
        self.found += starts

    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)

    def made_again(self, starts: Sequence[Start]) -> None:
        self.anew += starts


class Scene:
    """A topic of one partition (or more) and ten records in each, and a group without members."""

    def __init__(self, bootstrap_servers: str, partitions: int = 1) -> None:
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self.admin = AdminClient(self.options)
        self.topic, self.group = f"again-{uuid4().hex}", f"group-{uuid4().hex}"
        claim(bootstrap_servers, self.topic)
        self.partitions = partitions
        self.create(10)

    def create(self, records: int) -> None:
        make_topics(self.admin, NewTopic(self.topic, self.partitions, 1))
        producer = Producer(self.options)
        for partition in range(self.partitions):
            for number in range(records):
                producer.produce(self.topic, b"%d" % number, partition=partition)
        assert producer.flush(60) == 0

    def make_again(self, records: int) -> None:
        self.admin.delete_topics([self.topic])[self.topic].result(60)
        wait_until(lambda: self.topic not in self.admin.list_topics(timeout=60).topics, "the topic to be gone")
        self.create(records)

    @property
    def topic_id(self) -> str:
        return topic_ids(self.admin, [self.topic])[self.topic]

    def commit(self, offset: int, metadata: str) -> None:
        """As a process commits that has not noticed yet which topic it is."""
        consumer = Consumer({**self.options, "group.id": self.group, "enable.auto.commit": False})
        consumer.assign([TopicPartition(self.topic, 0, offset)])
        consumer.commit(offsets=[TopicPartition(self.topic, 0, offset, metadata)], asynchronous=False)
        consumer.close()

    def start(self) -> tuple[Start, bytes | None]:
        """Where a new member begins, and the first record that it reads."""
        listener, consumer = Starts(), GroupConsumer(self.options, self.group, "classic", "test")
        try:
            consumer.subscribe([self.topic], listener)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not (read := consumer.poll(10, 0.1)):
                assert time.monotonic() < deadline
            return listener.found[0], read[0].value()
        finally:
            consumer.close()


Read = list[tuple[int, int, bool]]
"""Partition and offset, and whether the partition had begun anew when it was read."""


def read(consumer: GroupConsumer, is_enough: Callable[[Read], bool], seconds_max: float = PATIENCE_SECONDS) -> Read:
    listener = consumer._listener
    assert isinstance(listener, Starts)
    found: Read = []
    deadline = time.monotonic() + seconds_max
    while not is_enough(found) and time.monotonic() < deadline:
        records = consumer.poll(7, 0.1)
        anew = {start.partition for start in listener.anew}
        found += [(one.partition(), one.offset(), one.partition() in anew) for one in records]
    return found


@pytest.fixture(autouse=True)
def _a_slow_reader_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that has read nothing of a topic that was made again, for 3 s, joins again with a new client, and reads
    what was not committed a second time. On a busy machine it may just be slow."""
    monkeypatch.setattr(client_topics, "ASK_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def scene(kafka: Broker) -> Scene:
    return Scene(kafka.bootstrap_servers)


@pytest.mark.parametrize("kind", [RouterCounts, SinkCounts])
def test_a_position_that_was_committed_for_the_topic_before_is_not_one_of_the_new_topic(
    scene: Scene, kind: type[RouterCounts | SinkCounts]
) -> None:
    counts = kind(lost=3, topic=topic_mark(scene.topic_id)).to_metadata()
    scene.make_again(15)
    scene.commit(8, counts)
    start, first = scene.start()
    assert (start.offset, start.is_made_again, first) == (0, True, b"0")
    assert kind.from_metadata(start.metadata).lost == 3, "what was counted stays"


def test_a_position_of_this_topic_is_read_on(scene: Scene) -> None:
    scene.commit(8, RouterCounts(topic=topic_mark(scene.topic_id)).to_metadata())
    start, first = scene.start()
    assert (start.offset, start.is_made_again, first) == (8, False, b"8")


def test_a_commit_of_an_earlier_version_names_no_topic_and_is_believed(scene: Scene) -> None:
    metadata = RouterCounts(read=8).to_metadata()
    assert "topic" not in metadata
    scene.make_again(15)
    scene.commit(8, metadata)
    start, first = scene.start()
    assert (start.offset, start.is_made_again, first) == (8, False, b"8")


def test_another_id_of_a_topic_that_is_read_already_is_told_though_a_partition_of_it_is_new(scene: Scene) -> None:
    watch = TopicWatch(scene.options)
    watch.learn([scene.topic])
    scene.make_again(1)
    found = watch.learn([scene.topic], ours=[scene.topic])
    assert watch.changed(found, [scene.topic]) == {scene.topic: scene.topic_id}
    watch.remember(found)
    assert watch.changed(found, [scene.topic]) == {}


@pytest.mark.parametrize("records", [0, 4, 25], ids=["empty", "shorter", "longer"])
def test_every_partition_of_a_topic_that_is_made_again_while_it_is_read_begins_anew_and_no_gap_is_told(
    kafka: Broker, records: int
) -> None:
    scene = Scene(kafka.bootstrap_servers, partitions=6)
    listener, consumer = Starts(), GroupConsumer(scene.options, scene.group, "classic", "test")
    try:
        consumer.subscribe([scene.topic], listener)
        assert len(read(consumer, lambda found: len(found) == 60)) == 60
        scene.make_again(records)
        found = read(consumer, lambda found: len(listener.anew) >= 6 and sum(one[2] for one in found) >= 6 * records)
        late = read(consumer, lambda _: False, seconds_max=6.0)  # what the client tells late moves nothing
    finally:
        consumer.close()
    anew = [(start.partition, start.offset) for start in listener.anew]
    assert (sorted(anew), listener.gaps, late) == ([(number, 0) for number in range(6)], [], [])
    of_new = sorted((number, offset) for number, offset, anew in found if anew)
    assert of_new == [(number, offset) for number in range(6) for offset in range(records)]


def test_a_partition_that_ends_before_its_position_is_read_from_its_beginning_and_nothing_counts_as_lost(
    kafka: Broker,
) -> None:
    scene = Scene(kafka.bootstrap_servers, partitions=2)
    scene.commit(50, SinkCounts(delivered=50, topic=topic_mark(scene.topic_id)).to_metadata())
    listener, consumer = Starts(), GroupConsumer(scene.options, scene.group, "classic", "test")
    try:
        consumer.subscribe([scene.topic], listener)
        found = read(consumer, lambda found: len(found) >= 20)
    finally:
        consumer.close()
    assert sorted((number, offset) for number, offset, _ in found) == [(p, o) for p in range(2) for o in range(10)]
    assert [(start.partition, start.offset) for start in listener.anew] == [(0, 0)]
    assert listener.gaps == []


def test_an_event_about_a_place_that_was_left_since_moves_nothing(kafka: Broker) -> None:
    scene = Scene(kafka.bootstrap_servers)
    listener, consumer = Starts(), GroupConsumer(scene.options, scene.group, "classic", "test")
    try:
        consumer.subscribe([scene.topic], listener)
        read(consumer, lambda found: len(found) == 10)
        consumer.rewind((scene.topic, 0), 500)  # the client tells that this offset is not there
        consumer.poll(1, 2.0)
        consumer.rewind((scene.topic, 0), 7)
        again = read(consumer, lambda found: len(found) == 3)
        late = read(consumer, lambda _: False, seconds_max=2.0)
    finally:
        consumer.close()
    assert ([offset for _, offset, _ in again], late, listener.gaps, listener.anew) == ([7, 8, 9], [], [], [])


def test_a_gap_that_runs_backwards_cannot_be_told() -> None:
    assert Gap("currents", 3, 5, 12).offsets == 7
    for earliest in (0, 318, 319):
        with pytest.raises(ValueError, match="currents/3"):
            Gap("currents", 3, 319, earliest)
