"""Lists the store page by page, and queues what is to be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from streams.inlets.inlet_view import Verdict
from streams.inlets.layout import after_of, hour_of, is_opened, is_type_root, place_of
from streams.inlets.objects import StoredObject
from streams.inlets.progress import Closed
from streams.inlets.schedule import Pass, Schedule
from streams.ports.errors import StoreUnavailable
from streams.ports.objects import ObjectStore
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.queue import WAITING_LEAST, WAITING_MAX, Queue, Selection
from streams.workers.inlet.trouble import Trouble

log = structlog.get_logger(__name__)

FLAT_OBJECTS = 100
"""So many objects directly at the top, in the first page: then the folders there are not asked for, because that answer
would hold all objects at once."""
CLOSE_MARGIN_MS = 6 * 3_600_000
"""An upload in parts has the time of its beginning. So the last hours before a listing count as not seen yet."""


@dataclass(slots=True)
class _PassFindings:
    """What one pass over the store has found so far."""

    what: Pass
    began_ms: int
    selections: dict[str, Selection] = field(default_factory=dict)
    ignored: int = 0


class Listing:
    """The duty. After a pass over everything it also closes what is old, once all of it was taken."""

    def __init__(
        self, store: ObjectStore, queue: Queue, schedule: Schedule, trouble: Trouble, lookback_seconds: float
    ) -> None:
        self._store = store
        self._queue = queue
        self._schedule = schedule
        self._trouble = trouble
        self._lookback_ms = int(lookback_seconds * 1000)
        self._running: Iterator[None] | None = None
        self._is_flat = False
        self._listed: _PassFindings | None = None
        self.begun = 0
        """How many passes were begun."""
        self._finished = dict.fromkeys(Pass, 0)
        """The number, by `begun`, of the last pass of each kind that was finished."""
        self.finished_at: float | None = None
        """When a pass was finished last, by the monotonic clock."""
        self.newest_ms = dict[str, int]()
        """When the newest object of each event type was written."""

    def begin(self) -> None:
        self._running, self._listed = None, None
        self._schedule.begin_again()
        self._queue.clear()

    def step(self, lease: InletLease) -> bool:
        """List one page. Whether there was one to list."""
        if self._trouble.waits:
            return False
        if self._running is None:
            if (due := self._due(lease)) is None:
                return self._close(lease)
            self._running = self._list(lease, due)
        try:
            next(self._running)
        except StopIteration:
            self._running = None
        except StoreUnavailable as error:
            self._running = None
            self._trouble.failed(error.reason, str(error))
            return False
        self._trouble.served()
        return True

    def has_seen(self, what: Pass, begun: int) -> bool:
        """Whether a pass was finished that lists at least as much as such a one, and began after so many others."""
        passes = list(Pass)  # each lists what those before it list
        return any(self._finished[one] > begun for one in passes[passes.index(what) :])

    def _due(self, lease: InletLease) -> Pass | None:
        clock = lease.clock
        is_listed = self._listed is not None  # and will be closed, once all of it was taken
        everything_ms = clock.epoch_ms() if is_listed else lease.view.head.everything_ms
        return self._schedule.due(clock.monotonic(), clock.epoch_ms(), everything_ms, self._queue.is_idle)

    def _list(self, lease: InletLease, what: Pass) -> Iterator[None]:
        findings = _PassFindings(what, lease.clock.epoch_ms())
        self.begun += 1
        number = self.begun
        for page in self._pages(what, self._schedule.from_hour(what, findings.began_ms)):
            for one in page:
                self._look(lease, findings, one)
            yield
        room = max(WAITING_LEAST, WAITING_MAX // max(1, len(findings.selections)))
        is_cut = any(selection.left_out for selection in findings.selections.values())
        for selection in findings.selections.values():
            self._queue.put(what, selection.chosen)
        if what is not Pass.RECENT:
            self._queue.left_out = sum(selection.left_out for selection in findings.selections.values())
            self._queue.left_out_bytes = sum(selection.left_out_bytes for selection in findings.selections.values())
        if what is Pass.EVERYTHING:
            self._listed = findings
        self._finished[what] = number
        self.finished_at = lease.clock.monotonic()
        self._schedule.done(what, self.finished_at, is_cut=is_cut)
        log.debug("listed", inlet=lease.inlet, what=what.value, folders=len(findings.selections), room=room)

    def _pages(self, what: Pass, from_hour: str) -> Iterator[Sequence[StoredObject]]:
        if what is not Pass.RECENT:
            first = next(self._store.pages(""), ())
            self._is_flat = sum("/" not in one.key for one in first) >= FLAT_OBJECTS
        if self._is_flat:
            yield from self._store.pages("")
            return
        pending = [""]
        while pending:
            level = self._store.level(pending.pop())
            yield level.objects
            for folder in level.folders:
                if is_type_root(folder):
                    yield from self._store.pages(folder, after_of(folder, from_hour) if from_hour else "")
                elif is_opened(folder):
                    pending.append(folder)
                else:
                    yield from self._store.pages(folder)

    def _look(self, lease: InletLease, findings: _PassFindings, one: StoredObject) -> None:
        place = place_of(one.key)
        if place.root:
            event_type = place.slot.event_type
            self.newest_ms[event_type] = max(self.newest_ms.get(event_type, 0), one.modified_ms)
        verdict = lease.view.verdict(one)
        if verdict is Verdict.IGNORED:
            findings.ignored += 1
        selection = findings.selections.get(place.root)
        if selection is None:
            room = WAITING_MAX if not place.root else max(WAITING_LEAST, WAITING_MAX // (len(findings.selections) + 1))
            selection = findings.selections[place.root] = Selection(room)
        if verdict is Verdict.DUE:
            selection.add(one)

    def _close(self, lease: InletLease) -> bool:
        """Close what the last listing of everything saw, once nothing waits any more."""
        findings = self._listed
        if findings is None or len(self._queue):
            return False
        self._listed = None
        closed = {root: to for root, chosen in findings.selections.items() if (to := self._end(findings, root, chosen))}
        is_cut = any(selection.left_out for selection in findings.selections.values())
        head = replace(
            lease.view.head,
            everything_ms=lease.view.head.everything_ms if is_cut else findings.began_ms,
            ignored=findings.ignored,
        )
        lease.commit(head=head, closed=closed)
        return True

    def _end(self, findings: _PassFindings, root: str, chosen: Selection) -> Closed | None:
        """Up to where everything in a folder is done."""
        if not root:
            return None if chosen.left_out else Closed("", findings.began_ms - self._lookback_ms)
        horizon = hour_of(findings.began_ms - self._lookback_ms)
        hour = min(horizon, chosen.last_hour) if chosen.left_out else horizon
        return Closed(hour, findings.began_ms - CLOSE_MARGIN_MS)
