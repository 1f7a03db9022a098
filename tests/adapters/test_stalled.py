"""A reader of the state topic that gets nothing though there is more: a new client reads on."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.stalled import StallWatch
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import wait_until


class Scene:
    """A topic of one partition with three records."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers}
        self.admin = AdminClient(self.options)
        self.topic = f"stalled-{uuid4().hex}"
        claim(bootstrap_servers, self.topic)
        make_topics(self.admin, NewTopic(self.topic, 1, 1))
        self.write("one", "two", "three")

    def write(self, *keys: str) -> None:
        producer = Producer(self.options)
        for key in keys:
            producer.produce(self.topic, b"value", key.encode(), partition=0)
        assert producer.flush(60) == 0


@pytest.fixture
def scene(kafka: Broker) -> Scene:
    return Scene(kafka.bootstrap_servers)


@pytest.fixture
def journal(scene: Scene) -> Iterator[StateJournal]:
    journal = StateJournal(scene.options, scene.topic, "test")
    yield journal
    journal.close()


def test_a_reader_that_gets_nothing_without_a_word_is_replaced_and_misses_nothing(
    scene: Scene, journal: StateJournal
) -> None:
    found = [record.key for record in journal.read_to_end()]
    journal._consumer.pause([TopicPartition(scene.topic, 0)])  # as a client that hangs: no record, no error
    scene.write("four", "five")

    def is_read() -> bool:
        found.extend(record.key for record in journal.poll())
        return "five" in found

    wait_until(is_read, "the newest record to be read")
    assert found == ["one", "two", "three", "four", "five"]


def test_only_who_stands_before_the_end_is_stalled(scene: Scene) -> None:
    behind = StallWatch(lambda: scene.admin, scene.topic, 0)
    at_the_end = StallWatch(lambda: scene.admin, scene.topic, 0)
    moving, reached = StallWatch(lambda: scene.admin, scene.topic, 0), iter(range(1_000_000))
    stalled: list[str] = []

    def is_told() -> bool:
        if at_the_end.look(3):
            stalled.append("at the end")
        if moving.look(-next(reached)):
            stalled.append("moving")
        if behind.look(1):
            stalled.append("behind")
        return "behind" in stalled

    wait_until(is_told, "the one that stands before the end to be told")
    assert stalled == ["behind"]
