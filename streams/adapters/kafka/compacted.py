"""Reads a compacted topic to its end, as committed: the latest value of each key."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import reader
from streams.adapters.kafka.silence import Silence
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable, TopicMissing

ANSWER_SECONDS_MAX = 10.0
"""For the first answer of any broker."""
READ_SECONDS_MAX = 60.0
"""Without any record or end for this long, nobody answers."""
LOOK_SECONDS = 0.05
"""The end is told by a fetch that finds nothing, and commands wait for it: broker and client must not dawdle."""


def read_to_end(config: ClientConfig, topic: str, group: str, key_prefix: bytes = b"") -> dict[bytes, bytes]:
    """Latest values of the keys that begin so. `group` commits nothing.

    Raises `KafkaUnreachable`, `TopicMissing` and `AccessDenied`.

    The end is what partition EOF events say: offsets of a topic that transactions write never count records.
    """
    silence = Silence()
    tuning = {"fetch.wait.max.ms": round(LOOK_SECONDS * 1000)}
    consumer = reader({**config, "error_cb": silence}, group, tuning=tuning)
    try:
        return _read(consumer, topic, key_prefix)
    except KafkaException as exception:
        if denied := denial(exception.args[0], topic=topic, operation="Read", group=group):
            raise denied from exception
        servers, reason = config["bootstrap.servers"], silence.reason(consumer, exception)
        raise KafkaUnreachable(f"{topic}: Kafka at {servers} does not answer: {reason}") from exception
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, key_prefix: bytes) -> dict[bytes, bytes]:
    latest: dict[bytes, bytes] = {}
    found = consumer.list_topics(topic, timeout=ANSWER_SECONDS_MAX).topics[topic]
    if found.error is not None:
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicMissing(f"there is no topic {topic}; make it with `streams topics apply`")
        raise KafkaException(found.error)
    unfinished = set(found.partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unfinished])
    deadline = time.monotonic() + READ_SECONDS_MAX
    while unfinished:
        messages = consumer.consume(1_000, LOOK_SECONDS)
        if messages:
            deadline = time.monotonic() + READ_SECONDS_MAX
        elif time.monotonic() >= deadline:
            raise KafkaUnreachable(f"{topic} was not read to its end: no answer for {READ_SECONDS_MAX:.0f} s")
        for message in messages:
            error = message.error()
            key, value = message.key(), message.value()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition() or 0)
                elif denial(error):
                    raise KafkaException(error)
            elif isinstance(key, bytes) and key.startswith(key_prefix):
                if isinstance(value, bytes):
                    latest[key] = value
                else:
                    latest.pop(key, None)
    return latest
