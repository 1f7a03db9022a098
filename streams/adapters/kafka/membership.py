"""Whether the group knows this process, and whether it gave each partition to a member.

A client need not notice that it was forgotten, or that nobody reads a partition, so Kafka is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka import clients
from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.left_out import LeftOut
from streams.adapters.kafka.topic_ids import GONE, Asked, answered, ask_topic_ids, partition_counts
from streams.ports.errors import KafkaUnreachable

ASK_SECONDS = 15.0
ASK_SECONDS_UNKNOWN = 2.0
"""Between two questions while the group does not know this process."""
ANSWER_SECONDS_MAX = 10.0

Tell = Callable[[bool | None], None]
"""Whether the group knows this process. None: Kafka does not say, or no topic is there that the process could read."""


class Membership:
    """Asks from time to time and does not wait for the answers. A spare member, without partitions, is a member too.

    librdkafka ends the process if a question for a group's members reaches its time-out while no broker answers (its
    issue 4605). So topics are asked for first, which is safe, and members only once a broker has answered that. After
    an outage a client may get no answer about members for ever, so a failed question is the last of its client.
    """

    def __init__(self, connect: Callable[[], AdminClient], group: str, tell: Tell) -> None:
        self._connect = connect
        self._client: AdminClient | None = None
        self._group = group
        self._tell = tell
        self._member = ""
        self._topics: Asked = {}
        self._partitions: dict[str, int] = {}
        self._left_out = LeftOut()
        self._to_join_for: frozenset[str] = frozenset()
        self._is_topic_there = False
        self._described: Future[Any] | None = None
        self._ask_at = 0.0

    def lost(self) -> None:
        """The client lost its partitions: ask at once."""
        self._ask_at = 0.0

    def left_out(self) -> frozenset[str]:
        """Topics with a partition that nobody reads, if this process has to join the group again; told once."""
        topics, self._to_join_for = self._to_join_for, frozenset()
        return topics

    def look(self, member: str, topics: Collection[str]) -> None:
        """`member` is the client's id in the group, empty while it has none; `topics` are those that it asks for."""
        if self._described is not None:
            if self._described.done():
                described, self._described = self._described, None
                is_known = _is_known(described, self._member)
                if is_known:
                    self._to_join_for = self._left_out.look(answer_of(described), self._partitions, member)
                self._take(is_known, member)
        elif self._topics:
            if all(future.done() for future in self._topics.values()):
                asked, self._topics = self._topics, {}
                self._ask_for_members(asked, member)
        elif time.monotonic() >= self._ask_at:
            self._client = self._client or self._connect()
            self._topics = ask_topic_ids(self._client, topics)

    def close(self) -> None:
        """Close the client that asks."""
        if self._client is not None:
            clients.let_go(self._client)
            self._client = None

    def _ask_for_members(self, asked: Asked, member: str) -> None:
        try:
            self._is_topic_there = any(name != GONE for name in answered(asked).values())
        except KafkaUnreachable:
            self._told(None)
            return
        assert self._client is not None, "it was asked for topics just now"
        self._partitions = partition_counts(asked)
        self._member = member
        futures = self._client.describe_consumer_groups([self._group], request_timeout=ANSWER_SECONDS_MAX)
        self._described = futures[self._group]

    def _take(self, is_known: bool | None, member: str) -> None:
        if is_known is None:
            self.close()
        if is_known is False and member != self._member:
            self._ask_at = 0.0  # it joined meanwhile
        elif is_known is False and not self._is_topic_there:
            self._told(None)  # the client joins a group only when one of its topics is there
        else:
            self._told(is_known)

    def _told(self, is_known: bool | None) -> None:
        self._ask_at = time.monotonic() + (ASK_SECONDS if is_known else ASK_SECONDS_UNKNOWN)
        self._tell(is_known)


def _is_known(described: Future[Any], member: str) -> bool | None:
    try:
        members = answer_of(described).members or ()
    except KafkaException as exception:
        return False if exception.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND else None
    return bool(member) and any(one.member_id == member for one in members)
