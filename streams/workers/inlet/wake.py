"""Lists early when the bucket says that a file was written. Messages only wake: a lost one loses nothing.

A message is deleted once a listing saw what it names: one that began after the message came. If this process is killed
before, the message comes again; and who takes over lists the look-back first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import structlog

from streams.delivery.backoff import wait_seconds
from streams.inlets.notices import Notice, Worth, notice_of
from streams.inlets.schedule import Pass, Schedule
from streams.ports.errors import QueueUnavailable
from streams.ports.meters import InletMeter
from streams.ports.notices import NoticeQueue
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.listing import Listing

log = structlog.get_logger(__name__)

WAITING_MAX = 1_000
"""Messages that wait for a listing. Further ones stay in the queue."""
WAKE_SECONDS: Mapping[Pass, float] = {Pass.RECENT: 2.0, Pass.LOOKBACK: 60.0}
"""How often messages may start a listing: Braze writes files of all event types at once."""
BASE_SECONDS = 1.0
"""Of the back-off while the queue does not answer."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message that waits for a listing of this kind that begins after `begun` others."""

    receipt: str
    needs: Pass
    begun: int


class Wake:
    """The duty. Without an answer of the queue the inlet works as if there were none."""

    def __init__(
        self, queue: NoticeQueue, place: str, schedule: Schedule, listing: Listing, meter: InletMeter, random: Random
    ) -> None:
        """`place` is the inlet's bucket and prefix."""
        self._queue = queue
        self._place = place
        self._schedule = schedule
        self._listing = listing
        self._meter = meter
        self._random = random
        self._failures = 0
        self._ask_at = float("-inf")
        self._told = set[Worth]()
        self.begin()

    def begin(self) -> None:
        self._waiting: list[_Waiting] = []
        self._woke_at = dict.fromkeys(WAKE_SECONDS, float("-inf"))

    def step(self, lease: InletLease) -> bool:
        """Take what came, delete what a listing saw, and start a listing for the rest. Whether a message came."""
        count = self._receive(lease)
        self._delete_seen()
        now = lease.clock.monotonic()
        for what in {one.needs for one in self._waiting}:
            if now - self._woke_at[what] >= WAKE_SECONDS[what]:
                self._woke_at[what] = now
                self._schedule.wake(what)
        return count > 0

    def _receive(self, lease: InletLease) -> int:
        now = lease.clock.monotonic()
        if now < self._ask_at or len(self._waiting) >= WAITING_MAX:
            return 0
        try:
            messages = self._queue.poll()
        except QueueUnavailable as error:
            self._failures += 1
            self._ask_at = now + wait_seconds(BASE_SECONDS, self._failures, self._random)
            if self._failures == 1:
                log.warning(
                    "the queue does not answer: new files are found by poll", inlet=lease.inlet, error=str(error)
                )
            return 0
        if messages is None:
            return 0
        if self._failures:
            log.info("the queue answers again", inlet=lease.inlet, failures=self._failures)
            self._failures = 0
        for message in messages:
            notice = notice_of(message.body, self._place)
            self._meter.noticed(notice.worth)
            needs = self._needed(notice, lease)
            if needs is None:
                self._tell(notice.worth, lease)
                self._queue.delete([message.receipt])
            else:
                self._waiting.append(_Waiting(message.receipt, needs, self._listing.begun))
        return len(messages)

    def _needed(self, notice: Notice, lease: InletLease) -> Pass | None:
        """The listing that sees what it names; None if none need be started for it."""
        if notice.worth is not Worth.USEFUL:
            return None
        now_ms = lease.clock.epoch_ms()
        for what in WAKE_SECONDS:
            if not notice.hour or notice.hour >= self._schedule.from_hour(what, now_ms):
                return what
        return None  # older than the look-back: the daily listing finds it

    def _delete_seen(self) -> None:
        seen = [one.receipt for one in self._waiting if self._listing.has_seen(one.needs, one.begun)]
        if seen:
            self._queue.delete(seen)
            self._waiting = [one for one in self._waiting if not self._listing.has_seen(one.needs, one.begun)]

    def _tell(self, worth: Worth, lease: InletLease) -> None:
        """The first one is told: the queue may be another one's."""
        if worth in (Worth.FOREIGN, Worth.MALFORMED) and worth not in self._told:
            self._told.add(worth)
            log.warning("a message of the queue is not about this inlet: deleted", inlet=lease.inlet, worth=worth.value)
