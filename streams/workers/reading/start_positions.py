"""Where a partition begins that its group never committed: at the keeper's copy of the commits, else at the earliest.

Kafka forgets what a group committed once it had no member for 7 days (`offsets.retention.minutes`). Without the copy a
connector that was off for longer would deliver all of its topic again, and its account would begin at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from streams.config.names import SOURCE
from streams.delivery.account import RouterCounts
from streams.delivery.late_counts import late_counts
from streams.delivery.metadata import is_of_another_topic, records_counted
from streams.ports.kafka import Consumer, Partition, Start
from streams.state.audit import Started
from streams.state.state_view import StateView

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


def copied(view: StateView) -> Mapping[Partition, Copied]:
    """The keeper's copies of commits; for topics that were deleted, what was committed last, if that is newer. Counts
    that came late are added to the copies. Raises `MetadataError`."""
    found = {
        (topic, int(number)): Copied(*commit, copy.topic_id)
        for topic, copy in view.copies.items()
        for number, commit in copy.partitions.items()
    }
    lates = view.late if view.connector == SOURCE else {}
    for place, last in view.last_commits.items():
        copy = found.get(place)
        if copy is not None and place in lates:
            counts = RouterCounts.from_metadata(copy.metadata)
            counts.add(late_counts(lates[place], counts))
            found[place] = copy = replace(copy, metadata=counts.to_metadata())
        if copy is None or records_counted(last.metadata) > records_counted(copy.metadata):
            found[place] = Copied(last.offset, last.metadata)
    return found


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
    known = {} if all(start.metadata is not None for start in starts) else copies()
    found = []
    for start in starts:
        copy = None if start.metadata is not None else known.get((start.topic, start.partition))
        if start.metadata is not None:
            found.append(Beginning(start, MADE_AGAIN if start.is_made_again else ""))
        elif copy is None:
            found.append(Beginning(start, NEVER))
        elif _is_of_another_topic(copy, start):
            # Kafka forgot the commits with the topic: counts of the old one stay, offsets mean nothing any more.
            found.append(Beginning(replace(start, metadata=copy.metadata), MADE_AGAIN))
        else:
            offset = max(copy.offset, start.offset)
            consumer.rewind((start.topic, start.partition), offset)
            moved = replace(start, offset=offset, metadata=copy.metadata)
            found.append(Beginning(moved, FORGOTTEN, lost=offset - copy.offset))
    return found


def _is_of_another_topic(copy: Copied, start: Start) -> bool:
    """The copy may have been made under the new topic's id, of a commit that was still made for the old one."""
    is_another = bool(copy.topic_id and start.topic_id) and copy.topic_id != start.topic_id
    return is_another or is_of_another_topic(copy.metadata, start.topic_id)


def audit_lines(who: str, connector: str, at_ms: int, begun: Mapping[str, tuple[int, str]]) -> list[Started]:
    """One line for each reason. `begun`: offset and reason, by the partition's name."""
    lines = []
    for why in dict.fromkeys(reason for _, reason in begun.values()):
        places = {name: offset for name, (offset, reason) in begun.items() if reason == why}
        what = "started at a copy" if why == FORGOTTEN else "started at the earliest record"
        lines.append(Started(what=what, why=why, partitions=places).stamped(at_ms, who, connector))
    return lines
