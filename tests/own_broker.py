"""A broker that nobody else uses, for tests that restart it or freeze it."""

from __future__ import annotations

import pytest

from streams.testing.brokers import Broker, NoBroker, choose


def own_broker() -> Broker:
    """Not started yet. Skips the test where the broker is not ours to restart."""
    try:
        broker = choose()
    except NoBroker as problem:
        pytest.skip(str(problem))
    if broker.kind not in ("docker", "apache"):
        pytest.skip(f"a broker of kind {broker.kind} is not ours to restart")
    return broker
