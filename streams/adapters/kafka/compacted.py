"""Reads a compacted topic to its end, as committed: the latest value of each key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import read_to_ends, reader
from streams.adapters.kafka.silence import Silence
from streams.adapters.kafka.written_ends import written_ends
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable, TopicMissing
from streams.ports.kafka import Partition

ANSWER_SECONDS_MAX = 10.0
"""How long the first answer of a broker may take."""
READ_SECONDS_MAX = 60.0
"""If no record and no end comes for this long, Kafka counts as unreachable."""
LOOK_SECONDS = 0.05
"""A fetch that finds nothing shows the end, and commands wait for it: so broker and client wait only this long."""


def read_to_end(config: ClientConfig, topic: str, group: str, key_prefix: bytes = b"") -> dict[bytes, bytes]:
    """Latest values of the keys that begin with `key_prefix`. `group` commits nothing.

    Raises `KafkaUnreachable`, `TopicMissing` and `AccessDenied`.
    """
    return _read_to(lambda _partitions: {}, config, topic, group, key_prefix)


def read_whole(config: ClientConfig, topic: str, group: str, key_prefix: bytes = b"") -> dict[bytes, bytes]:
    """As `read_to_end`, and waits for transactions that are open: they hide what others committed behind them.

    For who goes on where a process before it ended, and may miss nothing of it.
    """
    return _read_to(lambda partitions: written_ends(config, partitions), config, topic, group, key_prefix)


def _read_to(
    ends: Callable[[Collection[Partition]], Mapping[Partition, int]],
    config: ClientConfig,
    topic: str,
    group: str,
    key_prefix: bytes,
) -> dict[bytes, bytes]:
    silence = Silence()
    tuning = {"fetch.wait.max.ms": round(LOOK_SECONDS * 1000)}
    consumer = reader({**config, "error_cb": silence}, group, tuning=tuning)
    try:
        return _read(consumer, topic, group, key_prefix, ends)
    except KafkaException as exception:
        if denied := denial(exception.args[0], topic=topic, operation="Read", group=group):
            raise denied from exception
        servers, reason = config["bootstrap.servers"], silence.reason(consumer, exception)
        raise KafkaUnreachable(f"{topic}: Kafka at {servers} does not answer: {reason}") from exception
    finally:
        consumer.close()


def _read(
    consumer: Consumer,
    topic: str,
    group: str,
    key_prefix: bytes,
    ends: Callable[[Collection[Partition]], Mapping[Partition, int]],
) -> dict[bytes, bytes]:
    latest: dict[bytes, bytes] = {}
    found = consumer.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics[topic]
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(f"there is no topic {topic}; make it with `streams topics apply`")
        raise KafkaException(found.error)
    unread = {(topic, number) for number in found.partitions}
    consumer.assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in unread])
    for reading in read_to_ends(
        consumer,
        unread,
        group,
        records_max=1_000,
        look_seconds=LOOK_SECONDS,
        silence_seconds_max=READ_SECONDS_MAX,
        written=ends(tuple(unread)),
    ):
        for message in reading.records:
            key, value = message.key(), message.value()
            if key is None or not key.startswith(key_prefix):
                continue
            if value is None:
                latest.pop(key, None)
            else:
                latest[key] = value
    return latest
