"""What a process committed last for a topic that was deleted: Kafka forgets it with the topic.

A topic that is deleted is taken away from the process that reads it. Its commits are gone then, and the keeper's copy
of them is up to 30 s old. So the process writes what it committed last to the state topic. The process that gets the
partition of the new topic continues with these counts.

A topic may also be deleted while nobody has its partitions, for example when all members lost them because a broker
restarted. So what was taken away is remembered for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import structlog

from streams.delivery.metadata import is_of_another_topic, records_counted
from streams.ports.clock import Clock
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.state.records import StateError
from streams.state.worker_records import LastCommit

log = structlog.get_logger(__name__)

KEEP_SECONDS = 120.0
"""After this time another process has the partition, and has committed for it."""
LOOK_SECONDS = 5.0

Told = Callable[[], Mapping[Partition, LastCommit]]
"""Reads what the state topic has already. Raises `KafkaUnreachable` and `StateError`."""


@dataclass(frozen=True, slots=True)
class _Left:
    commit: LastCommit
    until: float


class LastCommits:
    """`topic_ids` asks Kafka for the ids that topics have now; those of deleted topics are left out."""

    def __init__(
        self, connector: str, topic_ids: Callable[[Collection[str]], Mapping[str, str]], told: Told, clock: Clock
    ) -> None:
        self._connector = connector
        self._topic_ids = topic_ids
        self._told = told
        self._clock = clock
        self._left: dict[Partition, _Left] = {}
        self._look_at = float("-inf")

    def taken_away(self, partition: Partition, offset: int, metadata: str) -> None:
        """What was committed last of it. Makes no request."""
        until = self._clock.monotonic() + KEEP_SECONDS
        self._left[partition] = _Left(LastCommit(offset=offset, metadata=metadata), until)
        self._look_at = float("-inf")

    def of_deleted(self, given: Collection[Partition] = ()) -> Mapping[Partition, LastCommit]:
        """What has to be written, until `written` is told: of the topics that were deleted, or made again. Looks from
        time to time, and at once where partitions are given: these are forgotten if their topics are the same."""
        now = self._clock.monotonic()
        self._left = {place: left for place, left in self._left.items() if left.until > now}
        if not self._left or (now < self._look_at and not given):
            return {}
        self._look_at = now + LOOK_SECONDS
        try:
            ids = self._topic_ids({topic for topic, _ in self._left})
            gone = {
                place: left.commit
                for place, left in self._left.items()
                if place[0] not in ids or is_of_another_topic(left.commit.metadata, ids[place[0]])
            }
            told = self._told() if gone else {}
        except (KafkaUnreachable, StateError) as error:
            log.warning("could not look for deleted topics", connector=self._connector, error=str(error))
            return {}
        known = {place for place, commit in gone.items() if place in told and _has(told[place], commit)}
        for place in {*known, *(place for place in given if place not in gone)}:
            self._left.pop(place, None)
        return {place: commit for place, commit in gone.items() if place not in known}

    def written(self, places: Collection[Partition]) -> None:
        for place in places:
            self._left.pop(place, None)


def _has(told: LastCommit, commit: LastCommit) -> bool:
    """Whether another process told as much already: counts of a partition only grow."""
    return records_counted(told.metadata) >= records_counted(commit.metadata)
