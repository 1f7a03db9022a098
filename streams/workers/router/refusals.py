"""Finds the records that Kafka does not take, by their size or by a policy.

A transaction with such a record is refused as a whole, and so is every record that shared a batch with it. So it is
done again with half as many records, until the one that is refused stands alone. That one is known from then on, goes
where it is taken, and transactions grow again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Message, Partition
from streams.workers.bisection import Bisection

log = structlog.get_logger(__name__)

POLL_RECORDS_MAX = 5_000
"""Records of one transaction: a commit costs two round trips, whatever it holds."""

Place = tuple[str, int, int]
"""Topic, partition number, offset."""


class Refusals:
    """Which topics do not take which records, as far as it matters: of records that are not committed yet."""

    def __init__(self, audit_topic: str) -> None:
        self.known: dict[Place, dict[str, str]] = {}
        """By the place that a record was read from: why, by the topic that refuses it."""
        self._bisection = Bisection(POLL_RECORDS_MAX)
        self.is_audit_refused = False
        self._audit_topic = audit_topic

    @property
    def records_max(self) -> int:
        """How many records the next transaction may hold."""
        return self._bisection.items_max

    def why(self, place: Place, topic: str) -> str:
        """Why this topic does not take the record; empty where it was not refused."""
        return self.known.get(place, {}).get(topic, "")

    def learn(self, refused: RecordsRefused, messages: Sequence[Message]) -> None:
        """A transaction of these records was refused."""
        if self._audit_topic in refused.refusals:
            self.is_audit_refused = True
        elif self._bisection.refused(len(messages)):
            [message] = messages
            place = (message.topic(), message.partition(), message.offset())
            self.known.setdefault(place, {}).update(refused.refusals)
            log.warning("record refused", topic=place[0], partition=place[1], offset=place[2], error=str(refused))
        else:
            log.info("Kafka refused a record, searching for it", records=len(messages), error=str(refused))

    def passed(self, next_offsets: Mapping[Partition, int]) -> None:
        """A transaction was committed; all before these offsets is behind us."""
        self._bisection.passed()
        self.is_audit_refused = False
        if self.known:
            self.known = {
                place: why for place, why in self.known.items() if place[2] >= next_offsets.get(place[:2], place[2] + 1)
            }
