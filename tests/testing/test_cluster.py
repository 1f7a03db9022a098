"""A cluster of brokers: what it refuses. What it does when a broker is away is in tests/chaos/test_cluster_chaos.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.testing.brokers import BrokerFailed
from streams.testing.cluster import ApacheCluster


def test_two_nodes_are_refused_because_one_that_is_away_would_stop_them_both(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailed, match="needs 3 nodes or more, not 2"):
        ApacheCluster(tmp_path, nodes=2)
