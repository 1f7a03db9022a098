"""Partitions that a group gave to none of its members.

One member divides the partitions. It asks for the topics at that moment, and leaves out a topic that is not there just
then, for example because it is being made again. Each client compares the topics with those that it saw before it
joined. When the topic is back it sees no difference, so the group does not divide the partitions again, and nobody
reads the topic (seen with librdkafka 2.16). So the members look at what the group gave out, and one of them joins
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import ConsumerGroupState

from streams.ports.kafka import Partition

LOOKS_MIN = 2
"""So often in a row a partition is seen without an owner before a member joins again. Between two looks the clients
see a new topic by themselves (`member_settings.METADATA_REFRESH_MS`)."""
LOOKS_MAX = 40
"""Each time that it did not help, twice as many looks are waited for, up to these: a rebalance stops the others."""


class LeftOut:
    """Decides when this member has to join again. Members act one after another, in the order of their ids: the first
    one may be an older version of this program, or hang."""

    def __init__(self) -> None:
        self._looks: dict[Partition, int] = {}
        self._looks_min = LOOKS_MIN

    def look(self, group: Any, partitions: Mapping[str, int], member: str) -> frozenset[str]:
        """The topics that have a partition without an owner, when it is this member's turn to join again; else none.

        `group` is the answer to a question for its members, `partitions` how many each topic of this member has now.
        """
        members = sorted(one.member_id for one in group.members)
        if group.state != ConsumerGroupState.STABLE or member not in members:
            return frozenset()
        owned = {(one.topic, one.partition) for each in group.members for one in each.assignment.topic_partitions}
        every = {(topic, number) for topic, count in partitions.items() for number in range(count)}
        self._looks = {partition: self._looks.get(partition, 0) + 1 for partition in every - owned}
        if not self._looks:
            self._looks_min = LOOKS_MIN
        elif max(self._looks.values()) >= self._looks_min + members.index(member):
            topics = frozenset(topic for topic, _ in self._looks)
            self._looks.clear()
            self._looks_min = min(2 * self._looks_min, LOOKS_MAX)
            return topics
        return frozenset()
