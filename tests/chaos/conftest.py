"""A broker for tests that restart it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.testing.brokers import Broker, NoBroker, choose


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker that nobody else uses; skips where it is not ours to restart."""
    try:
        broker = choose()
    except NoBroker as problem:
        pytest.skip(str(problem))
    if broker.kind not in ("docker", "apache"):
        pytest.skip(f"a broker of kind {broker.kind} is not ours to restart")
    with broker:
        yield broker
