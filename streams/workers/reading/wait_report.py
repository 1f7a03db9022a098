"""Tells on the state topic what this process waits for, so that commands and the console can say it.

It writes little: nothing for a wait of a few seconds, a change every ten seconds at most, and once a minute while
nothing changes. The report is removed once nothing waits any more.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.ports.clock import Clock
from streams.ports.errors import TransactionAborted
from streams.ports.kafka import Transactions
from streams.state.records import key
from streams.state.worker_records import PartitionWait, Waits
from streams.workers.reading.waiting_partitions import WaitingPartitions

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
LASTING_MS = 3_000
"""What is over sooner is the daily course of things."""
CHANGE_SECONDS = 10.0
REPEAT_SECONDS = 60.0


class WaitReport:
    """Of one process and one connector, or `source`. Uses the worker's producer, between its transactions."""

    def __init__(
        self, connector: str, instance: str, *, state_topic: str, transactions: Transactions, clock: Clock
    ) -> None:
        self._key = key("waits", connector, instance).encode()
        self._state_topic = state_topic
        self._transactions = transactions
        self._clock = clock
        self._look_at = 0.0
        self._told = Waits()
        self._told_at = 0.0

    def step(self, gather: Callable[[], Waits]) -> None:
        """Look once a second, and write what has to be told. No transaction may be open."""
        now = self._clock.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        waits = self._lasting(gather())
        is_over = not waits.partitions and not waits.back_offs
        if is_over:
            self.end()
            return
        was_told = bool(self._told.partitions or self._told.back_offs)
        pause = REPEAT_SECONDS if waits == self._told else CHANGE_SECONDS
        if not was_told or now - self._told_at >= pause:
            self._tell(waits)

    def end(self) -> None:
        """Nothing waits any more, or the process stops: remove the report."""
        if self._told.partitions or self._told.back_offs:
            self._tell(Waits())

    def _lasting(self, waits: Waits) -> Waits:
        begun_ms = self._clock.epoch_ms() - LASTING_MS
        partitions = {place: one for place, one in waits.partitions.items() if one.since <= begun_ms}
        back_offs = {scope: one for scope, one in waits.back_offs.items() if one.since <= begun_ms}
        return Waits(partitions=partitions, back_offs=back_offs)

    def _tell(self, waits: Waits) -> None:
        is_over = not waits.partitions and not waits.back_offs
        value = None if is_over else waits.model_copy(update={"at": self._clock.epoch_ms()}).to_bytes()
        try:
            self._transactions.begin()
            self._transactions.write(self._state_topic, value, self._key)
            self._transactions.commit((), None)
        except TransactionAborted as error:
            log.warning("could not write waits to the state, will try again", error=str(error))
            return
        self._told, self._told_at = waits, self._clock.monotonic()


def partition_waits(waiting: WaitingPartitions, clock: Clock) -> dict[str, PartitionWait]:
    """What partitions wait for, in times of the day."""
    now, now_ms = clock.monotonic(), clock.epoch_ms()
    return {
        f"{topic}/{number}": PartitionWait(
            why=wait.why, detail=wait.detail, since=epoch_ms(wait.since, now, now_ms), offset=wait.offset
        )
        for (topic, number), wait in waiting.waits(now).items()
    }


def epoch_ms(at: float, now: float, now_ms: int) -> int:
    """A time of the monotonic clock as milliseconds since 1970."""
    return now_ms + round((at - now) * 1000)
