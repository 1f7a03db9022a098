"""Questions for the controller of a cluster, while the broker that a client takes for the controller is gone."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka import clients
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.topic_ids import topic_ids
from streams.ports.errors import KafkaUnreachable
from streams.testing.cluster import ApacheCluster
from tests.waiting import wait_until

TOPIC = "asked-for"
ASKERS = 8
"""Of these a third or more take the same broker for the controller, and of those not each one hammers it."""
CONNECTS_MAX = 300
"""A client waits between two attempts. One that does not wait tries thousands of times a second."""


class Asker:
    """A client that asks for ids of topics, as routers and sinks do, and counts how often it tries to connect."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._connects: dict[str, int] = {}
        options: dict[str, Any] = {"statistics.interval.ms": 200, "stats_cb": self._count, "log_level": 0}
        self.client: AdminClient = clients.administration_client({"bootstrap.servers": bootstrap_servers, **options})

    @property
    def connects(self) -> int:
        return sum(self._connects.values())

    def controller(self) -> int:
        """Who it takes for the controller: brokers name any of them."""
        return self.client.list_topics(timeout=60).controller_id

    def is_answered(self) -> bool:
        try:
            return bool(topic_ids(self.client, [TOPIC]))
        except KafkaUnreachable:
            return False
        finally:
            self.client.poll(0)

    def _count(self, statistics: str) -> None:
        self._connects = {name: one["connects"] for name, one in json.loads(statistics)["brokers"].items()}


@pytest.mark.apache
@pytest.mark.timeout(600)
def test_a_question_finds_another_broker_and_does_not_hammer_the_one_that_is_gone(own_cluster: ApacheCluster) -> None:
    administration = Administration({"bootstrap.servers": own_cluster.bootstrap_servers})
    administration.create_topic(TOPIC, 1, 3, {})
    administration.close()
    own_cluster.await_whole()
    askers = [Asker(own_cluster.bootstrap_servers) for _ in range(ASKERS)]
    assert all(asker.is_answered() for asker in askers)
    own_cluster.kill(Counter(asker.controller() for asker in askers).most_common(1)[0][0])
    with ThreadPoolExecutor(ASKERS) as pool:
        waits = [pool.submit(wait_until, asker.is_answered, "an answer of the brokers left") for asker in askers]
    for wait in waits:
        wait.result()
    assert max(asker.connects for asker in askers) < CONNECTS_MAX
