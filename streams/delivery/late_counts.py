"""Counts of a Currents topic that was deleted, and that came too late for the process that began the new topic.

Kafka forgets the counts of a commit with its topic. The router that had the partition writes them to the state topic
(`LastCommit`), and the router that begins the new topic goes on with them. If the first one hangs for some seconds, the
other has begun already, with what was known then (`Began`). What came late is then in no commit, so it is added
wherever counts are read, and when the next topic of this name begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.delivery.account import RouterCounts
from streams.delivery.metadata import id_of


@dataclass(frozen=True, slots=True)
class Late:
    """Of one partition: what was told last of a topic that was deleted, and what the next one began with."""

    told: RouterCounts
    begun_with: RouterCounts


def late_counts(late: Late | None, counts: RouterCounts | None) -> RouterCounts:
    """What is missing in `counts`, which a commit or a copy of the same partition has; nothing where these are of the
    topic of which was told, or of one that is not known."""
    if late is None or counts is None:
        return RouterCounts()
    told, before = late.told, late.begun_with
    if not counts.topic or not told.topic or counts.topic == told.topic or told.read <= before.read:
        return RouterCounts()
    return RouterCounts(
        routed=_beyond(_by_id(told.routed), _by_id(before.routed)),
        skipped=_beyond(told.skipped, before.skipped),
        undecodable=max(0, told.undecodable - before.undecodable),
        lost=max(0, told.lost - before.lost),
        read=told.read - before.read,
    )


def _by_id(routed: Mapping[str, int]) -> dict[str, int]:
    """The counts of connectors may stand under their names in one commit, and under their ids in another."""
    counts: dict[str, int] = {}
    for name, count in routed.items():
        counts[id_of(name)] = counts.get(id_of(name), 0) + count
    return counts


def _beyond(counts: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: more for name, count in counts.items() if (more := count - before.get(name, 0)) > 0}
