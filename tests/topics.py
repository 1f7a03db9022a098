"""Topics that tests make with a raw client, and the end of all topics of a test.

`Administration.create_topic` waits by itself. With each topic that is left, an answer about all topics costs the shared
broker and its clients more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from tests.waiting import PATIENCE_SECONDS, wait_until


def make_topics(admin: AdminClient, *topics: NewTopic) -> None:
    """Create topics, and return once their partitions can be used: a broker answers before it leads them."""
    for future in admin.create_topics(list(topics)).values():
        future.result(PATIENCE_SECONDS)
    for topic in topics:
        wait_until(lambda topic=topic: _is_led(admin, topic), f"the partitions of {topic.topic} to be led")  # type: ignore[misc]


def _is_led(admin: AdminClient, topic: NewTopic) -> bool:
    earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
    places = [TopicPartition(topic.topic, number) for number in range(topic.num_partitions)]
    try:
        for future in admin.list_offsets(dict.fromkeys(places, earliest)).values():
            future.result(PATIENCE_SECONDS)
    except KafkaException:
        admin.list_topics(topic.topic, timeout=PATIENCE_SECONDS)  # else the client asks no broker again
        return False
    return True


ANSWER_SECONDS_MAX = 10.0
"""A broker that is away takes its topics along: nobody waits long for it."""
DELETION_SECONDS_MAX = 30.0

_claimed: list[tuple[str, tuple[str, ...]]] = []
"""Brokers, and how the names of topics begin that the test that runs has there."""


def claim(bootstrap_servers: str, *beginnings: str) -> None:
    """Topics with names that begin so are removed when the test that runs has ended, after its other fixtures.

    For what lives as long as one test. What lives longer calls `remove_topics` at its own end.
    """
    assert all(beginnings), "every topic begins with nothing"
    _claimed.append((bootstrap_servers, beginnings))


@contextmanager
def claims_kept() -> Iterator[None]:
    """Topics that were claimed within are removed at the end."""
    try:
        yield
    finally:
        while _claimed:
            bootstrap_servers, beginnings = _claimed.pop()
            remove_topics(bootstrap_servers, *beginnings)


def remove_topics(bootstrap_servers: str, *beginnings: str) -> None:
    """Remove every topic whose name begins so; what a broker that is away does not take away is left."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    with suppress(KafkaException, TimeoutError):
        there = admin.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        if names := [name for name in there if name.startswith(beginnings)]:
            for removed in admin.delete_topics(names, request_timeout=DELETION_SECONDS_MAX).values():
                removed.result(2 * DELETION_SECONDS_MAX)
