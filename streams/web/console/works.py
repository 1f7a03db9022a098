"""Work that takes longer than a page: it runs beside it, tells its progress, and can be left and come back to."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from streams.operations.installation import Installation
from streams.web.console.client_threads import ClientThread
from streams.web.console.failures import told_failures, words_of

log = structlog.get_logger(__name__)

WORKS_MAX = 100
"""Finished works that are remembered; the oldest are forgotten first."""


class Left(Exception):
    """A person left the work: it ends here."""


@dataclass(slots=True)
class Work:
    """One piece of work. A client thread writes it, pages read it.

    `result` is what it came to; `failure` is why it came to nothing, and `status` the HTTP status that says so.
    """

    id: str
    kind: str
    subject: str
    who: str
    began_ms: int
    ended_ms: int | None = None
    count: int = 0
    total: int | None = None
    result: Any = None
    failure: str = ""
    fix: str = ""
    status: int = 200
    is_left: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    """What its pages need to know besides: the filters of a plan, the job that was ordered."""
    ends: Future[None] | None = None
    """Done once it has ended."""

    @property
    def is_running(self) -> bool:
        return self.ended_ms is None

    def report(self, count: int, total: int | None = None) -> None:
        """Raises `Left` once a person has left it."""
        self.count, self.total = count, total
        if self.is_left:
            raise Left

    def to_json(self) -> dict[str, Any]:
        state = "running" if self.is_running else "failed" if self.failure else "left" if self.is_left else "done"
        return {"work": self.id, "state": state, "read": self.count, "failure": self.failure or None}


class Works:
    """The works of this process."""

    def __init__(self, epoch_ms: Callable[[], int], on_change: Callable[[], None]) -> None:
        """`on_change` is called from any thread when a work has ended."""
        self._epoch_ms = epoch_ms
        self._on_change = on_change
        self._works: OrderedDict[str, Work] = OrderedDict()
        self._lock = threading.Lock()

    def begin(
        self,
        thread: ClientThread,
        kind: str,
        subject: str,
        who: str,
        do: Callable[[Installation, Work], Any],
        **notes: Any,
    ) -> Work:
        """Begin in this thread. Raises `KafkaUnreachable` where too much waits there."""
        work = Work(secrets.token_urlsafe(9), kind, subject, who, self._epoch_ms(), notes=notes)
        with self._lock:
            self._works[work.id] = work
            self._forget_some()

        def run(installation: Installation) -> None:
            try:
                work.report(0)
                work.result = do(installation, work)
            except Left:
                log.info("nobody waits for a task any more", kind=kind, subject=subject)
            except told_failures() as error:
                said = words_of(error)
                # The failure last: a page that sees it has to know what it means.
                work.status, work.fix, work.failure = said.status, said.fix, said.what
            except Exception as error:  # of a thread: the page that waits for it shows it
                log.exception("a task failed", kind=kind, subject=subject)
                work.status, work.failure = 500, f"a fault of the console: {type(error).__name__}; its log says where"
            finally:
                work.ended_ms = self._epoch_ms()
                self._on_change()

        try:
            work.ends = thread.submit(run)
        except BaseException:
            with self._lock:
                del self._works[work.id]  # it never runs, and would be waited for as one that is under way
            raise
        return work

    def find(self, work_id: str) -> Work | None:
        return self._works.get(work_id)

    def newest(self, kind: str, subject: str) -> Iterator[Work]:
        """The works of a kind about one thing, newest first."""
        with self._lock:
            found = list(self._works.values())
        return (work for work in reversed(found) if work.kind == kind and work.subject == subject)

    def leave_all(self) -> None:
        """At the end: whatever runs stops at its next report."""
        with self._lock:
            for work in self._works.values():
                work.is_left = True

    def _forget_some(self) -> None:
        over = [work.id for work in self._works.values() if not work.is_running]
        for work_id in over[: max(0, len(self._works) - WORKS_MAX)]:
            del self._works[work_id]
