"""Remarks: records that are never sent and change what is remembered; some wait, and derive further records.

remark --heard--> skipped
remark that waits --all before it is committed--> heard --chunk by chunk--> derived records are written --> skipped
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from streams.delivery.composer import Composer, Derived, Heard
from streams.delivery.contract import Remark
from streams.delivery.ledger import Ledger, ParkedRecord
from streams.ports.kafka import Message
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.sink.composition.composed_batch import item_of
from streams.workers.sink.composition.partitions import Partitions
from streams.workers.sink.composition.remembered import Remembered
from streams.workers.sink.requests import Current

DERIVED_PER_TRANSACTION = 5_000
EXPIRE_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class _Held:
    """A remark whose partition stands behind it. `derived` are the records that are still to be written."""

    ledger: Ledger[Message]
    place: int
    message: Message
    remark: Remark
    heard: Heard | None = None
    derived: Iterator[Derived] = field(default_factory=lambda: iter(()))


class Remarks:
    """Hears the remarks of all partitions. One thread."""

    def __init__(
        self,
        current: Current,
        partitions: Partitions,
        waiting: WaitingPartitions,
        commit: Callable[[Mapping[int, Ledger[Message]]], None],
    ) -> None:
        self._current = current
        self._partitions = partitions
        self._waiting = waiting
        self._commit = commit
        self._held: dict[int, _Held] = {}
        self._expire_at = 0.0

    def take(self, remark: Remark, ledger: Ledger[Message], place: int, message: Message) -> bool:
        """A remark was read, and is the last record of its partition that was; whether it was rejected at once."""
        number = message.partition()
        heard = None if remark.waits else self._heard_at_once(number, remark, ledger, place, message)
        if heard is None:
            self._held[number] = _Held(ledger, place, message, remark)
            self._waiting.stand((message.topic(), number), message.offset() + 1)
        return heard is not None and bool(heard.rejected)

    def step(self, now: float, read_again: Collection[int]) -> None:
        """Go on with those that wait; not while their partition is read again. Seconds of the monotonic clock."""
        for number, held in list(self._held.items()):
            remembered = self._partitions.find(number)
            if remembered is not None and number not in read_again:
                self._advance(number, held, remembered)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_SECONDS
            for number in self._partitions:
                self._expire(number)

    def forget(self, numbers: Collection[int]) -> None:
        """They are not ours any more."""
        for number in numbers:
            self._held.pop(number, None)

    def made_again(self, number: int) -> None:
        """What a remark derives was read from a memory that is made again: it is heard again."""
        held = self._held.get(number)
        if held is not None:
            held.heard = None

    def stand(self, number: int) -> None:
        """The partition was read again up to a remark that waits there, if one does."""
        held = self._held.get(number)
        if held is not None:
            self._waiting.stand((held.message.topic(), number), held.message.offset() + 1)

    def _heard_at_once(
        self, number: int, remark: Remark, ledger: Ledger[Message], place: int, message: Message
    ) -> Heard | None:
        """None where it has to wait."""
        remembered, heard = self._partitions.find(number), None
        if remembered is None:
            return None
        with self._partitions.guarded(number):
            heard = self._composer.hear(
                item_of(remark.body, message, remembered.places), remembered, self._partitions.now_s
            )
            if remembered.is_changing([change.key for change in heard.changes]):
                return None
            self._apply(number, remembered, heard)
            _settle(ledger, place, message, heard)
        return None if ledger.is_waiting(place) else heard

    def _advance(self, number: int, held: _Held, remembered: Remembered) -> None:
        """One step: commit what is before it, or write a chunk of what it derives. The last one passes it."""
        ledgers = {number: held.ledger}
        if not held.ledger.is_last_waiting(held.place) or remembered.is_new:
            if held.ledger.settled + 1 == held.ledger.unsettled or remembered.is_new:
                self._commit(ledgers)
            return
        with self._partitions.guarded(number):
            if held.heard is None:
                remembered.flush()
                item = item_of(held.remark.body, held.message, remembered.places)
                held.heard = self._composer.hear(item, remembered, self._partitions.now_s)
                held.derived = iter(held.heard.derived)
            chunk = list(islice(held.derived, DERIVED_PER_TRANSACTION))
            self._write(number, held, held.heard, remembered, chunk)

    def _write(self, number: int, held: _Held, heard: Heard, remembered: Remembered, chunk: list[Derived]) -> None:
        remembered.derived = chunk
        self._partitions.counts(number).derived += len(chunk)
        if len(chunk) < DERIVED_PER_TRANSACTION:
            self._apply(number, remembered, heard)
            _settle(held.ledger, held.place, held.message, heard)
            del self._held[number]
            self._waiting.let_go((held.message.topic(), number))
        self._commit({number: held.ledger})

    def _apply(self, number: int, remembered: Remembered, heard: Heard) -> None:
        remembered.stage(heard.stage)
        remembered.unstage(heard.unstage)
        remembered.unstage_users(heard.unstage_users)
        remembered.change(heard.changes)
        self._partitions.counts(number).tally(heard.tally)

    def _expire(self, number: int) -> None:
        """What time alone ends. A partition where something is on its way or derived is asked a minute later."""
        remembered = self._partitions.find(number)
        if remembered is None or number in self._held:
            return
        with self._partitions.guarded(number):
            for key in remembered.memory.seen_over(self._partitions.now_s):
                remembered.forget(key)
            heard = self._composer.expired(remembered, self._partitions.now_s)
            if heard is not None and not remembered.is_changing([change.key for change in heard.changes]):
                self._apply(number, remembered, heard)

    @property
    def _composer(self) -> Composer:
        composer = self._current.destination.composer
        assert composer is not None, "a destination without a composer returned a remark"
        return composer


def _settle(ledger: Ledger[Message], place: int, message: Message, heard: Heard) -> None:
    if heard.rejected:
        ledger.parked(place, ParkedRecord(message, "rejected", 0, heard.rejected, "", 0))
    else:
        ledger.skipped(place, heard.reason)
