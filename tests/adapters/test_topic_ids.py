"""Ids of topics: asked for every few seconds, for as long as a process lives."""

from __future__ import annotations

import gc
from uuid import uuid4

import confluent_kafka.cimpl
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.topic_ids import topic_ids
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics

pytestmark = pytest.mark.apache


def ids_held() -> int:
    """Objects of the client in this process that are a topic's id."""
    gc.collect()
    return sum(type(one) is confluent_kafka.cimpl.Uuid for one in gc.get_objects())


def test_questions_for_topics_leave_nothing_behind(kafka: Broker) -> None:
    names = [f"ids-{uuid4().hex}" for _ in range(2)]
    claim(kafka.bootstrap_servers, *names)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    make_topics(admin, *(NewTopic(name, 1, 1) for name in names))
    first = topic_ids(admin, names)
    held = ids_held()
    assert all(topic_ids(admin, names) == first for _ in range(20))
    assert len({*first.values()}) == len(names)
    assert ids_held() == held
