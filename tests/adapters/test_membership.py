"""Whether a group knows a process: asked of Kafka, without waiting for the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.member_settings import GroupProtocol
from streams.adapters.kafka.membership import Membership
from streams.ports.kafka import Gap, Partition, Start
from streams.testing.brokers import Broker
from tests.protocols import needs_consumer_protocol
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.apache


class Ignoring:
    """A listener that does nothing."""

    def assigned(self, starts: Sequence[Start]) -> None: ...
    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...
    def gap(self, gap: Gap) -> None: ...
    def made_again(self, starts: Sequence[Start]) -> None: ...


class Scene:
    """A topic of one partition, and members of one group."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers}
        self.admin = AdminClient(self.options)
        self.topic, self.group = f"membership-{uuid4().hex}", f"group-{uuid4().hex}"
        claim(bootstrap_servers, self.topic)
        make_topics(self.admin, NewTopic(self.topic, 1, 1))
        self.consumers: list[GroupConsumer] = []

    def member(self, protocol: GroupProtocol) -> tuple[GroupConsumer, list[bool | None]]:
        told: list[bool | None] = []
        consumer = GroupConsumer(self.options, self.group, protocol, "test", told.append)
        consumer.subscribe([self.topic], Ignoring())
        self.consumers.append(consumer)
        return consumer, told

    def asked(self, member: str, topics: Sequence[str], group: str = "") -> bool | None:
        """What is told of a member that no client of the group stands for."""
        told: list[bool | None] = []
        membership = Membership(lambda: self.admin, group or self.group, told.append)

        def is_told() -> bool:
            membership.look(member, topics)
            return bool(told)

        wait_until(is_told, "Kafka to say")
        return told[0]


@pytest.fixture
def scene(kafka: Broker) -> Iterator[Scene]:
    scene = Scene(kafka.bootstrap_servers)
    yield scene
    for consumer in scene.consumers:
        consumer.close()


def poll_until(consumers: Sequence[GroupConsumer], told: list[bool | None]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True not in told:
        assert time.monotonic() < deadline, f"never told to be a member: {told}"
        for consumer in consumers:
            consumer.poll(10, 0.05)


@pytest.mark.parametrize("protocol", ["classic", pytest.param("consumer", marks=needs_consumer_protocol)])
def test_a_spare_process_is_a_member_like_the_one_that_has_the_partition(scene: Scene, protocol: GroupProtocol) -> None:
    first, told = scene.member(protocol)
    poll_until([first], told)
    spare, told = scene.member(protocol)
    poll_until([first, spare], told)
    assert [one.is_assigned((scene.topic, 0)) for one in (first, spare)].count(True) == 1
    wait_until(lambda: scene.asked("nobody-knows-this", [scene.topic]) is False, "Kafka to know nobody else")


def test_a_group_that_is_not_there_knows_nobody(scene: Scene) -> None:
    """A broker that was just started may first say that it does not coordinate the group."""
    group = f"group-{uuid4().hex}"
    wait_until(lambda: scene.asked("somebody", [scene.topic], group) is False, "Kafka to know nobody")


def test_a_process_that_has_no_topic_to_read_yet_is_not_blamed(scene: Scene) -> None:
    assert scene.asked("", [f"later-{uuid4().hex}"], f"group-{uuid4().hex}") is None
