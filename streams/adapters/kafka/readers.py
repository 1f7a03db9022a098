"""Consumers that belong to no group: they read what they are assigned, as committed, and commit nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import structlog
from confluent_kafka import Consumer

from streams.adapters.kafka import clients
from streams.adapters.kafka.time_limits import within

log = structlog.get_logger(__name__)

CLOSE_SECONDS_MAX = 10.0
"""A reader has nothing to commit and no group to leave: it closes at once, or its client hangs."""


def reader(
    options: Mapping[str, Any],
    client_id: str,
    *,
    tuning: Mapping[str, str | int] | None = None,
    out_of_range: Literal["earliest", "error"] = "earliest",
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
) -> Consumer:
    """A consumer to `assign`. It is told the end of each partition, for offsets of a topic that transactions write
    never count records. `tuning` gives way to the configuration's options."""
    return clients.consumer(
        {
            **(tuning or {}),
            **options,
            "client.id": client_id,
            "group.id": client_id,  # required by the client; nothing is ever committed
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": out_of_range,
            "enable.partition.eof": True,
        }
    )


def let_go(consumer: Consumer) -> None:
    """Close a reader. One that cannot be closed is abandoned: the next reader must not wait for it."""
    try:
        within(CLOSE_SECONDS_MAX, consumer.close)
    except TimeoutError:
        log.warning("a reader of Kafka does not close, it is left behind")
