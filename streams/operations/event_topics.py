"""The topics of event types: made when the first event of a type comes, where the configuration allows that."""

from __future__ import annotations

from streams.config.kafka import MESSAGE_BYTES_MAX, TopicDefaults
from streams.ports.cluster import Cluster
from streams.ports.errors import KafkaRefusal


class EventTopics:
    """Sees that Currents topics are there. One thread uses it."""

    def __init__(self, shape: TopicDefaults, cluster: Cluster) -> None:
        self._shape = shape
        self._cluster = cluster
        self._replication = 0
        self._names: frozenset[str] = frozenset()

    def make(self, topic: str) -> bool:
        """Whether the topic is there now. Raises `KafkaUnreachable`, and `KafkaRefusal` where it cannot be made.

        Kafka is asked for its topics seldom: on a large cluster the answer is long.
        """
        if topic in self._names:
            return True
        if self._names and self._shape.create:
            try:
                self._create(topic)
            except KafkaRefusal:  # it may be there, and only making one is not allowed
                if not self._is_there(topic):
                    raise
            return True
        if self._is_there(topic):
            return True
        if self._shape.create:
            self._create(topic)
        return self._shape.create

    def forget(self) -> None:
        """A topic may have been deleted: Kafka is asked again."""
        self._names = frozenset()

    def _is_there(self, topic: str) -> bool:
        self._names = self._cluster.topic_names()
        return topic in self._names

    def _create(self, topic: str) -> None:
        """Nothing happens where it exists."""
        if not self._replication:
            self._replication = 1 if self._cluster.brokers() == 1 else self._shape.replication
        configuration = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        self._cluster.create_topic(topic, self._shape.partitions, self._replication, configuration)
