"""Where each partition of a member is read next, and what it means if the broker does not have that offset."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import Enum

from confluent_kafka import Consumer, TopicPartition

from streams.ports.kafka import Gap, Partition

ANOTHER_SECONDS = 5.0
"""A partition that ends before the place where it is read: its topic was made again, and brokers learn its new id one
after another. If the id is still the same after this time, the broker has lost the end of the partition."""


class Meaning(Enum):
    """What it means that an offset is not there, where it is not a gap."""

    OUTDATED = "the partition was moved since: read on where it is"
    WAIT = "ask again: the topic may be another one"
    CUT_OFF = "the partition ends before the place where it is read"


class ReadPlaces:
    """The client tells where it read last. It does not tell where a partition was put since: that is kept here.

    The client also tells that an offset is not there after the partition was moved to another one: it orders these
    events with nothing. So each is compared with the place where the partition is read now.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._put: dict[Partition, int] = {}
        self._beyond: dict[Partition, float] = {}

    def put(self, places: Iterable[TopicPartition]) -> None:
        """They are read from these offsets on."""
        for one in places:
            self._put[one.topic, one.partition] = one.offset
            self._beyond.pop((one.topic, one.partition), None)

    def forget(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._put.pop(partition, None)
            self._beyond.pop(partition, None)

    def next_of(self, partition: Partition, asked: int) -> int:
        """The offset that is read next; `asked` if the partition was never moved and nothing of it was read."""
        read: int = self._consumer.position([TopicPartition(*partition)])[0].offset
        return read if read >= 0 else self._put.get(partition, asked)

    def meaning(self, partition: Partition, asked: int, earliest: int, end: int) -> Gap | Meaning:
        """What it means that the broker did not have the offset `asked`. It has those from `earliest` to `end`."""
        next_offset = self.next_of(partition, asked)
        position = max(next_offset, asked)  # what lies between the two are no records: marks of transactions
        if position < earliest:
            return Gap(*partition, position, earliest)
        if next_offset <= end:
            return Meaning.OUTDATED
        now = time.monotonic()
        since = self._beyond.setdefault(partition, now)
        return Meaning.WAIT if now - since < ANOTHER_SECONDS else Meaning.CUT_OFF
