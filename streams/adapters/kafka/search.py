"""Searches spans of topics for records whose value contains some bytes, without a group.

A span is a partition from one time to another. It ends at the latest where the partition ended when the search
began, so a search ends even if records are still written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from confluent_kafka import KafkaException, TopicPartition

from streams.adapters.kafka.readers import Reading, raise_unless_retriable, read_to_ends, reader
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.search import Found, Span

PREFETCH_KILOBYTES_MAX = 32_768
"""Limits the memory of a search."""
BATCH_RECORDS_MAX = 5_000
SILENCE_SECONDS_MAX = 30.0
"""If no record and no end comes for this long, Kafka counts as unreachable. A killed producer stalls readers for 10
s."""
ANSWER_SECONDS_MAX = 10.0


class TopicSearch:
    """The `Search` of one cluster. Every method raises `KafkaUnreachable`."""

    def __init__(self, config: ClientConfig, report: Callable[[int, int], None] = lambda _read, _total: None) -> None:
        """`report` is called after each batch with the offsets passed so far, and with all offsets."""
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
        """All topics, and how many partitions each has."""
        try:
            topics = self._consumer.list_topics(timeout=ANSWER_SECONDS_MAX).topics
        except KafkaException as exception:
            raise _unreachable(exception) from exception
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def spans(self, partitions: Iterable[Partition], since_ms: int, until_ms: int | None = None) -> list[Span]:
        """From the first record written at `since_ms` or later, up to the first at `until_ms` or later, or to the
        end."""
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
        """Records of these spans whose value contains the bytes, as committed, in offset order per partition."""
        unread = {span.partition: span for span in spans if span.start < span.end}
        total = sum(span.end - span.start for span in unread.values())
        left = {partition: span.end - span.start for partition, span in unread.items()}
        waiting = set(unread)
        try:
            self._consumer.assign([TopicPartition(*place, span.start) for place, span in unread.items()])
            for reading in self._readings(waiting):
                raise_unless_retriable(reading)
                for message in reading.records:
                    place = (message.topic(), message.partition())
                    span = unread.get(place)
                    if span is None:
                        continue
                    offset = message.offset()
                    if offset < span.end and needle in (message.value() or b""):
                        yield Found(message, message.timestamp()[1])
                    left[place] = max(0, span.end - offset - 1)
                    if not left[place]:
                        self._leave(unread, place)
                for place in reading.ends:
                    left[place] = 0
                    self._leave(unread, place)
                waiting.intersection_update(unread)
                self._report(total - sum(left.values()), total)
        except KafkaException as exception:
            raise _unreachable(exception) from exception
        finally:
            self._consumer.unassign()

    def _readings(self, waiting: set[Partition]) -> Iterator[Reading]:
        return read_to_ends(
            self._consumer,
            waiting,
            "of this command",
            records_max=BATCH_RECORDS_MAX,
            look_seconds=0.2,
            silence_seconds_max=SILENCE_SECONDS_MAX,
        )

    def _leave(self, unread: dict[Partition, Span], place: Partition) -> None:
        """Stop reading a partition: the records after its span are not needed."""
        if unread.pop(place, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(*place)])

    def _at(self, partitions: list[Partition], at_ms: int) -> dict[Partition, int]:
        """The first offset written at this time or later. Partitions without one are left out."""
        if not partitions:
            return {}
        asked = [TopicPartition(*partition, max(0, at_ms)) for partition in partitions]
        answered = self._consumer.offsets_for_times(asked, timeout=ANSWER_SECONDS_MAX)
        for place in answered:
            if place.error is not None:
                raise KafkaException(place.error)
        return {(place.topic, place.partition): place.offset for place in answered if place.offset >= 0}


def _unreachable(exception: KafkaException) -> KafkaUnreachable:
    return KafkaUnreachable(f"topics could not be searched: {exception.args[0].str()}")
