"""Ids of topics: asked for every few seconds, for as long as a process lives."""

from __future__ import annotations

import gc
from typing import Any
from uuid import uuid4

import confluent_kafka.cimpl
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.topic_ids import ask_topic_ids, topic_ids
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import wait_until


def ids_held() -> int:
    """Objects of the client in this process that are a topic's id."""
    gc.collect()
    return sum(type(one) is confluent_kafka.cimpl.Uuid for one in gc.get_objects())


@pytest.mark.apache
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


def test_errors_do_not_pile_up_in_a_client_that_only_asks_for_topics() -> None:
    """While Kafka is away, there is one for each connection that fails, until the client is polled."""
    told: list[object] = []
    options: dict[str, Any] = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0, "error_cb": told.append}
    admin = AdminClient(options)
    wait_until(lambda: bool(ask_topic_ids(admin, ["topic"])) and bool(told), "its errors to be told")
