"""The consumer of the bare loops: a member of a group, with the settings that make it fast."""

from __future__ import annotations

from confluent_kafka import Consumer


def bare_consumer(bootstrap: str, group: str) -> Consumer:
    """A member of a group that reads what was committed, as fast as it can."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16_384,
            "fetch.queue.backoff.ms": 10,
        }
    )
