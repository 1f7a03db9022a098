"""A partition that a rebalance gave to nobody: a member joins again, so that somebody reads it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from uuid import uuid4

import pytest
from confluent_kafka import ConsumerGroupState, Node, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConsumerGroupDescription,
    MemberAssignment,
    MemberDescription,
    NewTopic,
)

from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.left_out import LOOKS_MAX, LOOKS_MIN, LeftOut
from streams.ports.kafka import Partition
from streams.testing.brokers import Broker
from tests.adapters.owned import Owned
from tests.topics import claim, make_topics
from tests.waiting import wait_until

PARTITIONS = 2
METADATA_REFRESH_MS = 600_000
"""The clients do not look at the topics by themselves while the test deletes one and makes it again."""
PATIENCE_SECONDS = 180.0


class Member:
    def __init__(self, consumer: GroupConsumer) -> None:
        self.consumer = consumer
        self.owned = Owned()


class Scene:
    """A topic that stays and one that is made again, and members of one group that read both."""

    def __init__(self, bootstrap_servers: str, stack: ExitStack) -> None:
        self._servers = bootstrap_servers
        self._stack = stack
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self._group = f"left-out-{uuid4().hex}"
        self.stays, self.remade = f"stays-{uuid4().hex}", f"remade-{uuid4().hex}"
        claim(bootstrap_servers, self.stays, self.remade)
        self.create(self.stays, self.remade)
        self._members: list[Member] = []
        self._read: set[Partition] = set()

    def create(self, *topics: str) -> None:
        make_topics(self._admin, *(NewTopic(topic, PARTITIONS, 1) for topic in topics))

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result(60)
        wait_until(lambda: topic not in self._admin.list_topics(timeout=60).topics, "the topic to be gone")

    def join(self) -> Owned:
        options = {"bootstrap.servers": self._servers, "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS}
        member = Member(GroupConsumer(options, self._group, "classic", "test"))
        self._stack.callback(member.consumer.close)
        member.consumer.subscribe([self.remade, self.stays], member.owned)
        self._members.append(member)
        return member.owned

    def join_in_a_process(self) -> subprocess.Popen[str]:
        """Returned when it is a member, and has partitions of both topics."""
        command = [sys.executable, "-m", "tests.adapters.member_process", self._servers, self._group]
        process = subprocess.Popen([*command, self.remade, self.stays], stdout=subprocess.PIPE, text=True)
        self._stack.callback(_end, process)
        wait_until(lambda: self.poll() and len(self._members[0].owned.partitions) == PARTITIONS, "the two to share")
        return process

    def poll(self) -> bool:
        for member in self._members:
            self._read |= {(one.topic(), one.partition()) for one in member.consumer.poll(10, 0.05)}
        return True

    def write(self, topic: str) -> None:
        producer = Producer({"bootstrap.servers": self._servers})
        for number in range(PARTITIONS):
            producer.produce(topic, b"record", partition=number)
        assert producer.flush(60) == 0

    def is_read(self, topic: str) -> bool:
        self.poll()
        return {(topic, number) for number in range(PARTITIONS)} <= self._read


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def scene(kafka: Broker) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(kafka.bootstrap_servers, stack)


@pytest.mark.apache
@pytest.mark.timeout(400)
def test_a_topic_that_was_missing_when_the_partitions_were_divided_is_read_when_it_is_back(scene: Scene) -> None:
    first = scene.join()
    wait_until(lambda: scene.poll() and len(first.partitions) == 2 * PARTITIONS, "the first to read all")
    process = scene.join_in_a_process()
    process.send_signal(signal.SIGSTOP)  # the group waits until its session ends, and divides the partitions then
    second = scene.join()
    scene.poll()
    scene.delete(scene.remade)
    wait_until(lambda: scene.poll() and bool(second.partitions), "the group to divide the partitions")
    scene.create(scene.remade)
    for topic in (scene.remade, scene.stays):
        scene.write(topic)
        wait_until(lambda topic=topic: scene.is_read(topic), f"{topic} to be read", PATIENCE_SECONDS)  # type: ignore[misc]


# When a member has to join again.


def group_of(members: Mapping[str, Collection[int]], state: ConsumerGroupState = ConsumerGroupState.STABLE) -> object:
    return ConsumerGroupDescription(
        "group",
        False,
        [
            MemberDescription(name, "client", "host", MemberAssignment([TopicPartition("topic", one) for one in owned]))
            for name, owned in members.items()
        ],
        "cooperative-sticky",
        state,
        Node(1, "host", 9092),
    )


WHOLE = group_of({"a": [0], "b": [1]})
TORN = group_of({"a": [0], "b": []})
TOPIC = {"topic": 2}


def looks_until_told(left_out: LeftOut, member: str, group: object = TORN) -> int:
    """How many looks it takes; 1,000 where it is never told."""
    return next((count for count in range(1, 1_000) if left_out.look(group, TOPIC, member)), 1_000)


@pytest.mark.parametrize(
    ("group", "member"),
    [
        (WHOLE, "a"),
        (TORN, "nobody"),
        (group_of({"a": [0], "b": []}, ConsumerGroupState.PREPARING_REBALANCING), "a"),
        (group_of({}, ConsumerGroupState.EMPTY), "a"),
    ],
    ids=["all are owned", "not a member", "while it rebalances", "no member"],
)
def test_nobody_joins_again_without_need(group: object, member: str) -> None:
    assert looks_until_told(LeftOut(), member, group) == 1_000


def test_the_members_join_again_one_after_another() -> None:
    assert looks_until_told(LeftOut(), "a") == LOOKS_MIN
    assert looks_until_told(LeftOut(), "b") == LOOKS_MIN + 1


def test_a_partition_that_gets_an_owner_meanwhile_is_counted_from_the_beginning() -> None:
    left_out = LeftOut()
    for _ in range(10):
        assert left_out.look(TORN, TOPIC, "a") == frozenset()
        assert left_out.look(WHOLE, TOPIC, "a") == frozenset()


def test_a_topic_that_is_gone_belongs_to_nobody() -> None:
    left_out = LeftOut()
    assert not any(left_out.look(TORN, {}, "a") for _ in range(10))


def test_where_it_does_not_help_it_is_tried_less_and_less_often_until_all_are_owned() -> None:
    left_out = LeftOut()
    assert [looks_until_told(left_out, "a") for _ in range(7)] == [2, 4, 8, 16, 32, LOOKS_MAX, LOOKS_MAX]
    left_out.look(WHOLE, TOPIC, "a")
    assert looks_until_told(left_out, "a") == LOOKS_MIN
