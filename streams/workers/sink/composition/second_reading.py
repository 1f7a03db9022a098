"""Reads records of a partition a second time, to stage the members of open full copies again.

What is staged is on a scratch disk alone, in no topic. So a new owner of the partition reads these records again,
though they are settled and committed. Nothing of this reading is counted or sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import structlog

from streams.delivery.contract import Remark
from streams.ports.kafka import Consumer, Gap, Message
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.sink.composition.composed_batch import item_of
from streams.workers.sink.composition.partitions import Partitions
from streams.workers.sink.encoders import EncoderCache, SchemaWaits
from streams.workers.sink.requests import Current

log = structlog.get_logger(__name__)


class SecondReading:
    """Partitions that are read again from before their position, up to it: nothing of it is counted or sent."""

    def __init__(
        self,
        topic: str,
        current: Current,
        partitions: Partitions,
        *,
        encoders: EncoderCache,
        consumer: Consumer,
        waiting: WaitingPartitions,
        reached: Callable[[int], None],
    ) -> None:
        """`reached` is called once a partition was read again."""
        self._topic = topic
        self._current = current
        self._partitions = partitions
        self._encoders = encoders
        self._consumer = consumer
        self._waiting = waiting
        self._reached = reached
        self._until: dict[int, int] = {}

    def begin(self, number: int, until: int) -> None:
        """The partition's memory was opened, and what is before the offset `until` was read already."""
        remembered, composer = self._partitions.find(number), self._current.destination.composer
        if remembered is None or composer is None:
            return
        with self._partitions.guarded(number):
            start = composer.reread_from(remembered)
            if start is not None:
                start = max(0, start - remembered.places.first)
            if start is None or start >= until:
                return
            log.info("open copies are read again", partition=number, from_offset=start, to_offset=until)
            self._until[number] = until
            partition = (self._topic, number)
            self._waiting.forget([partition])
            self._consumer.rewind(partition, start)
            self._consumer.resume([partition])

    @property
    def numbers(self) -> Collection[int]:
        """Partitions that are being read again."""
        return self._until.keys()

    def forget(self, numbers: Collection[int]) -> None:
        for number in numbers:
            self._until.pop(number, None)

    def take(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Stage what is read again; gives the rest, which is new."""
        if not self._until:
            return messages
        new = []
        for message in messages:
            number, offset = message.partition(), message.offset()
            until = self._until.get(number)
            if until is None:
                new.append(message)
                continue
            if offset < until:
                self._stage(message)
            else:
                new.append(message)
            if offset >= until - 1:
                del self._until[number]
                self._reached(number)
        self._partitions.flush()
        return new

    def gap(self, gap: Gap) -> Gap | None:
        """Retention deleted records: what of it was not read before. Copies whose records are gone end."""
        until = self._until.get(gap.partition)
        if until is None:
            return gap
        remembered, composer = self._partitions.find(gap.partition), self._current.destination.composer
        if remembered is not None and composer is not None:
            with self._partitions.guarded(gap.partition):
                heard = composer.gone(remembered, remembered.places.at(gap.earliest), self._partitions.now_s)
                if heard is not None:
                    remembered.unstage(heard.unstage)
                    remembered.change(heard.changes)
                    self._partitions.counts(gap.partition).tally(heard.tally)
        if gap.earliest <= until:
            return None
        del self._until[gap.partition]
        return Gap(gap.topic, gap.partition, until, gap.earliest)

    def _stage(self, message: Message) -> None:
        number, value = message.partition(), message.value() or b""
        remembered, composer = self._partitions.find(number), self._current.destination.composer
        if remembered is None or composer is None:
            return
        try:
            encoder, start = self._encoders.find(message, value)
        except SchemaWaits:
            return
        remark = encoder(value, start)
        if isinstance(remark, Remark) and not remark.waits:
            with self._partitions.guarded(number):
                heard = composer.hear(
                    item_of(remark.body, message, remembered.places), remembered, self._partitions.now_s
                )
                remembered.stage(heard.stage)
