"""Fixtures of the tests of `streams dlq`."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from tests.cli.dlq.desk import Desk


@pytest.fixture
def desk(kafka: Broker, tmp_path: Path) -> Desk:
    return Desk(kafka.bootstrap_servers, tmp_path)
