"""Notices topics that are deleted and made again while they are read. Only a topic's id shows this."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import structlog
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka import clients
from streams.adapters.kafka.topic_ids import GONE, Asked, answered, ask_topic_ids, topic_ids
from streams.ports.errors import KafkaUnreachable

log = structlog.get_logger(__name__)

TOPIC_IDS_SECONDS = 5.0
"""How often topics' ids are asked for. A topic that was made again is noticed within this time, also without
traffic."""


class TopicWatch:
    """Remembers the id of each topic that is read, and notices when it changes. Needs a Kafka that tells ids."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._client: AdminClient | None = None
        self._ids: dict[str, str] = {}
        self._asked: Asked = {}
        self._ask_at = time.monotonic() + TOPIC_IDS_SECONDS

    def learn(self, topics: Collection[str], ours: Collection[str] = ()) -> Mapping[str, str]:
        """The ids of topics now; none if Kafka does not tell them. Of `ours`, which are read already, a new id is not
        remembered: `changed` tells it."""
        try:
            found = topic_ids(self.client(), topics)
        except KafkaUnreachable as error:
            log.warning("could not read the ids of topics", error=str(error))
            found = {}
        self._ids.update({topic: name for topic, name in found.items() if topic not in ours})
        return found

    def known_id(self, topic: str) -> str:
        """The id that Kafka last told; empty if it never did."""
        return self._ids.get(topic, "")

    def look(self, ours: Collection[str]) -> Mapping[str, str]:
        """The new ids of topics that were made again, until `remember` is called for them.

        Asks Kafka from time to time, and does not wait for the answer. Raises `KafkaUnreachable`.
        """
        now = time.monotonic()
        if self._asked:
            if not all(future.done() for future in self._asked.values()):
                return {}
            asked, self._asked = self._asked, {}
            return self.changed(answered(asked), ours)
        if now >= self._ask_at:
            self._ask_at = now + TOPIC_IDS_SECONDS
            self._asked = ask_topic_ids(self.client(), ours)
        return {}

    def ask(self, topic: str) -> Mapping[str, str]:
        """The new id of this topic, if it was made again. Waits for the answer. Raises `KafkaUnreachable`."""
        return self.changed(topic_ids(self.client(), [topic]), [topic])

    def remember(self, made_again: Mapping[str, str]) -> None:
        """From now on these are the known ids: the topics are read from their beginning."""
        self._ids.update(made_again)

    def changed(self, found: Mapping[str, str], ours: Collection[str]) -> dict[str, str]:
        """Of these ids those that are new for a topic of ours."""
        return {
            topic: name
            for topic, name in found.items()
            if name != GONE and topic in ours and self._ids.setdefault(topic, name) != name
        }

    def close(self) -> None:
        """Close the client that asks."""
        if self._client is not None:
            clients.let_go(self._client)
            self._client = None

    def client(self) -> AdminClient:
        """The client that asks; made at the first question."""
        if self._client is None:
            self._client = clients.administration_client(self._options)
        return self._client
