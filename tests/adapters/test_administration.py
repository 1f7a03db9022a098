"""Kafka's administration on a real broker: what may be asked of a topic that was made a moment ago."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.testing.brokers import Broker
from tests.topics import claim
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.apache

PARTITIONS = 6


@pytest.fixture
def administration(kafka: Broker) -> Administration:
    return Administration({"bootstrap.servers": kafka.bootstrap_servers, "client.id": "administration-test"})


def test_a_topic_that_was_made_can_be_used_at_once(kafka: Broker, administration: Administration) -> None:
    for _ in range(5):
        topic = f"made-{uuid4().hex}"
        claim(kafka.bootstrap_servers, topic)
        assert administration.create_topic(topic, PARTITIONS, 1, {})
        places = administration.partitions(topic)
        assert len(places) == PARTITIONS
        assert administration.ends(places) == dict.fromkeys(places, 0)
        assert administration.topics(topic)[topic].partitions == PARTITIONS
        assert not administration.create_topic(topic, PARTITIONS, 1, {})


def test_the_ends_of_partitions_whose_leader_is_not_known_yet_are_asked_for_until_it_is(
    kafka: Broker, administration: Administration
) -> None:
    others = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for _ in range(5):
        topic = f"made-{uuid4().hex}"
        claim(kafka.bootstrap_servers, topic)
        others.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(PATIENCE_SECONDS)
        places = [(topic, number) for number in range(PARTITIONS)]
        assert administration.ends(places) == dict.fromkeys(places, 0)
