"""Dead-letter topics for a keeper: read from given offsets, without a group, and deleted up to a cursor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka import clients
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import let_go, reader
from streams.adapters.kafka.topic_ids import topic_ids
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import LetterPage

log = structlog.get_logger(__name__)

TUNING = {"queued.max.messages.kbytes": 8_192, "fetch.queue.backoff.ms": 10, "fetch.wait.max.ms": 100}
"""8 MB of prefetched letters bound what a keeper holds, and what one of its transactions writes."""
ANSWER_SECONDS_MAX = 10.0
_NOTHING_THERE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
"""The topic was deleted, and its letters with it."""


class DeadLetterReader:
    """Reads partitions of dead-letter topics as committed, from where it is told; it connects when it is first told."""

    def __init__(self, options: Mapping[str, Any], client_id: str) -> None:
        self._options = options
        self._client_id = client_id
        self._opened: Consumer | None = None

    @property
    def _consumer(self) -> Consumer:
        if self._opened is None:
            self._opened = reader(self._options, self._client_id, tuning=TUNING, out_of_range="error")
        return self._opened

    def open(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on, and no others; 0 is the earliest that there is."""
        self._consumer.assign(
            [TopicPartition(*partition, offset or OFFSET_BEGINNING) for partition, offset in starts.items()]
        )

    def read(self, records_max: int, timeout_seconds: float) -> LetterPage:
        """The next letters; ends of partitions as they are told."""
        letters: list[Message] = []
        ends: dict[Partition, int] = {}
        for message in self._consumer.consume(records_max, timeout_seconds):
            error = message.error()
            if error is None:
                letters.append(message)  # type: ignore[arg-type]
            elif error.code() == KafkaError._PARTITION_EOF:
                ends[message.topic() or "", message.partition() or 0] = message.offset() or 0
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                self._skip_to_earliest(message.topic() or "", message.partition() or 0)
            elif denied := denial(error, topic=message.topic() or "", operation="Read", group=self._client_id):
                raise denied
            else:
                log.warning("kafka says", error=str(error), topic=message.topic())
        return LetterPage(letters, ends)

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
    """What a keeper asks and does with the topics themselves."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = clients.administration_client(options)

    def partitions(self, topic: str) -> Sequence[Partition]:
        """The topic's partitions; none where it does not exist. Raises `KafkaUnreachable`."""
        try:
            found = self._client.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics.get(topic)
        except KafkaException as exception:
            raise KafkaUnreachable(f"{topic}: {exception.args[0]}") from exception
        if found is None or found.error is not None:
            return []
        return [(topic, number) for number in sorted(found.partitions)]

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Which topics these names stand for now, as far as Kafka tells. Raises `KafkaUnreachable`."""
        return topic_ids(self._client, topics)

    def delete_before(self, offsets: Mapping[Partition, int]) -> Mapping[Partition, str]:
        """Delete records before these offsets. Partitions where that failed, and why."""
        try:
            # The client fails all partitions of a request if one of them does not exist.
            there = {partition for topic in {topic for topic, _ in offsets} for partition in self.partitions(topic)}
        except KafkaUnreachable as away:
            return dict.fromkeys(offsets, str(away))
        places = [TopicPartition(*partition, offset) for partition, offset in offsets.items() if partition in there]
        if not places:
            return {}
        try:
            futures = self._client.delete_records(
                places, request_timeout=ANSWER_SECONDS_MAX, operation_timeout=ANSWER_SECONDS_MAX
            )
        except KafkaException as exception:
            return {(place.topic, place.partition): str(exception.args[0]) for place in places}
        failed = {}
        for place, future in futures.items():
            try:
                future.result(2 * ANSWER_SECONDS_MAX)
            except KafkaException as exception:
                error: KafkaError = exception.args[0]
                if error.code() not in _NOTHING_THERE:
                    denied = denial(error, topic=place.topic, operation="Delete")
                    failed[place.topic, place.partition] = str(denied or error.str())
            except TimeoutError:
                failed[place.topic, place.partition] = f"no answer within {2 * ANSWER_SECONDS_MAX:.0f} s"
        return failed
