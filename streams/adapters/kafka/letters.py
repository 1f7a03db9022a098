"""Dead-letter topics for a keeper: read from given offsets, without a group, and deleted up to a cursor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.clients import let_go
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import read, reader
from streams.adapters.kafka.topic_ids import topic_ids
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.letters import LetterPage

log = structlog.get_logger(__name__)

TUNING = {"queued.max.messages.kbytes": 8_192, "fetch.queue.backoff.ms": 10, "fetch.wait.max.ms": 100}
"""At most 8 MB of letters are fetched ahead. This limits a keeper's memory and the size of its transactions."""
ANSWER_SECONDS_MAX = 10.0
_NOTHING_THERE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
"""The topic was deleted, and its letters with it."""


class DeadLetterReader:
    """Reads partitions of dead-letter topics as committed. `open` says from where; the first `open` connects."""

    def __init__(self, options: Mapping[str, Any], client_id: str) -> None:
        self._options = options
        self._client_id = client_id
        self._opened: Consumer | None = None

    @property
    def _consumer(self) -> Consumer:
        if self._opened is None:
            options = clients.unhurried(self._options)  # while Kafka is away, nobody may read for long
            self._opened = reader(options, self._client_id, tuning=TUNING, out_of_range="error")
        return self._opened

    def open(self, starts: Mapping[Partition, int]) -> None:
        """Read only these partitions, from these offsets on; 0 is the earliest record."""
        self._consumer.assign(
            [TopicPartition(*partition, offset or OFFSET_BEGINNING) for partition, offset in starts.items()]
        )

    def read(self, records_max: int, timeout_seconds: float) -> LetterPage:
        """The next letters, and the ends of partitions that were reached."""
        reading = read(self._consumer, self._client_id, records_max, timeout_seconds)
        for message in reading.errors:
            error, topic = message.error(), message.topic() or ""
            if error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._skip_to_earliest(topic, message.partition() or 0)
            else:
                log.warning("the Kafka client reports an error", error=str(error), topic=topic)
        return LetterPage(reading.records, reading.ends)

    def close(self) -> None:
        if self._opened is not None:
            let_go(self._opened)
            self._opened = None

    def _skip_to_earliest(self, topic: str, number: int) -> None:
        """Letters after a cursor were deleted, but not by the keeper."""
        log.error("dead letters were deleted by somebody else", topic=topic, partition=number)
        place = TopicPartition(topic, number, OFFSET_BEGINNING)
        self._consumer.incremental_unassign([place])
        self._consumer.incremental_assign([place])


class DeadLetterTopics:
    """The requests that a keeper makes about the topics themselves."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = clients.administration_client(options)

    def partitions(self, topic: str) -> Sequence[Partition]:
        """The topic's partitions; none if it does not exist. Raises `KafkaUnreachable`."""
        try:
            found = self._client.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics.get(topic)
        except KafkaException as exception:
            raise KafkaUnreachable(f"{topic}: {exception.args[0]}") from exception
        if found is None or (found.error is not None and found.error.code() in _NOTHING_THERE):
            return []
        if found.error is not None:
            raise KafkaUnreachable(
                str(denial(found.error, topic=topic, operation="Describe") or f"{topic}: {found.error.str()}")
            )
        return [(topic, number) for number in sorted(found.partitions)]

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """The ids that these topics have now, as far as Kafka tells. Raises `KafkaUnreachable`."""
        return topic_ids(self._client, topics)

    def delete_before(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Delete records before these offsets. Returns the partitions where that failed, and why."""
        failed = dict[Partition, str]()
        there = set[Partition]()
        for topic in sorted({topic for topic, _ in offsets}):
            try:  # the client fails all partitions of a request if one of them does not exist
                there.update(self.partitions(topic))
            except KafkaUnreachable as away:
                failed |= {partition: str(away) for partition in offsets if partition[0] == topic}
        places = [TopicPartition(*partition, offset) for partition, offset in offsets.items() if partition in there]
        if not places:
            return failed
        try:
            futures = self._client.delete_records(
                places, request_timeout=ANSWER_SECONDS_MAX, operation_timeout=ANSWER_SECONDS_MAX
            )
        except KafkaException as exception:
            return failed | {(place.topic, place.partition): str(exception.args[0]) for place in places}
        for place, future in futures.items():
            try:
                answer_of(future, 2 * ANSWER_SECONDS_MAX)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.code() not in _NOTHING_THERE:
                    denied = denial(error, topic=place.topic, operation="Delete")
                    failed[place.topic, place.partition] = str(denied or error.str())
            except TimeoutError:
                failed[place.topic, place.partition] = f"no answer within {2 * ANSWER_SECONDS_MAX:.0f} s"
        return failed
