"""Follows one partition of a topic of ours from its beginning, as committed: the state's, which has only one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import let_go, reader
from streams.ports.errors import ClientFatal, KafkaUnreachable
from streams.ports.state import JournalRecord

log = structlog.get_logger(__name__)

READ_SECONDS_MAX = 60.0
"""Without any record or end for this long, nobody answers. A keeper that was killed stalls readers for 10 s."""
ANSWER_SECONDS_MAX = 10.0
RETRY_SECONDS = 0.2
RECORDS_MAX = 500
SAY_SECONDS = 30.0
"""Between two lines of one kind."""


class StateJournal:
    """The records of a partition, each once, in order."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str, partition: int = 0) -> None:
        self._topic = topic
        self._group = client_id  # required by the client; nothing is ever committed
        self._place = Place(topic, partition, OFFSET_BEGINNING)
        self._is_assigned = False
        self._reached = 0
        self._say_at: dict[int, float] = {}
        self._consumer = reader(options, client_id, tuning={"fetch.wait.max.ms": 100})

    def read_to_end(self) -> Sequence[JournalRecord]:
        """What was not read yet, up to the end as it is now. Raises `KafkaUnreachable`.

        A round trip and no more where nothing is new, so it may be asked before each decision that needs it.
        """
        try:
            self._assign()
            records = self._read_until(self._end())
        except KafkaException as exception:
            raise KafkaUnreachable(f"{self._topic}: {exception.args[0]}") from exception
        return records

    def poll(self) -> Sequence[JournalRecord]:
        """What has come since, without waiting; perhaps nothing."""
        self._assign()
        return self._consume(0.0)

    def close(self) -> None:
        let_go(self._consumer)

    def _assign(self) -> None:
        if not self._is_assigned:
            self._consumer.assign([self._place])
            self._is_assigned = True

    def _end(self) -> int:
        """As the isolation level is set, this end is before any open transaction.

        A broker that restarts says for seconds that it leads nothing, or knows no such partition: asked again.
        """
        deadline = time.monotonic() + READ_SECONDS_MAX
        while True:
            try:
                return int(self._consumer.get_watermark_offsets(self._place, timeout=ANSWER_SECONDS_MAX)[1])
            except KafkaException:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(RETRY_SECONDS)
            with suppress(KafkaException):
                self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS_MAX)  # who leads now

    def _read_until(self, end: int) -> list[JournalRecord]:
        records: list[JournalRecord] = []
        deadline = time.monotonic() + READ_SECONDS_MAX
        while self._reached < end:
            before = self._reached
            records += self._consume(0.5)
            if self._reached > before:
                deadline = time.monotonic() + READ_SECONDS_MAX
            elif time.monotonic() >= deadline:
                raise KafkaUnreachable(f"{self._topic} was not read to its end: no answer for {READ_SECONDS_MAX:.0f} s")
        return records

    def _consume(self, timeout_seconds: float) -> list[JournalRecord]:
        """Records; the ends that are told on the way count as reached, for markers of transactions are no records."""
        records = []
        for message in self._consumer.consume(RECORDS_MAX, timeout_seconds):
            error = message.error()
            if error is None:
                records.append(_record(message))
                self._reached = (message.offset() or 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reached = max(self._reached, message.offset() or 0)
            elif denied := denial(error, topic=self._topic, operation="Read", group=self._group):
                raise denied
            elif error.fatal():
                raise ClientFatal(f"{self._topic} cannot be read any more: {error.str()}")
            else:
                self._say(error)
        return records

    def _say(self, error: KafkaError) -> None:
        """The client goes on by itself; a fault that lasts repeats."""
        now = time.monotonic()
        if now >= self._say_at.get(error.code(), 0.0):
            self._say_at[error.code()] = now + SAY_SECONDS
            log.warning("kafka says", topic=self._topic, error=error.str())


def _record(message: Any) -> JournalRecord:
    kind, written_ms = message.timestamp()
    return JournalRecord(
        (message.key() or b"").decode("utf-8", "replace"),
        message.value(),
        written_ms if kind == TIMESTAMP_LOG_APPEND_TIME else None,
    )
