"""Receivers, inlets and a sink to Braze on three brokers, one of which is killed, stopped or frozen at a time.

`make chaos CLUSTER=3` runs it for long; `SEED`, `ROUNDS` and `PROTOCOL` as for one broker, but that without `PROTOCOL`
every second seed of a long run is on the newer group protocol.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from streams.testing.cluster import ApacheCluster
from streams.testing.kafka import kafka_version
from tests.chaos.run import seconds_max
from tests.chaos.ways_in import run

IS_LONG = "ROUNDS" in os.environ
ROUNDS = int(os.environ.get("ROUNDS", "1"))
ACTS = 30 if IS_LONG else 6
"""Of a round: few where it is a part of all tests."""
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
BY_SEED = "consumer" if SEED % 2 and IS_LONG and not kafka_version().startswith("3.") else "classic"
"""On the newer protocol a broker waits 45 s for a member that was killed: too long for a part of all tests."""
PROTOCOL = os.environ.get("PROTOCOL", BY_SEED)


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.timeout(2 * seconds_max(ROUNDS))
def test_whatever_vendors_and_braze_were_promised_is_delivered_whichever_broker_is_away(
    own_cluster: ApacheCluster, tmp_path: Path
) -> None:
    run(own_cluster, tmp_path, SEED, ROUNDS, ACTS, PROTOCOL)
