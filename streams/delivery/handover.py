"""Counts of connectors that left the configuration: they leave the router's commits and go to the source's keeper.

Kafka bounds the metadata of a commit, so counts of every connector that ever was do not fit there for ever. For each
partition the counts change hands in numbered steps:

1. the keeper reads a commit, and writes how much of it it takes over: step n, `total` and `last`;
2. the router, once it reads that record, takes `last` away from its counts and commits them with n.

A step begins only once the one before it is in a commit. The number in the commit says which of the two has the counts
of `last`, so they count once, whatever is killed between the two. A connector that comes back begins at nothing in the
commits; what the keeper holds is added.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from streams.delivery.account import RouterCounts
from streams.delivery.metadata import connector_id, id_of


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What the keeper took over of one partition, by connector's name or id: in all `times`, and in the last one."""

    times: int
    total: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)


def retired(counts: RouterCounts, connectors: Collection[str]) -> dict[str, int]:
    """Counts of connectors that are not among these, by name or id as they were read."""
    known = {connector_id(name) for name in connectors}
    return {name: count for name, count in counts.routed.items() if count and id_of(name) not in known}


def next_hand_over(
    counts: RouterCounts, connectors: Collection[str], before: HandedOver | None = None
) -> HandedOver | None:
    """What the keeper takes over of a commit with these counts; None where there is nothing, or where the step before
    is in no commit yet."""
    if before is not None and counts.handed_over < before.times:
        return None
    last = retired(counts, connectors)
    if not last:
        return None
    total = {} if before is None else dict(before.total)
    for name, count in last.items():
        total[name] = total.get(name, 0) + count
    return HandedOver(counts.handed_over + 1, total, last)


def without(counts: RouterCounts, handed: HandedOver) -> RouterCounts:
    """A router's counts after it gave away what the keeper took over; the same counts where it did already."""
    if counts.handed_over >= handed.times:
        return counts
    routed = dict(counts.routed)
    if _holds_last(counts, handed):
        names = {id_of(name): name for name in routed}
        for name, count in handed.last.items():
            routed[names[id_of(name)]] -= count
    kept = {name: count for name, count in routed.items() if count}
    return replace(counts, routed=kept, handed_over=handed.times)


def owed(counts: RouterCounts | None, handed: HandedOver) -> dict[str, int]:
    """What the keeper holds beyond a partition's commit, by name or id. `counts` is None where there is no commit."""
    if counts is None or counts.handed_over >= handed.times or not _holds_last(counts, handed):
        return dict(handed.total)
    return {name: count - handed.last.get(name, 0) for name, count in handed.total.items()}


def _holds_last(counts: RouterCounts, handed: HandedOver) -> bool:
    """False for a commit of an earlier step, or one that somebody set to nothing: what it had is the keeper's alone."""
    if counts.handed_over != handed.times - 1:
        return False
    by_id = {id_of(name): count for name, count in counts.routed.items()}
    return all(by_id.get(id_of(name), 0) >= count for name, count in handed.last.items())
