"""Looks through spans of topics for records whose value holds some bytes, without a group.

A span is a partition from one time to another. It ends where the topic ended when it was asked for, so a search
ends, too, whatever is written meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.readers import reader
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.search import Found, Span

PREFETCH_KILOBYTES_MAX = 32_768
"""Bounds the memory of a search, however much it reads."""
BATCH_RECORDS_MAX = 5_000
SILENCE_SECONDS_MAX = 30.0
"""Without a record or an end for so long, nobody answers. A killed producer's transaction stalls readers for 10 s."""
ANSWER_SECONDS_MAX = 10.0


class TopicSearch:
    """The `Search` of one cluster. Every method raises `KafkaUnreachable`."""

    def __init__(self, config: ClientConfig, report: Callable[[int, int], None] = lambda _read, _total: None) -> None:
        """`report` is told after each batch how many offsets were passed, of how many."""
        self._report = report
        tuning = {
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": PREFETCH_KILOBYTES_MAX,
        }
        self._consumer = reader({**config, "log_level": 0}, str(config["client.id"]), tuning=tuning)

    def close(self) -> None:
        self._consumer.close()

    def topics(self) -> dict[str, int]:
        """Every topic that there is, and how many partitions it has."""
        try:
            topics = self._consumer.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        except KafkaException as exception:
            raise _unreachable(exception) from exception
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def spans(self, partitions: Iterable[Partition], since_ms: int, until_ms: int | None = None) -> list[Span]:
        """From the first record written at `since_ms` or later up to the first at `until_ms`, else to the end."""
        wanted = list(partitions)
        try:
            marks = {
                partition: self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=ANSWER_SECONDS_MAX)
                for partition in wanted
            }
            starts = self._at(wanted, since_ms)
            ends = {} if until_ms is None else self._at(wanted, until_ms)
        except KafkaException as exception:
            raise _unreachable(exception) from exception
        found = []
        for partition, (earliest, end) in marks.items():
            start = max(earliest, starts.get(partition, end))
            found.append(Span(partition, start, min(end, ends.get(partition, end)), earliest))
        return found

    def holding(self, needle: bytes, spans: Iterable[Span]) -> Iterator[Found]:
        """Records of these spans whose value holds the bytes, as committed, in offset order per partition."""
        unread = {span.partition: span for span in spans if span.start < span.end}
        total = sum(span.end - span.start for span in unread.values())
        left = {partition: span.end - span.start for partition, span in unread.items()}
        try:
            self._consumer.assign([TopicPartition(*place, span.start) for place, span in unread.items()])
            while unread:
                for message in self._batch(unread):
                    place = (message.topic(), message.partition())
                    span = unread.get(place)
                    if span is None:
                        continue
                    offset = span.end if message.error() is not None else message.offset()
                    if offset < span.end and needle in (message.value() or b""):
                        yield Found(message, message.timestamp()[1])
                    left[place] = max(0, span.end - offset - 1)
                    if not left[place]:
                        self._leave(unread, place)
                self._report(total - sum(left.values()), total)
        except KafkaException as exception:
            raise _unreachable(exception) from exception
        finally:
            self._consumer.unassign()

    def _batch(self, unread: Iterable[Partition]) -> list[Any]:
        """Records, and ends of partitions as errors. Raises where nothing comes."""
        deadline = time.monotonic() + SILENCE_SECONDS_MAX
        while not (messages := self._consumer.consume(BATCH_RECORDS_MAX, 0.2)):
            if time.monotonic() >= deadline:
                topics = ", ".join(sorted({topic for topic, _ in unread}))
                raise KafkaUnreachable(f"{topics}: not read to the end, no answer for {SILENCE_SECONDS_MAX:.0f} s")
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                raise KafkaException(error)
        return [message for message in messages if _is_record_or_end(message)]

    def _leave(self, unread: dict[Partition, Span], place: Partition) -> None:
        """Read no more of a partition: what comes after its span would only be fetched in vain."""
        del unread[place]
        self._consumer.incremental_unassign([TopicPartition(*place)])

    def _at(self, partitions: list[Partition], at_ms: int) -> dict[Partition, int]:
        """The first offset written at this time or later; partitions without one are left out."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition, max(0, at_ms)) for partition in partitions]
        answered = self._consumer.offsets_for_times(asked, timeout=ANSWER_SECONDS_MAX)
        for place in answered:
            if place.error is not None:
                raise KafkaException(place.error)
        return {(place.topic, place.partition): place.offset for place in answered if place.offset >= 0}


def _is_record_or_end(message: Any) -> bool:
    error = message.error()
    return error is None or error.code() == KafkaError._PARTITION_EOF


def _unreachable(exception: KafkaException) -> KafkaUnreachable:
    return KafkaUnreachable(f"topics could not be searched: {exception.args[0].str()}")
