"""Everything at once: processes killed, frozen and replaced, a broker restarted, destinations that fail, keys that die.

`make chaos` runs it for long; `SEED`, `ROUNDS` and `PROTOCOL` say which plan, how much of it, on which group protocol.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from tests.chaos.run import run, seconds_max

ROUNDS = int(os.environ.get("ROUNDS", "2"))
ACTS = 10 if "ROUNDS" not in os.environ else 30
"""Of a round: few where it is a part of all tests."""
PROTOCOL = os.environ.get("PROTOCOL", "classic")
"""`classic` or `consumer`, as `kafka.group_protocol`."""
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.timeout(seconds_max(ROUNDS))
def test_whatever_breaks_every_event_is_delivered_once_or_accounted_for(own_broker: Broker, tmp_path: Path) -> None:
    run(own_broker, tmp_path, SEED, ROUNDS, ACTS, PROTOCOL)
