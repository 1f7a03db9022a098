"""Topics of what sinks remember: rows of a connector's partition lie in the partition of the same number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.config import Settings
from streams.config.topology import Unequal
from streams.ports.kafka import Partition


def with_memory(settings: Settings) -> tuple[str, ...]:
    """Connectors whose sinks remember what they sent."""
    return tuple(name for name, connector in settings.connectors.items() if connector.kind.is_received)


def unequal(settings: Settings, partitions: Callable[..., Sequence[Partition]]) -> tuple[Unequal, ...]:
    """Connectors whose topics are both there and differ. `partitions` is the cluster's, and raises as it does."""
    found = []
    for name in with_memory(settings):
        topic, sent = settings.topics.connector(name), settings.topics.sent(name)
        there = [place for place, _ in partitions(topic, sent)]
        counts = there.count(topic), there.count(sent)
        if all(counts) and counts[0] != counts[1]:
            found.append(Unequal(name, topic, counts[0], sent, counts[1]))
    return tuple(found)
