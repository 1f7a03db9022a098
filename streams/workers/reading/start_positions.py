"""Where a partition begins that its group never committed: at the keeper's copy of the commits, else at the earliest.

Kafka forgets what a group committed once it had no member for 7 days (`offsets.retention.minutes`). Without the copy a
connector that was off for longer would deliver all of its topic again, and its account would begin at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.ports.kafka import Consumer, Partition, Start

Copies = Callable[[], Mapping[Partition, tuple[int, str]]]
"""Reads the keeper's copies: offset and metadata by partition."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """A partition's start. `why` is empty where the group had committed it; else it is to be audited.

    `lost` counts offsets that retention deleted behind a copy.
    """

    start: Start
    why: str = ""
    lost: int = 0


def beginnings(starts: Sequence[Start], copies: Copies, consumer: Consumer) -> list[Beginning]:
    """Each start, or the copy's; the consumer is moved there. The copies are read only where a commit is missing."""
    if all(start.metadata is not None for start in starts):
        return [Beginning(start) for start in starts]
    known = copies()
    found = []
    for start in starts:
        copy = None if start.metadata is not None else known.get((start.topic, start.partition))
        if start.metadata is not None:
            found.append(Beginning(start))
        elif copy is None:
            found.append(Beginning(start, "the group had never committed"))
        else:
            offset, metadata = max(copy[0], start.offset), copy[1]
            consumer.rewind((start.topic, start.partition), offset)
            why = "the group's commits were forgotten: begun at the keeper's copy of them"
            moved = Start(start.topic, start.partition, offset, metadata)
            found.append(Beginning(moved, why, lost=offset - copy[0]))
    return found


def audit_lines(who: str, at_ms: int, begun: Mapping[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """One line for each reason. `begun`: offset and reason, by partition as people name it."""
    lines = []
    for why in dict.fromkeys(reason for _, reason in begun.values()):
        places = {name: offset for name, (offset, reason) in begun.items() if reason == why}
        what = "started at the earliest record" if why == "the group had never committed" else "started at a copy"
        lines.append({"v": 1, "at": at_ms, "who": who, "what": what, "why": why, "partitions": places})
    return lines
