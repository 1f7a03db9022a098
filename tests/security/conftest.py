"""One guarded Apache Kafka for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from streams.testing.brokers import ApacheKafka
from streams.testing.kafka import JarsUnavailable
from tests.security.authority import Authority, authority
from tests.security.guarded import guarded_kafka


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def guarded(certificates: Authority) -> Iterator[ApacheKafka]:
    """Apache Kafka from its jars with users, access control lists and TLS: no other kind of broker can be set up so."""
    try:
        broker = guarded_kafka(certificates)
    except JarsUnavailable as error:
        if os.environ.get("REQUIRE_BROKER"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(f"needs Apache Kafka from its jars: {error}")
    with broker:
        yield broker
