"""Where a group's partitions begin: the offsets that it committed, and the earliest that the broker still has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.client_errors import text_of
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.time_limits import CALL_SECONDS_MAX, CONTACT_SECONDS_MAX, Patience
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition, Position


class GroupOffsets:
    """Asks for a group's offsets. Every question raises `AccessDenied`, or `KafkaUnreachable` after 60 s.

    The offsets of a killed member cannot be read before its transaction has ended, which takes 10 to 20 s.
    """

    def __init__(self, consumer: Consumer, group: str) -> None:
        self._consumer = consumer
        self._group = group

    def committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Waits for the pending transaction of a member that was killed, if there is one."""
        return self._ask(partitions, lambda: self._consumer.committed(partitions, timeout=CALL_SECONDS_MAX))

    def earliest(self, partitions: Sequence[TopicPartition]) -> dict[Partition, int]:
        """The first offset of each, in one request; 0 for a topic that was deleted meanwhile."""
        asked = [TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in partitions]
        if not asked:
            return {}
        return _offsets(self._ask(asked, lambda: self._first(asked)))

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """Its earliest offset, and the one after its last record. Raises `KafkaUnreachable`, also while the topic is
        deleted."""
        try:
            earliest, end = self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=CALL_SECONDS_MAX)
        except KafkaException as exception:
            raise_if_denied(exception.args[0], partition[0], self._group)
            raise KafkaUnreachable(text_of(exception)) from exception
        return int(earliest), int(end)

    def _first(self, asked: list[TopicPartition]) -> list[TopicPartition]:
        """Raises `KafkaException`, also if the answer for one partition is an error."""
        found = self._consumer.offsets_for_times(asked, timeout=CALL_SECONDS_MAX)
        for one in found:
            if one.error is not None and one.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(one.error)
        return found

    def _ask(
        self, partitions: Sequence[TopicPartition], call: Callable[[], list[TopicPartition]]
    ) -> list[TopicPartition]:
        patience = Patience(CONTACT_SECONDS_MAX)
        while True:
            try:
                return call()
            except KafkaException as exception:
                topics = ", ".join(sorted({one.topic for one in partitions}))
                raise_if_denied(exception.args[0], topics, self._group)
                if not patience.again():
                    raise KafkaUnreachable(text_of(exception)) from exception


def raise_if_denied(error: KafkaError, topics: str, group: str) -> None:
    """Raises `AccessDenied` if the authorizer does not let the group read these topics."""
    if denied := denial(error, topic=topics, operation="Read", group=group):
        raise denied


def topic_partitions(positions: Sequence[Position]) -> list[TopicPartition]:
    """Offsets with their metadata, as the client takes them."""
    return [
        TopicPartition(position.topic, position.partition, position.offset, position.metadata) for position in positions
    ]


def _offsets(found: Sequence[TopicPartition]) -> dict[Partition, int]:
    """A topic that was deleted meanwhile has no offset: there is nothing to skip, so it begins at 0."""
    return {(one.topic, one.partition): max(0, one.offset) for one in found}
