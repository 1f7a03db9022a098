"""The same on three brokers with three replicas, one of which is killed, stopped, continued and started at a time.

`make chaos CLUSTER=3` runs it for long; `SEED`, `ROUNDS` and `PROTOCOL` as for one broker.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streams.testing.cluster import ApacheCluster
from tests.chaos.run import run, seconds_max

ROUNDS = int(os.environ.get("ROUNDS", "1"))
ACTS = 6 if "ROUNDS" not in os.environ else 30
"""Of a round: few where it is a part of all tests."""
PROTOCOL = os.environ.get("PROTOCOL", "classic")
"""`classic` or `consumer`, as `kafka.group_protocol`."""
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.timeout(2 * seconds_max(ROUNDS))
def test_whichever_broker_is_away_every_event_is_delivered_once_or_accounted_for(
    own_cluster: ApacheCluster, tmp_path: Path
) -> None:
    run(own_cluster, tmp_path, SEED, ROUNDS, ACTS, PROTOCOL)
