"""A topic that is deleted for good: a member stops asking for it, goes on with the others, and takes it back later."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.member_settings import GroupProtocol
from streams.ports.kafka import Partition
from streams.testing.brokers import Broker
from tests.adapters.owned import Owned
from tests.protocols import needs_consumer_protocol
from tests.topics import claim, make_topics
from tests.waiting import wait_until


@pytest.mark.apache
@pytest.mark.parametrize("protocol", ["classic", pytest.param("consumer", marks=needs_consumer_protocol)])
def test_a_member_gives_a_deleted_topic_up_and_takes_it_back(kafka: Broker, protocol: GroupProtocol) -> None:
    stays, goes, group = (f"{name}-{uuid4().hex}" for name in ("stays", "goes", "gone"))
    claim(kafka.bootstrap_servers, stays, goes)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    make_topics(admin, NewTopic(stays, 1, 1), NewTopic(goes, 1, 1))
    consumer, owned = GroupConsumer({"bootstrap.servers": kafka.bootstrap_servers}, group, protocol, "test"), Owned()
    read: list[tuple[str, bytes]] = []

    def poll_until(partitions: set[Partition]) -> None:
        def is_so() -> bool:
            read.extend((one.topic(), one.value() or b"") for one in consumer.poll(10, 0.05))
            return owned.partitions == partitions

        wait_until(is_so, f"{partitions} to be all that it owns, and not {owned.partitions}")

    def poll_until_read(topic: str, value: bytes) -> None:
        producer.produce(topic, value)
        assert producer.flush(60) == 0

        def is_read() -> bool:
            read.extend((one.topic(), one.value() or b"") for one in consumer.poll(10, 0.05))
            return (topic, value) in read

        wait_until(is_read, f"{value!r} to be read")

    try:
        consumer.subscribe([goes, stays], owned)
        poll_until({(goes, 0), (stays, 0)})
        poll_until_read(goes, b"old")
        admin.delete_topics([goes])[goes].result(60)
        wait_until(lambda: goes not in consumer.topics(), "the topic to be gone")
        consumer.subscribe([stays], owned)
        poll_until({(stays, 0)})
        poll_until_read(stays, b"goes on")
        make_topics(admin, NewTopic(goes, 1, 1))
        consumer.subscribe([goes, stays], owned)
        poll_until({(goes, 0), (stays, 0)})
        poll_until_read(goes, b"new")
        poll_until_read(stays, b"goes on still")
        assert read.count((stays, b"goes on")) == 1
    finally:
        consumer.close()
