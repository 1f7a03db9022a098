"""Braze's Custom HTTP connector: sends events, and does with each answer what Braze documents. Pure: time is given.

Source: Braze's page on the Custom HTTP connector of Currents (2026-07). What it does not say is chosen so that the
cost of an answer shows: the pauses, and that a single event which is still too large is dropped.

    answer                  Braze
    2xx                     goes on
    400                     sends each event alone; one that gets a second 400 is dropped
    401, 403                never sends these events again
    404                     disables the connector until somebody corrects the address
    413                     sends two halves
    5xx, 429, other, none   tries again with growing pauses; disables the connector after 5 days of that
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

BATCH_EVENTS = 100
DAY_MS = 86_400_000
GIVE_UP_MS = 5 * DAY_MS
PAUSE_MS_LEAST = 1_000
PAUSE_MS_MOST = 60_000
HEADERS = {"Content-Type": "application/json", "Braze-Currents-Version": "1"}

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An event that Braze would never send again."""

    id: str
    event_type: str
    status: int
    why: str


@dataclass(slots=True)
class Ledger:
    """What became of every event so far."""

    sent: int = 0
    delivered: int = 0
    dropped: list[Dropped] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """By status; `none` where no answer came."""
    doubled_at_most: int = 0
    """Events of requests that got no answer and were sent again: they may be there twice."""


@dataclass(slots=True)
class _Batch:
    events: Sequence[Event]
    is_alone: bool = False
    """Split off after a 400: a second one drops it."""


class CurrentsConnector:
    """One connector with its queue. `state` is `disabled` once Braze would send nothing more."""

    def __init__(self, batch_events: int = BATCH_EVENTS) -> None:
        self._batch_events = batch_events
        self._queue: deque[_Batch] = deque()
        self._due_ms = 0
        self._pause_ms = PAUSE_MS_LEAST
        self._failing_since_ms: int | None = None
        self.state: Literal["active", "disabled"] = "active"
        self.why_disabled = ""
        self.ledger = Ledger()

    def add(self, events: Iterable[Event]) -> None:
        """Events that happened; they are sent in this order, up to a hundred at once."""
        batch: list[Event] = []
        for event in events:
            self.ledger.sent += 1
            batch.append(event)
            if len(batch) == self._batch_events:
                self._queue.append(_Batch(batch))
                batch = []
        if batch:
            self._queue.append(_Batch(batch))

    @property
    def waiting(self) -> int:
        """Events that are neither delivered nor dropped."""
        return sum(len(batch.events) for batch in self._queue)

    @property
    def is_over(self) -> bool:
        return self.state == "disabled" or not self._queue

    def due_ms(self) -> int:
        """When the next request goes out."""
        return self._due_ms

    def request(self) -> Sequence[Event]:
        """The events of the next request; it stays the next one until it is `answered`."""
        return self._queue[0].events

    def answered(self, status: int | None, now_ms: int) -> None:
        """Do what Braze does at this status; None: no answer came."""
        batch = self._queue[0]
        self.ledger.requests["none" if status is None else str(status)] += 1
        if status is None or status == 429 or not self._is_final(status):
            self._again(batch, status, now_ms)
            return
        self._failing_since_ms, self._pause_ms, self._due_ms = None, PAUSE_MS_LEAST, now_ms
        if status == 404:
            self._disable("404: the address is wrong; correct it and enable the connector again")
            return
        self._queue.popleft()
        if 200 <= status < 300:
            self.ledger.delivered += len(batch.events)
        elif status == 400 and not batch.is_alone:
            self._put_first(_Batch([event], is_alone=True) for event in batch.events)
        elif status == 413 and len(batch.events) > 1:
            half = len(batch.events) // 2
            self._put_first((_Batch(batch.events[:half]), _Batch(batch.events[half:])))
        else:
            self._drop(batch, status)

    def _is_final(self, status: int) -> bool:
        return 200 <= status < 300 or status in (400, 401, 403, 404, 413)

    def _again(self, batch: _Batch, status: int | None, now_ms: int) -> None:
        if self._failing_since_ms is None:
            self._failing_since_ms = now_ms
        if status is None:
            self.ledger.doubled_at_most += len(batch.events)
        if now_ms - self._failing_since_ms >= GIVE_UP_MS:
            self._disable("5 days without success; what is queued is kept for 7 days, what happens from now on is lost")
            return
        self._due_ms = now_ms + self._pause_ms
        self._pause_ms = min(2 * self._pause_ms, PAUSE_MS_MOST)

    def _drop(self, batch: _Batch, status: int) -> None:
        why = {
            400: "a second 400 for the event alone",
            413: "a single event that is too large",
        }.get(status, "failed events are not sent again")
        self.ledger.dropped += [
            Dropped(str(event.get("id", "")), str(event.get("event_type", "")), status, why) for event in batch.events
        ]

    def _disable(self, why: str) -> None:
        self.state, self.why_disabled = "disabled", why

    def _put_first(self, batches: Iterable[_Batch]) -> None:
        self._queue.extendleft(reversed(list(batches)))
