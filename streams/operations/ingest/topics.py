"""Currents topics that an ingest writes: created where they are missing and may be created."""

from __future__ import annotations

from collections.abc import Collection

from streams.config import Settings
from streams.config.kafka import MESSAGE_BYTES_MAX
from streams.operations.errors import BadRequest
from streams.operations.ingest.places import place_of
from streams.ports.cluster import Cluster
from streams.ports.errors import TopicMissing
from streams.workers.ingest import File, Place


def create_event_topics(
    settings: Settings, cluster: Cluster, topics: Collection[str], partitions: int, replication: int
) -> None:
    """Create these topics. Raises `BadRequest` where that is not allowed, and `KafkaRefusal`."""
    if topics and not settings.kafka.topics.create:
        names = ", ".join(sorted(topics))
        raise BadRequest(f"missing topics: {names}; create them, or set kafka.topics.create")
    configuration = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
    for topic in topics:
        cluster.create_topic(topic, partitions, replication, configuration)


class EventTopics:
    """Says where a file's records go, and creates that topic if it is missing."""

    def __init__(self, settings: Settings, cluster: Cluster, prefix: str) -> None:
        self._settings = settings
        self._cluster = cluster
        self._prefix = prefix
        self._known = set[str]()

    def place_of(self, file: File) -> Place:
        """The topic and schema of a file. Raises `UnreadableFile`, `TopicMissing` and `KafkaRefusal`."""
        place = place_of(file, self._prefix)
        if place.topic not in self._known:
            self._know(place.topic)
        return place

    def _know(self, topic: str) -> None:
        shape, cluster = self._settings.kafka.topics, self._cluster
        if topic not in cluster.topic_names():
            replication = 1 if cluster.brokers() == 1 else shape.replication
            try:
                create_event_topics(self._settings, cluster, [topic], shape.partitions, replication)
            except BadRequest as error:
                raise TopicMissing(str(error)) from None
        self._known.add(topic)
