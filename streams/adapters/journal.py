"""Follows the state topic from its beginning, as committed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from streams.workers.ports import JournalRecord, KafkaUnreachable

READ_SECONDS_MAX = 60.0
"""Without any record or end for this long, nobody answers. A keeper that was killed stalls readers for 10 s."""
RECORDS_MAX = 500


class StateJournal:
    """The records of the topic's one partition, each once, in order."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str) -> None:
        self._topic = topic
        self._is_assigned = False
        self._consumer = Consumer(
            {
                "fetch.wait.max.ms": 100,
                **options,
                "client.id": client_id,
                "group.id": client_id,  # required by the client; nothing is ever committed
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
            }
        )

    def read_to_end(self) -> Sequence[JournalRecord]:
        """What was not read yet, up to the end as it is now. Raises `KafkaUnreachable`."""
        try:
            return self._read_to_end()
        except KafkaException as exception:
            raise KafkaUnreachable(f"{self._topic}: {exception.args[0]}") from exception

    def poll(self) -> Sequence[JournalRecord]:
        """What has come since, without waiting; perhaps nothing."""
        if not self._is_assigned:
            return self.read_to_end()
        return [_record(message) for message in self._consumer.consume(RECORDS_MAX, 0) if message.error() is None]

    def close(self) -> None:
        self._consumer.close()

    def _read_to_end(self) -> list[JournalRecord]:
        place = Place(self._topic, 0, OFFSET_BEGINNING)
        if self._is_assigned:
            (position,) = self._consumer.position([Place(self._topic, 0)])
            place = position if position.offset >= 0 else place
        # The end is told once per assignment: assigned again where it stands, the reader is told again.
        self._consumer.assign([place])
        self._is_assigned = True
        records: list[JournalRecord] = []
        deadline = time.monotonic() + READ_SECONDS_MAX
        while True:
            messages = self._consumer.consume(RECORDS_MAX, 0.5)
            if messages:
                deadline = time.monotonic() + READ_SECONDS_MAX
            elif time.monotonic() >= deadline:
                raise KafkaUnreachable(f"{self._topic} was not read to its end: no answer for {READ_SECONDS_MAX:.0f} s")
            for message in messages:
                error = message.error()
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    return records


def _record(message: Any) -> JournalRecord:
    kind, written_ms = message.timestamp()
    return JournalRecord(
        (message.key() or b"").decode("utf-8", "replace"),
        message.value(),
        written_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None,
    )
