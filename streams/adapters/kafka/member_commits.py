"""Commits of a group's member: they are waited for, and the client may hang in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from streams.adapters.kafka.client_errors import text_of
from streams.adapters.kafka.group_offsets import raise_if_denied, topic_partitions
from streams.adapters.kafka.time_limits import CALL_SECONDS_MAX, Aside
from streams.ports.errors import ClientFatal, CommitRefused
from streams.ports.kafka import Position

COMMIT_SECONDS_MAX = 30.0
"""After so long without an answer to a commit, we look whether Kafka answers other questions."""
ANSWERS_OF_A_HANGING_CLIENT = 2
"""Kafka answered so often since the commit began, each time `COMMIT_SECONDS_MAX` later: then the client hangs."""


class MemberCommits:
    """After a broker restarts, librdkafka's commit may wait for ever for its answer.

    A second client would have to wait until the group lets the first one go, and what the first one still sends would
    overwrite newer offsets. So the process ends (`ClientFatal`), and its successor continues.
    """

    def __init__(self, group: str, asking_client: Callable[[], AdminClient]) -> None:
        """`asking_client` gives another client, which asks whether Kafka answers."""
        self._group = group
        self._asking_client = asking_client
        self._aside = Aside()
        self._answers = 0
        """How often Kafka answered while the commit that is under way did not return."""
        self.hangs = False
        """Whether the client hangs in a commit: to close it would wait for ever, too."""

    def commit(self, consumer: Consumer, positions: Sequence[Position]) -> None:
        """Commit and wait for the answer. Raises `CommitRefused` if the group has given the partitions to others, and
        `ClientFatal` if the client hangs."""
        offsets, self._answers = topic_partitions(positions), 0
        try:
            results = self._aside.within(
                COMMIT_SECONDS_MAX, lambda: consumer.commit(offsets=offsets, asynchronous=False), self._is_waited_for
            )
        except TimeoutError:
            self.hangs = True
            raise ClientFatal(
                f"the Kafka consumer of group {self._group} hangs in a commit, and Kafka answers: this process ends, "
                "and the next one continues where the group committed last"
            ) from None
        except KafkaException as exception:
            topics = ", ".join(sorted({position.topic for position in positions}))
            raise_if_denied(exception.args[0], topics, self._group)
            raise CommitRefused(text_of(exception)) from exception
        for result in results or ():
            if result.error is not None:
                raise CommitRefused(str(result.error))

    def close(self) -> None:
        self._aside.close()

    def _is_waited_for(self) -> bool:
        """Whether a commit may still return: while Kafka is away, and once after it is back."""
        try:
            self._asking_client().list_topics(timeout=CALL_SECONDS_MAX)
        except KafkaException:
            self._answers = 0
        else:
            self._answers += 1
        return self._answers < ANSWERS_OF_A_HANGING_CLIENT
