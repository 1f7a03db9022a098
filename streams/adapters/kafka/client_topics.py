"""Whether a client reads nothing of a topic that was made again.

librdkafka keeps the highest leader epoch that it has seen of each partition, also after the topic was deleted. The
epoch rises when a broker restarts or another one leads. A topic that is made again begins at epoch 0. A client that
has seen a higher one ignores what brokers say of the new topic and asks with the old epoch, so it reads nothing, for
ever (its issue 4898, about producers, has the same cause). Nothing makes a client forget an epoch, and it does not say
which ones it knows. So we look: if there are records of the new topic and the client reads none, it needs a successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.adapters.kafka.answers import answer_of
from streams.ports.kafka import Message, Partition, Start

ASK_SECONDS = 3.0
"""Between two questions for the ends of partitions of which nothing was read yet, and before the first. In this time
the worker also commits its counts for the new topic: Kafka has forgotten what the group committed for the old one."""
ANSWER_SECONDS_MAX = 10.0


class ClientTopics:
    """The id under which one client first had each topic, and the partitions that it has under another id and of which
    it has read nothing yet. `asker` asks where they end, without waiting for the answer."""

    def __init__(self, asker: Callable[[], AdminClient]) -> None:
        self._asker = asker
        self._ids: dict[str, str] = {}
        self._unread: dict[Partition, int] = {}
        self._asked: Mapping[TopicPartition, Future[Any]] = {}
        self._ask_at = 0.0

    def begun(self, starts: Iterable[Start]) -> None:
        """The client reads these partitions from now on."""
        for start in starts:
            if start.topic_id and self._ids.setdefault(start.topic, start.topic_id) != start.topic_id:
                self._unread[start.topic, start.partition] = start.offset
                self._ask_at = time.monotonic() + ASK_SECONDS

    def read(self, records: Collection[Message]) -> None:
        """Records of the partitions as they are now: what can be read once, can be read."""
        if self._unread:
            for record in records:
                self._unread.pop((record.topic(), record.partition()), None)

    def taken_away(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._unread.pop(partition, None)

    def missed(self) -> frozenset[str]:
        """The topics that have records of which the client reads none. Asks from time to time, and does not wait."""
        if not self._unread:
            return frozenset()
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return frozenset()
            asked, self._asked = self._asked, {}
            return frozenset(place.topic for place, future in asked.items() if self._is_missed(place, future))
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_SECONDS
            latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            self._asked = self._asker().list_offsets(
                {TopicPartition(*partition): latest for partition in self._unread},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=ANSWER_SECONDS_MAX,
            )
        return frozenset()

    def _is_missed(self, place: TopicPartition, answer: Future[Any]) -> bool:
        begins = self._unread.get((place.topic, place.partition))
        try:
            return begins is not None and int(answer_of(answer).offset) > begins
        except KafkaException:
            return False  # asked again
