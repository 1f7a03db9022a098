"""Reads the rows that a sink keeps in `streams.sent.<name>`: one partition, as committed, from an offset to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from streams.adapters.kafka import clients
from streams.adapters.kafka.answers import answer_of
from streams.adapters.kafka.client_errors import text_of
from streams.adapters.kafka.clients import let_go
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import read, reader
from streams.adapters.kafka.time_limits import CALL_SECONDS_MAX, CONTACT_SECONDS_MAX, Patience
from streams.adapters.kafka.topic_ids import GONE, answered, ask_topic_ids
from streams.ports.errors import KafkaUnreachable, TopicMissing
from streams.ports.memory import Row

PREFETCH_KILOBYTES_MAX = 4_096
FETCH_BYTES_MAX = 1_048_576
"""Of one partition in one answer, compressed. Both bound the memory of a rebuild, whatever the topic holds."""
ROWS_MAX = 5_000
"""Of one batch."""
LOOK_SECONDS = 0.2
SILENCE_SECONDS_MAX = 60.0
"""Without a row or an end for so long, nobody answers. A killed sink's open transaction stalls readers for 10 s."""

Answer = TypeVar("Answer")
Beat = Callable[[], None]


class SentTopic:
    """The topic of one connector's rows. One thread uses it."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str) -> None:
        self.name = topic
        self._options = {**options, "client.id": client_id}
        self._client_id = client_id
        self._asker: AdminClient | None = None

    def identity(self, beat: Beat) -> str:
        """The topic's id; empty where Kafka does not tell it. Raises `TopicMissing` and `KafkaUnreachable`."""
        found = _tried(lambda: answered(ask_topic_ids(self._client(), [self.name])), beat).get(self.name, "")
        # An id that is not told is left out; a topic that is gone is told as such.
        if found == GONE and self._is_missing(beat):
            raise TopicMissing(f"there is no topic {self.name}; make it with `streams topics apply`")
        return found

    def bounds(self, partition: int, beat: Beat) -> tuple[int, int]:
        """The first offset, and the end with what open transactions wrote before it. Raises `KafkaUnreachable`."""
        earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        start = _tried(lambda: self._offset(self._ask(partition, earliest)), beat)
        return start, _tried(lambda: self._offset(self.ask_end(partition)), beat)

    def ask_end(self, partition: int) -> Future[Any]:
        """Ask for the end, with what open transactions wrote before it, and do not wait: `offset` in the answer."""
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._ask(partition, latest)

    def read(self, partition: int, start: int, end: int, beat: Beat) -> Iterator[tuple[list[Row], int]]:
        """Rows in batches, each with the offset after it, until `end` is reached.

        Open transactions before it are waited for. Raises `KafkaUnreachable` and `AccessDenied`.
        """
        if start >= end:
            return
        tuning = {
            "queued.max.messages.kbytes": PREFETCH_KILOBYTES_MAX,
            "fetch.message.max.bytes": FETCH_BYTES_MAX,
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
        }
        consumer = reader(self._options, self._client_id, tuning=tuning)
        try:
            consumer.assign([TopicPartition(self.name, partition, start)])
            yield from self._batches(consumer, partition, start, end, beat)
        except KafkaException as exception:
            raise KafkaUnreachable(f"{self.name}: {text_of(exception)}") from exception
        finally:
            let_go(consumer)

    def rows(self, partition: int) -> Iterator[list[Row]]:
        """Every row up to the end as it is now, in batches. Raises `KafkaUnreachable` and `AccessDenied`."""
        try:
            start, end = self.bounds(partition, _no_beat)
            for rows, _ in self.read(partition, start, end, _no_beat):
                yield rows
        finally:
            self.close()

    def close(self) -> None:
        """Close the client that asks."""
        if self._asker is not None:
            let_go(self._asker)
            self._asker = None

    def _batches(
        self, consumer: Consumer, partition: int, start: int, end: int, beat: Beat
    ) -> Iterator[tuple[list[Row], int]]:
        reached = start
        deadline = time.monotonic() + SILENCE_SECONDS_MAX
        while reached < end:
            beat()
            before = reached
            reading = read(consumer, self._client_id, ROWS_MAX, LOOK_SECONDS)
            for message in reading.errors:
                if message.error().fatal():
                    raise KafkaException(message.error())
            rows = [(message.key() or b"", message.value()) for message in reading.records]
            offsets = [message.offset() + 1 for message in reading.records]
            # Markers of transactions are no records: only the end of a fetch tells that they were passed.
            reached = max([reached, *offsets, *reading.ends.values()])
            if reached > before:
                deadline = time.monotonic() + SILENCE_SECONDS_MAX
                yield rows, reached
            elif time.monotonic() >= deadline:
                raise KafkaUnreachable(
                    f"partition {partition} of {self.name} was not read to its end: nothing came for "
                    f"{SILENCE_SECONDS_MAX:.0f} s"
                )

    def _is_missing(self, beat: Beat) -> bool:
        found = _tried(lambda: self._client().list_topics(self.name, timeout=CALL_SECONDS_MAX), beat)
        error = found.topics[self.name].error
        return error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART

    def _ask(self, partition: int, spec: OffsetSpec) -> Future[Any]:
        place = TopicPartition(self.name, partition)
        futures = self._client().list_offsets(
            {place: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=CALL_SECONDS_MAX
        )
        return next(iter(futures.values()))

    def _offset(self, asked: Future[Any]) -> int:
        return int(answer_of(asked, 2 * CALL_SECONDS_MAX).offset)

    def _client(self) -> AdminClient:
        if self._asker is None:
            self._asker = clients.administration_client(self._options)
        return self._asker


def _no_beat() -> None:
    """Nobody waits for a sign of life."""


def _tried(call: Callable[[], Answer], beat: Beat) -> Answer:
    """The call's answer, asked again while no broker gives one: a broker that starts says that it leads nothing."""
    patience = Patience(CONTACT_SECONDS_MAX)
    while True:
        beat()
        try:
            return call()
        except (KafkaException, KafkaUnreachable, TimeoutError) as exception:
            failure = exception
        if isinstance(failure, KafkaException) and (denied := denial(failure.args[0], operation="Describe")):
            raise denied from failure
        if not patience.again():
            text = text_of(failure) if isinstance(failure, KafkaException) else str(failure)
            raise KafkaUnreachable(text) from failure
