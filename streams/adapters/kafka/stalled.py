"""Whether a client reads nothing of a partition though there is more of it.

After a broker restarted, a client may get no record for ever, and no error either (seen with librdkafka 2.16). So Kafka
is asked where the partition ends. A client that stands before the end twice in a row, at the same place, needs a
successor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.adapters.kafka.answers import answer_of

ASK_SECONDS = 5.0
ANSWER_SECONDS_MAX = 10.0
NOWHERE = -1


class StallWatch:
    """Asks from time to time, and does not wait for the answers. `asker` gives the client that asks."""

    def __init__(self, asker: Callable[[], AdminClient], topic: str, partition: int) -> None:
        self._asker = asker
        self._place = TopicPartition(topic, partition)
        self._asked: Mapping[TopicPartition, Future[Any]] = {}
        self._ask_at = time.monotonic() + ASK_SECONDS
        self._stood_at = NOWHERE
        """Where the client stood at the last answer, if that was before the end."""

    def look(self, reached: int) -> bool:
        """Whether the client stands still before the end. `reached` is the offset that it reads next."""
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return False
            asked, self._asked = self._asked, {}
            is_before_the_end = any(reached < _end(future) for future in asked.values())
            is_stalled = is_before_the_end and self._stood_at == reached
            self._stood_at = reached if is_before_the_end and not is_stalled else NOWHERE
            return is_stalled
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + ASK_SECONDS
            latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            self._asked = self._asker().list_offsets(
                {self._place: latest},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=ANSWER_SECONDS_MAX,
            )
        return False


def _end(answer: Future[Any]) -> int:
    try:
        return int(answer_of(answer).offset)
    except KafkaException:
        return NOWHERE  # asked again
