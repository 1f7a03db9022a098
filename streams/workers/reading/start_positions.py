"""Where a partition begins that its group never committed: at the keeper's copy of the commits, else at the earliest.

Kafka forgets what a group committed once it had no member for 7 days (`offsets.retention.minutes`). Without the copy a
connector that was off for longer would deliver all of its topic again, and its account would begin at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streams.ports.kafka import Consumer, Partition, Start
from streams.state.audit import Started

NEVER = "the group had never committed"
FORGOTTEN = "the group's commits were forgotten: begun at the keeper's copy of them"
MADE_AGAIN = "the topic was deleted and made again"


@dataclass(frozen=True, slots=True)
class Copied:
    """A keeper's copy of a commit, of one topic. Copies of earlier versions tell no id: they are believed."""

    offset: int
    metadata: str
    topic_id: str = ""


Copies = Callable[[], Mapping[Partition, Copied]]
"""Reads the keeper's copies."""


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
            found.append(Beginning(start, NEVER))
        elif copy.topic_id and start.topic_id and copy.topic_id != start.topic_id:
            # Kafka forgot the commits with the topic: counts of the old one stay, offsets mean nothing any more.
            found.append(Beginning(replace(start, metadata=copy.metadata), MADE_AGAIN))
        else:
            offset = max(copy.offset, start.offset)
            consumer.rewind((start.topic, start.partition), offset)
            moved = replace(start, offset=offset, metadata=copy.metadata)
            found.append(Beginning(moved, FORGOTTEN, lost=offset - copy.offset))
    return found


def audit_lines(who: str, connector: str, at_ms: int, begun: Mapping[str, tuple[int, str]]) -> list[Started]:
    """One line for each reason. `begun`: offset and reason, by the partition's name."""
    lines = []
    for why in dict.fromkeys(reason for _, reason in begun.values()):
        places = {name: offset for name, (offset, reason) in begun.items() if reason == why}
        what = "started at a copy" if why == FORGOTTEN else "started at the earliest record"
        lines.append(Started(what=what, why=why, partitions=places).stamped(at_ms, who, connector))
    return lines
