"""Consumers without a group: they read the partitions that they are given, as committed, and commit nothing.

Partition EOF events tell the end. Offsets cannot: markers of transactions take offsets, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException

from streams.adapters.kafka import clients
from streams.adapters.kafka.denials import denial
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition


def reader(
    options: Mapping[str, Any],
    client_id: str,
    *,
    tuning: Mapping[str, str | int] | None = None,
    out_of_range: Literal["earliest", "error"] = "earliest",
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed",
) -> Consumer:
    """A consumer for `assign`. It reports the end of each partition: offsets cannot tell it, because markers of
    transactions take offsets, too. The configuration's options win over `tuning`."""
    return clients.consumer(
        {
            **(tuning or {}),
            **options,
            "client.id": client_id,
            "group.id": client_id,  # required by the client; nothing is ever committed
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "auto.offset.reset": out_of_range,
            "enable.partition.eof": True,
        }
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read gave: records in offset order per partition, ends that were reached, and errors. The client
    recovers from most errors by itself."""

    records: list[Message]
    ends: Mapping[Partition, int]
    errors: Sequence[Any]


def read(consumer: Consumer, group: str, records_max: int, timeout_seconds: float) -> Reading:
    """Read once. Raises `AccessDenied`."""
    messages: list[Any] = consumer.consume(records_max, timeout_seconds)
    records = [message for message in messages if message.error() is None]
    ends: dict[Partition, int] = {}
    errors = []
    if len(records) != len(messages):
        for message in messages:
            error = message.error()
            if error is None:
                continue
            topic, number = message.topic() or "", message.partition() or 0
            if error.code() == KafkaError._PARTITION_EOF:
                ends[topic, number] = message.offset() or 0
            elif denied := denial(error, topic=topic, operation="Read", group=group):
                raise denied
            else:
                errors.append(message)
    return Reading(records, ends, errors)


def raise_unless_retriable(reading: Reading) -> None:
    """A command tells its user at once. Raises `KafkaException`."""
    for message in reading.errors:
        if not message.error().retriable():
            raise KafkaException(message.error())


def read_to_ends(
    consumer: Consumer,
    unread: set[Partition],
    group: str,
    *,
    records_max: int,
    look_seconds: float,
    silence_seconds_max: float,
    written: Mapping[Partition, int] | None = None,
) -> Iterator[Reading]:
    """Read until `unread` is empty. A partition whose end was reached leaves it; the caller may take out more.

    An end before that of `written` is none: there stands a transaction that is open. It is waited for.

    Raises `AccessDenied`. Raises `KafkaUnreachable` if no record and no end comes for `silence_seconds_max`.
    """
    least = written or {}
    deadline = time.monotonic() + silence_seconds_max
    while unread:
        reading = read(consumer, group, records_max, look_seconds)
        unread.difference_update(place for place, end in reading.ends.items() if end >= least.get(place, 0))
        yield reading
        if reading.records or reading.ends:
            deadline = time.monotonic() + silence_seconds_max
        elif time.monotonic() >= deadline:
            topics = ", ".join(sorted({topic for topic, _ in unread}))
            raise KafkaUnreachable(f"{topics} was not read to its end: no answer for {silence_seconds_max:.0f} s")
