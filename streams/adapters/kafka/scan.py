"""Reads dead-letter topics for the command line: whole stretches fast, and the edges of each partition.

Both end where the topic ended when they began: letters that are parked meanwhile are left for the next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import reader
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Message, Partition
from streams.ports.letters import Edges, Stretch

PREFETCH_KILOBYTES_MAX = 4_096
FETCH_BYTES_MAX = 262_144
"""Of one partition in one answer, compressed. Both bound the memory of a scan, whatever the topic holds; more of
either was not faster."""
BATCH_LETTERS_MAX = 1_000
SILENCE_SECONDS_MAX = 30.0
"""Without a letter or an end for so long, nobody answers. A killed sink's open transaction stalls readers for 10 s."""
ANSWER_SECONDS_MAX = 10.0
EDGE_FETCH_BYTES = 65_536
"""One letter is wanted: brokers send at least one batch, however large."""
LAST_LETTER_STEPS = (2, 16, 256, 4_096, 65_536)
"""How far before the end the last letter is looked for: markers of transactions take offsets, too."""

Scanned = Callable[[int], None]
"""Told after each batch how many letters were read in all."""


def scan(
    config: ClientConfig, starts: Mapping[Partition, int], report: Scanned = lambda _count: None
) -> Iterator[Stretch]:
    """Letters from these offsets on, as committed, in offset order per partition; 0 is the earliest that there is.

    Letters before a start that retention or somebody else deleted are passed over. Raises `KafkaUnreachable`.
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
    """The edges of each partition from its start on. Reads a few letters, however many there are.

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
    """The `LetterScan` of one cluster: each call has a consumer of its own."""

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
    """Letters until every partition that is waited for was read up to its end."""
    deadline = time.monotonic() + SILENCE_SECONDS_MAX
    while waiting:
        messages: list[Any] = consumer.consume(BATCH_LETTERS_MAX, 0.1)
        if messages:
            deadline = time.monotonic() + SILENCE_SECONDS_MAX
        elif time.monotonic() >= deadline:
            names = ", ".join(sorted({topic for topic, _ in waiting}))
            raise KafkaUnreachable(f"{names} was not read to its end: no answer for {SILENCE_SECONDS_MAX:.0f} s")
        yield from _sorted(messages, waiting, ends)


def _sorted(messages: list[Any], waiting: set[Partition], ends: Mapping[Partition, int]) -> list[Stretch]:
    """The letters among these; partitions whose end they show are waited for no more."""
    letters: dict[Partition, list[Message]] = {}
    for message in messages:
        error = message.error()
        if error is None:
            partition = (message.topic(), message.partition())
            if partition in letters:
                letters[partition].append(message)
            else:
                letters[partition] = [message]
        elif error.code() == KafkaError._PARTITION_EOF:
            waiting.discard((message.topic(), message.partition()))
        elif denied := denial(error, topic=message.topic() or "", operation="Read", group="of this command"):
            raise denied
        elif not error.retriable():
            raise KafkaException(error)
    for partition, of_partition in letters.items():
        if of_partition[-1].offset() + 1 >= ends[partition]:
            waiting.discard(partition)
            while of_partition and of_partition[-1].offset() >= ends[partition]:
                of_partition.pop()
    return [(partition, of_partition) for partition, of_partition in letters.items() if of_partition]


def _unsettled(
    starts: Mapping[Partition, int], ends: Mapping[Partition, int], is_settled: IsSettled
) -> dict[Partition, int]:
    """The first offset of each that is not settled, where it has one before its end."""
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
    """The last unsettled letter of each partition that has a first one: near the end, else further and further off."""
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
