"""Reads dead-letter topics for the command line: many letters fast, or only the first and last of each partition.

Both stop where the topic ended when they began. Letters that are parked meanwhile are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from streams.adapters.kafka.readers import raise_unless_retriable, read_to_ends, reader
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Edges, Stretch

PREFETCH_KILOBYTES_MAX = 4_096
FETCH_BYTES_MAX = 262_144
"""Compressed bytes of one partition in one answer. Both limit the memory of a scan. Larger values were not faster."""
BATCH_LETTERS_MAX = 1_000
SILENCE_SECONDS_MAX = 30.0
"""If no letter and no end comes for this long, Kafka counts as unreachable. A killed sink stalls readers for 10 s."""
ANSWER_SECONDS_MAX = 10.0
EDGE_FETCH_BYTES = 65_536
"""Only one letter is needed. Brokers send at least one batch, of any size."""
LAST_LETTER_STEPS = (2, 16, 256, 4_096, 65_536)
"""The last letter is searched this far before the end: markers of transactions take offsets, too."""

Scanned = Callable[[int], None]
"""Called after each batch with the number of letters read so far."""


def scan(
    config: ClientConfig, starts: Mapping[Partition, int], report: Scanned = lambda _count: None
) -> Iterator[Stretch]:
    """Letters from these offsets on, as committed, in offset order per partition; 0 is the earliest letter.

    If letters after a start were deleted, it goes on with the first that exists. Raises `KafkaUnreachable`.
    """
    if not starts:
        return
    limits = {"queued.max.messages.kbytes": PREFETCH_KILOBYTES_MAX, "fetch.message.max.bytes": FETCH_BYTES_MAX}
    consumer = _reader(config, limits)
    try:
        ends = _ends(consumer, starts)
        waiting = {partition for partition, end in ends.items() if end > starts[partition]}
        consumer.assign([_place(partition, starts[partition]) for partition in waiting])
        count = 0
        for partition, letters in _read(consumer, waiting, ends):
            count += len(letters)
            report(count)
            yield partition, letters
    except KafkaException as exception:
        raise KafkaUnreachable(f"dead letters could not be read: {exception.args[0].str()}") from exception
    finally:
        consumer.close()


IsSettled = Callable[[Partition, int], bool]


def edges(config: ClientConfig, starts: Mapping[Partition, int], is_settled: IsSettled) -> dict[Partition, Edges]:
    """The first and last letters of each partition from its start on. Reads only a few letters.

    Raises `KafkaUnreachable`.
    """
    if not starts:
        return {}
    reader = _reader(config, {"fetch.message.max.bytes": EDGE_FETCH_BYTES})
    try:
        ends = _ends(reader, starts)
        filled = {partition: start for partition, start in starts.items() if ends[partition] > start}
        firsts = _firsts(reader, _unsettled(filled, ends, is_settled), ends, is_settled)
        lasts = _lasts(reader, firsts, ends, is_settled)
        return {partition: Edges(firsts.get(partition), lasts.get(partition)) for partition in starts}
    except KafkaException as exception:
        raise KafkaUnreachable(f"dead letters could not be read: {exception.args[0].str()}") from exception
    finally:
        reader.close()


class DeadLetterScan:
    """The `LetterScan` of one cluster. Each call makes a consumer."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config

    def scan(self, starts: Mapping[Partition, int], report: Scanned = lambda _count: None) -> Iterator[Stretch]:
        return scan(self._config, starts, report)

    def edges(self, starts: Mapping[Partition, int], is_settled: IsSettled) -> dict[Partition, Edges]:
        return edges(self._config, starts, is_settled)


def _reader(config: ClientConfig, settings: Mapping[str, str | int]) -> Consumer:
    tuning = {"fetch.wait.max.ms": 50, "fetch.queue.backoff.ms": 5, **settings}
    return reader({**config, "log_level": 0}, str(config["client.id"]), tuning=tuning)


