"""Tells the meter how an inlet stands, every few seconds."""

from __future__ import annotations

from dataclasses import replace

from streams.inlets.progress import State
from streams.ports.meters import InletMeter, InletState
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.listing import Listing
from streams.workers.inlet.queue import Queue
from streams.workers.inlet.trouble import Trouble

REPORT_SECONDS = 5.0
WRITE_SECONDS = 30.0


class Report:
    """The duty. It is never busy."""

    def __init__(self, queue: Queue, listing: Listing, trouble: Trouble, meter: InletMeter) -> None:
        self._queue = queue
        self._listing = listing
        self._trouble = trouble
        self._meter = meter
        self._began: float | None = None
        self._due = self._write_at = float("-inf")

    def begin(self) -> None:
        self._began, self._due = None, float("-inf")

    def step(self, lease: InletLease) -> bool:
        now = lease.clock.monotonic()
        if self._began is None:
            self._began = now
        if now >= self._due:
            self._due = now + REPORT_SECONDS
            state = self._state(lease, now)
            self._meter.stands(state)
            self._write(lease, state, now)
        return False

    def _write(self, lease: InletLease, state: InletState, now: float) -> None:
        """For people who list inlets: what changed, twice a minute."""
        head = lease.view.head
        oldest_ms = lease.clock.epoch_ms() - int(state.oldest_pending_seconds * 1000) if state.pending else 0
        is_same = (head.pending, head.failing) == (state.pending, state.failing)
        if is_same or now < self._write_at:
            return
        self._write_at = now + WRITE_SECONDS
        lease.commit(head=replace(head, pending=state.pending, oldest_pending_ms=oldest_ms, failing=state.failing))

    def _state(self, lease: InletLease, now: float) -> InletState:
        now_ms = lease.clock.epoch_ms()
        waiting = lease.view.waiting
        damaged = [entry for key, entry in waiting.items() if entry.state is State.DAMAGED]
        moments = [one.modified_ms for one in self._queue] + [entry.modified_ms for entry in damaged]
        finished_at = self._listing.finished_at if self._listing.finished_at is not None else self._began
        assert finished_at is not None
        return InletState(
            pending=len(self._queue) + self._queue.left_out + len(damaged),
            pending_bytes=sum(one.size_bytes for one in self._queue)
            + self._queue.left_out_bytes
            + sum(entry.size_bytes for entry in damaged),
            oldest_pending_seconds=max(0.0, (now_ms - min(moments)) / 1000) if moments else 0.0,
            parked=len(waiting) - len(damaged),
            damaged=len(damaged),
            listing_seconds=now - finished_at,
            failing=self._trouble.reason,
            silence_seconds={
                event_type: max(0.0, (now_ms - moment) / 1000) for event_type, moment in self._listing.newest_ms.items()
            },
        )
