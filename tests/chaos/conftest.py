"""A broker for tests that restart it, and a cluster for tests that take its brokers away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.testing.brokers import Broker
from streams.testing.cluster import ApacheCluster
from streams.testing.kafka import JarsUnavailable, jars, java
from tests.own_broker import own_broker as choose_own_broker


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker that nobody else uses."""
    with choose_own_broker() as broker:
        yield broker


@pytest.fixture
def own_cluster() -> Iterator[ApacheCluster]:
    """Three brokers that nobody else uses; skips where Apache Kafka does not run from its jars."""
    try:
        java()
        libraries = jars()
    except JarsUnavailable as problem:
        pytest.skip(str(problem))
    with ApacheCluster(libraries) as cluster:
        yield cluster