def _ends(consumer: Consumer, partitions: Mapping[Partition, int]) -> dict[Partition, int]:
    """Where each partition ends now for a read_committed reader."""
    return {
        partition: consumer.get_watermark_offsets(TopicPartition(*partition), timeout=ANSWER_SECONDS_MAX)[1]
        for partition in partitions
    }


def _place(partition: Partition, offset: int) -> TopicPartition:
    return TopicPartition(*partition, offset or OFFSET_BEGINNING)


def _read(consumer: Consumer, waiting: set[Partition], ends: Mapping[Partition, int]) -> Iterator[Stretch]:
    """Letters, until every partition in `waiting` was read up to its end."""
    for reading in read_to_ends(
        consumer,
        waiting,
        "of this command",
        records_max=BATCH_LETTERS_MAX,
        look_seconds=0.1,
        silence_seconds_max=SILENCE_SECONDS_MAX,
    ):
        raise_unless_retriable(reading)
        yield from _sorted(reading.records, waiting, ends)


def _sorted(letters: Sequence[Message], waiting: set[Partition], ends: Mapping[Partition, int]) -> list[Stretch]:
    """The letters by partition. A partition that reached its end leaves `waiting`."""
    sorted_letters: dict[Partition, list[Message]] = {}
    for letter in letters:
        partition = (letter.topic(), letter.partition())
        if partition in sorted_letters:
            sorted_letters[partition].append(letter)
        else:
            sorted_letters[partition] = [letter]
    for partition, of_partition in sorted_letters.items():
        if of_partition[-1].offset() + 1 >= ends[partition]:
            waiting.discard(partition)
            while of_partition and of_partition[-1].offset() >= ends[partition]:
                of_partition.pop()
    return [(partition, of_partition) for partition, of_partition in sorted_letters.items() if of_partition]


def _unsettled(
    starts: Mapping[Partition, int], ends: Mapping[Partition, int], is_settled: IsSettled
) -> dict[Partition, int]:
    """The first offset of each partition that is not settled, if there is one before its end."""
    found = {}
    for partition, start in starts.items():
        offset = start
        while offset < ends[partition] and is_settled(partition, offset):
            offset += 1
        if offset < ends[partition]:
            found[partition] = offset
    return found


def _firsts(
    reader: Consumer, starts: Mapping[Partition, int], ends: Mapping[Partition, int], is_settled: IsSettled
) -> dict[Partition, Message]:
    """The first unsettled letter of each partition that has one."""
    waiting = set(starts)
    reader.assign([_place(partition, start) for partition, start in starts.items()])
    found: dict[Partition, Message] = {}
    for partition, letters in _read(reader, waiting, ends):
        for letter in letters:
            if partition not in found and not is_settled(partition, letter.offset()):
                found[partition] = letter
                waiting.discard(partition)
    return found


def _lasts(
    reader: Consumer, firsts: Mapping[Partition, Message], ends: Mapping[Partition, int], is_settled: IsSettled
) -> dict[Partition, Message]:
    """The last unsettled letter of each partition that has a first one. Looks near the end, then further back each
    time."""
    found: dict[Partition, Message] = {}
    befores = {partition: _last_unsettled(partition, ends[partition], is_settled) for partition in firsts}
    for step in LAST_LETTER_STEPS:
        looked_for = [partition for partition in firsts if partition not in found]
        if not looked_for:
            break
        starts = {partition: max(firsts[partition].offset(), befores[partition] + 1 - step) for partition in looked_for}
        reader.assign([_place(partition, start) for partition, start in starts.items()])
        for partition, letters in _read(reader, set(looked_for), ends):
            for letter in letters:
                if not is_settled(partition, letter.offset()):
                    found[partition] = letter
    return {**firsts, **found}


def _last_unsettled(partition: Partition, end: int, is_settled: IsSettled) -> int:
    offset = end - 1
    while offset > 0 and is_settled(partition, offset):
        offset -= 1
    return offset
