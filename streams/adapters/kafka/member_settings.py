"""Settings of a member of a consumer group.

Those that our promises need are set here. `streams.config` refuses them in `kafka.options`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

SESSION_TIMEOUT_MS = 10_000
"""After a kill, other members take the partitions over after this time. Deliveries must go on within 15 s; brokers
allow 6 s and more."""
HEARTBEAT_INTERVAL_MS = 2_000
PREFETCH_KILOBYTES_MAX = 8_192
"""Limits the memory of a consumer that falls behind."""
FETCH_QUEUE_BACKOFF_MS = 10
"""The default of 1,000 ms stalls the fetcher whenever the small prefetch queue is full."""
METADATA_REFRESH_MS = 10_000

GroupProtocol = Literal["classic", "consumer"]
EVENLY: Mapping[str, int] = {"fetch.message.max.bytes": 65_536}
"""For a consumer that has to have records of every partition at hand: by default the client takes a megabyte of one
partition, then of the next, which are more records than a window holds."""


def member_settings(options: Mapping[str, Any], group: str, protocol: GroupProtocol, client_id: str) -> dict[str, Any]:
    """Settings of the client. Those after `options` cannot be changed: our promises need them."""
    membership: dict[str, Any] = {}
    grouping: dict[str, Any] = {"group.protocol": protocol}
    if protocol == "classic":
        membership = {
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": HEARTBEAT_INTERVAL_MS,
        }
        grouping["partition.assignment.strategy"] = "cooperative-sticky"
    return {
        "queued.max.messages.kbytes": PREFETCH_KILOBYTES_MAX,
        "fetch.queue.backoff.ms": FETCH_QUEUE_BACKOFF_MS,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        **membership,
        **options,
        **grouping,
        "group.id": group,
        "client.id": client_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": False,
    }
