"""What is remembered of the partitions that this process has: opened with them, written with their commits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import structlog

from streams.delivery.account import SinkCounts
from streams.delivery.composer import Change, Composed
from streams.delivery.ledger import Ledger
from streams.delivery.letter import ORIGIN_HEADER, Origin
from streams.delivery.sent_rows import FLIGHT, flight
from streams.ports.clock import Clock
from streams.ports.kafka import Message, Transactions
from streams.ports.memory import Memories, MemoryDamaged, RowsNotUnderstood
from streams.ports.pulse import Pulse
from streams.workers.sink.composition.dropped_names import DroppedNames
from streams.workers.sink.composition.places import TOPICS_ROW, UNKNOWN, Places, offset_of, places
from streams.workers.sink.composition.remembered import Remembered
from streams.workers.sink.requests import Current

log = structlog.get_logger(__name__)

T = TypeVar("T")

OPEN_AGAIN_SECONDS = 10.0
"""Between two attempts to open a damaged memory: the disk may be full."""


class Partitions:
    """By partition: what is remembered, while it can be. A damaged memory is opened again: Kafka has its rows."""

    def __init__(
        self,
        connector: str,
        topic: str,
        current: Current,
        memories: Memories,
        ledgers: Mapping[int, Ledger[Message]],
        clock: Clock,
        pulse: Pulse,
        dropped: DroppedNames,
    ) -> None:
        self.ledgers = ledgers
        self.dropped = dropped
        self._topic = topic
        self._current = current
        self._memories = memories
        self._clock = clock
        self._pulse = pulse
        self._known: dict[int, Remembered] = {}
        self._damaged: dict[int, float] = {}
        self._log = log.bind(connector=connector)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._known))

    @property
    def now_s(self) -> int:
        """Seconds since 1970."""
        return self._clock.epoch_ms() // 1000

    def find(self, number: int) -> Remembered | None:
        """None while its memory is damaged, or the partition is not ours."""
        return None if number in self._damaged else self._known.get(number)

    def of(self, number: int) -> Remembered:
        """Of a partition that was opened: what is new, also while its memory is damaged."""
        return self._known[number]

    def counts(self, number: int) -> SinkCounts:
        """To be changed in place: the partition's next commit holds them."""
        return self.ledgers[number].counts

    def tally(self, number: int, composed: Composed) -> None:
        """Count what a request says of itself."""
        self.counts(number).tally(composed.tally)
        self.dropped.add(number, composed.dropped)

    def open(self, number: int, *, is_made_again: bool = False) -> Remembered | None:
        """The memory of a partition that was assigned. A request that its owner before left on its way is counted.

        None where the memory cannot be opened now. Raises what `Memories.open` does, but for `MemoryDamaged`.
        """
        remembered = self._opened(number)
        if remembered is None:
            return None
        with self.guarded(number):
            self.belongs(number, is_made_again=is_made_again)
            events = 0
            for key, value in remembered.rows_under(FLIGHT):
                events += self._events(number, key, value)
                remembered.change([Change(key, None)])
            if events:
                self.counts(number).maybe_doubled += events
                self._log.warning(
                    "events may be doubled: a sink ended before their request was answered", events=events
                )
        return self.find(number)

    def belongs(self, number: int, *, is_made_again: bool = False) -> None:
        """The partition's topic may be another one than that of which the memory has places: what is remembered stays,
        and counts as older than everything in this topic. Full copies that were open end, for their records are gone.
        So does what was on its way: nobody sends it again.

        `is_made_again`: it is another one, also where the memory names none. Raises `RowsNotUnderstood`.
        """
        remembered = self._known[number]
        before = self._read(number, TOPICS_ROW, remembered.get(TOPICS_ROW), places)
        if is_made_again and not before.topics:
            before = Places((UNKNOWN,))
        after = remembered.places = before.with_topic(self.counts(number).topic)
        if after == before:
            return
        remembered.change([Change(TOPICS_ROW, after.to_bytes())])
        composer = self._current.destination.composer
        if not before.topics or composer is None:
            return
        self._log.warning(
            "the topic was made again: what is remembered counts as older than its records", partition=number
        )
        remembered.drop_requests()
        heard = composer.gone(remembered, after.first, self.now_s)
        if heard is not None:
            remembered.unstage(heard.unstage)
            remembered.change(heard.changes)
            self.counts(number).tally(heard.tally)

    def reopen(self, number: int) -> Remembered | None:
        """A damaged memory once more, when it is time. What is not committed yet stays remembered."""
        if number not in self._damaged or self._clock.monotonic() < self._damaged[number]:
            return None
        if number not in self._known:
            return self.open(number)
        if self._opened(number) is not None:
            with self.guarded(number):
                self.belongs(number)
        return self.find(number)

    def damaged(self) -> list[int]:
        return list(self._damaged)

    def close(self, numbers: Collection[int]) -> None:
        """They are not ours any more."""
        for number in numbers:
            self._damaged.pop(number, None)
            self.dropped.forget(number)
            remembered = self._known.pop(number, None)
            if remembered is not None:
                self._shut(number, remembered)

    def flush(self) -> None:
        """Hand on what was staged."""
        for number in self:
            with self.guarded(number):
                self._known[number].flush()

    @contextmanager
    def guarded(self, number: int) -> Iterator[None]:
        """Damage that shows here ends the block; the memory is opened again before it is used again."""
        try:
            yield
        except MemoryDamaged as error:
            self._log.error("memory is damaged: it is filled again", partition=number, error=str(error))
            if number not in self._damaged:
                self._damaged[number] = 0.0

    # What commits write (`committer.CommitExtras`).

    def is_due(self, number: int) -> bool:
        remembered = self._known.get(number)
        return remembered is not None and remembered.is_new

    def topic_of(self, number: int) -> str:
        """The mark of the topic that letters of the partition are read from."""
        return self.counts(number).topic

    def write(self, transactions: Transactions, numbers: Collection[int]) -> None:
        for number in numbers:
            remembered = self._known.get(number)
            if remembered is None:
                continue
            for key, value in remembered.to_write(self.now_s):
                transactions.write(self._memories.topic, value, key, None, number)
            for derived in remembered.derived:
                origin = Origin(self._topic, number, offset_of(derived.place)).to_header()
                transactions.write(self._topic, derived.value, derived.key, [(ORIGIN_HEADER, origin)], number)

    def committed(self, numbers: Collection[int]) -> None:
        for number in numbers:
            remembered = self._known.get(number)
            if remembered is not None and remembered.is_new:
                with self.guarded(number):
                    remembered.committed()

    def refused(self, number: int, refusals: Mapping[str, str]) -> bool:
        """A row that its topic does not take is not remembered, so its word may be sent again. A derived record that
        the connector's topic does not take is left out, counted as skipped."""
        remembered = self._known.get(number)
        if remembered is None:
            return False
        if self._memories.topic in refusals:
            size = remembered.leave_out_largest()
            self._log.error(
                "could not remember a row: its topic refuses it",
                topic=self._memories.topic,
                partition=number,
                bytes=size,
                why=refusals[self._memories.topic],
            )
            return True
        if self._topic in refusals and remembered.derived:
            largest = max(remembered.derived, key=lambda one: len(one.value))
            remembered.derived = [one for one in remembered.derived if one is not largest]
            self.counts(number).skip("refused_by_kafka")
            self._log.error(
                "a derived record is skipped: its topic refuses it",
                topic=self._topic,
                partition=number,
                bytes=len(largest.value),
                why=refusals[self._topic],
            )
            return True
        return False

    def _events(self, number: int, key: bytes, value: bytes) -> int:
        """How many events were on their way."""
        found = self._read(number, key, value, flight)
        return 0 if found is None else found.events

    def _read(self, number: int, key: bytes, value: bytes | None, read: Callable[[bytes | None], T]) -> T:
        try:
            return read(value)
        except ValueError as error:
            raise RowsNotUnderstood(
                f"row {key.decode()} of partition {number} of {self._memories.topic} cannot be read: {error}; a newer "
                "version of streams wrote it, or another program: upgrade, or give streams topics of its own with "
                "kafka.topic_prefix"
            ) from error

    def _opened(self, number: int) -> Remembered | None:
        before = self._known.get(number)
        if before is not None:
            self._shut(number, before)
        try:
            memory = self._memories.open(number, lambda: self._pulse.beat("sink"))
        except MemoryDamaged as error:
            self._log.error("could not open a memory: its partition waits", partition=number, error=str(error))
            self._damaged[number] = self._clock.monotonic() + OPEN_AGAIN_SECONDS
            return None
        self._damaged.pop(number, None)
        if before is None:
            self._known[number] = Remembered(memory)
        else:
            before.memory = memory
        return self._known[number]

    def _shut(self, number: int, remembered: Remembered) -> None:
        try:
            remembered.memory.close()
        except MemoryDamaged as error:
            self._log.warning("could not close a memory in the normal way", partition=number, error=str(error))
