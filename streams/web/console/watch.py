"""Looks at Kafka again and again beside the pages. A page shows the newest snapshot, so it waits for nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from streams.config import Settings
from streams.config.names import SOURCE
from streams.operations.accounts import Accounts
from streams.operations.attention import Need, needs, rejected_times
from streams.operations.connectors.overview import Overview, overviews
from streams.operations.dead_letters.jobs import NamedJob
from streams.operations.dead_letters.overview import LettersOverview
from streams.operations.dead_letters.overview import overview as letters_overview
from streams.operations.inlets.overview import InletOverview
from streams.operations.inlets.overview import overviews as inlet_overviews
from streams.operations.installation import Installation
from streams.operations.router import router_overview
from streams.ports.clock import Clock
from streams.state.state_view import StateView
from streams.web.console.client_threads import Connect
from streams.web.console.failures import Failure, told_failures, words_of
from streams.web.console.history import History

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks while somebody looks at a page."""
IDLE_SECONDS = 10.0
"""Between two looks while nobody does: as often as a sample is kept."""
LETTERS_SECONDS = 20.0
"""Between two looks at the ages of letters, which read first and last letters, and at what inlets wrote."""
WATCHED_SECONDS = 60.0
"""After a page was asked for, somebody counts as looking for so long."""
JOIN_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything as of one look, as plain values: nothing of it changes afterwards.

    `router` and `connectors` have the fields of `streams connectors show --output json`. `failure` says why the look
    after it failed; the values are those of the last look that did not.
    """

    at_ms: int
    number: int
    router: Mapping[str, Any] | None
    connectors: Mapping[str, Mapping[str, Any]]
    needs: tuple[Need, ...]
    letters: Mapping[str, LettersOverview]
    jobs: Mapping[str, tuple[NamedJob, ...]]
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inlets: tuple[InletOverview, ...] = ()
    failure: Failure | None = None

    def job(self, job_id: str) -> tuple[str, NamedJob] | None:
        """A job and its connector."""
        for name, jobs in self.jobs.items():
            for one in jobs:
                if one.id == job_id:
                    return name, one
        return None


class Watch:
    """A thread with clients of its own. `on_look` is called on it after each look."""

    def __init__(self, settings: Settings, connect: Connect, clock: Clock, history: History) -> None:
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._history = history
        self._listeners: list[Callable[[], None]] = []
        self._letters: dict[str, LettersOverview] = {}
        self._inlets: tuple[InletOverview, ...] = ()
        self._letters_at = float("-inf")
        self._read_jobs: dict[str, tuple[str, NamedJob]] = {}
        self._asked_at = float("-inf")
        self._wake = threading.Event()
        self._is_stopping = False
        self.snapshot: Snapshot | None = None
        """None until the first look is over."""
        self.first_look = threading.Event()
        self._thread = threading.Thread(target=self._run, name="console-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._is_stopping = True
        self._wake.set()
        self._thread.join(JOIN_SECONDS_MAX)

    def on_look(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def asked(self) -> None:
        """Somebody looks at a page now."""
        was_idle = self._clock.monotonic() - self._asked_at > WATCHED_SECONDS
        self._asked_at = self._clock.monotonic()
        if was_idle:
            self._wake.set()

    def job(self, job_id: str) -> tuple[str, NamedJob] | None:
        """A job and its connector, as far as any page has shown it: a look that began earlier does not set it back."""
        seen = None if self.snapshot is None else self.snapshot.job(job_id)
        read = self._read_jobs.get(job_id)
        if read is None or (seen is not None and seen[1].is_as_far_as(read[1])):
            self._read_jobs.pop(job_id, None)
            return seen
        return read

    def jobs(self, connector: str) -> tuple[NamedJob, ...]:
        """The connector's jobs, newest first, each as far as any page has shown it."""
        seen = () if self.snapshot is None else self.snapshot.jobs.get(connector, ())
        ids = [one.id for one in seen]
        ids += [job_id for job_id, (name, _) in self._read_jobs.items() if name == connector and job_id not in ids]
        found = [named for job_id in ids if (named := self.job(job_id)) is not None]
        return newest_first(job for _, job in found)

    def job_was_read(self, connector: str, job: NamedJob) -> None:
        """A page read this job from Kafka itself."""
        self._read_jobs[job.id] = connector, job

    def look_soon(self) -> None:
        """Something was ordered: look at once, and at the letters, too."""
        self._letters_at = float("-inf")
        self._wake.set()

    def _run(self) -> None:
        installation: Installation | None = None
        accounts: Accounts | None = None
        while not self._is_stopping:
            self._wake.clear()
            try:
                if installation is None:
                    installation = self._connect("streams-console-watch")
                if accounts is None:
                    accounts = Accounts(installation)
                self.snapshot = self._look(installation, accounts)
            except told_failures() as error:
                failure = words_of(error)
                if self.snapshot is None or self.snapshot.failure != failure:
                    log.warning("the console sees nothing new", error=failure.what)
                self.snapshot = self._failed(failure)
                if accounts is not None:
                    accounts.close()
                    accounts = None
            self.first_look.set()
            for listener in self._listeners:
                listener()
            is_watched = self._clock.monotonic() - self._asked_at <= WATCHED_SECONDS
            self._wake.wait(LOOK_SECONDS if is_watched else IDLE_SECONDS)
        if accounts is not None:
            accounts.close()
        if installation is not None:
            installation.close()

    def _failed(self, failure: Failure) -> Snapshot:
        if self.snapshot is None:
            return Snapshot(0, 1, None, {}, (), {}, {}, failure=failure)
        return replace(self.snapshot, number=self.snapshot.number + 1, failure=failure)

    def _look(self, installation: Installation, accounts: Accounts) -> Snapshot:
        names = list(self._settings.connectors)
        router = router_overview(installation, accounts)
        needs_router = self._settings.needs_router
        found = overviews(installation, accounts, names)
        views = accounts.state_views()
        self._look_at_letters_and_inlets(installation, [*names, *([SOURCE] if needs_router else [])])
        now_ms = installation.clock.epoch_ms()
        self._sample(now_ms, found)
        return Snapshot(
            at_ms=now_ms,
            number=1 if self.snapshot is None else self.snapshot.number + 1,
            router=router.to_json(),
            connectors={one.connector.name: one.to_json() for one in found},
            needs=needs(
                router if needs_router else None, found, now_ms, rejected_times(self._letters.values()), self._inlets
            ),
            letters=dict(self._letters),
            jobs={name: jobs_of(view) for name, view in views.items()},
            details={one.connector.name: details_of(one) for one in found},
            inlets=self._inlets,
        )

    def _look_at_letters_and_inlets(self, installation: Installation, names: list[str]) -> None:
        if self._clock.monotonic() - self._letters_at < LETTERS_SECONDS:
            return
        self._letters_at = self._clock.monotonic()
        for name in names:
            self._letters[name] = letters_overview(installation, name)
        self._inlets = tuple(inlet_overviews(installation))

    def _sample(self, now_ms: int, found: tuple[Overview, ...]) -> None:
        for one in found:
            name = one.connector.name
            if self._history.is_due(name, now_ms):
                sample = {
                    "delivered": float(one.account.delivered),
                    "parked": float(sum(one.account.parked.values())),
                    "waiting": float(one.account.waiting),
                    "lag_seconds": one.lag_seconds or 0.0,
                }
                self._history.add(name, now_ms, sample)


def jobs_of(view: StateView) -> tuple[NamedJob, ...]:
    """Newest first."""
    return newest_first(NamedJob(job_id, job) for job_id, job in view.jobs.items())


def newest_first(jobs: Iterable[NamedJob]) -> tuple[NamedJob, ...]:
    return tuple(sorted(jobs, key=lambda one: -one.job.created))


def details_of(one: Overview) -> dict[str, Any]:
    """What pages show besides the fields of the command: newest probes, alerts told, extensions, the ledger."""
    scopes = {}
    for name in one.scopes:
        scope = one.view.scope(name)
        scopes[name] = {
            "probe": None if scope.probe is None else (scope.probe.status, scope.probe.detail, scope.probe.at),
            "alerts": scope.alerts,
            "extended_ms": scope.extended_ms,
            "since_ms": scope.since or None,
            "deadline_ms": one.deadlines.get(name),
        }
    return {"scopes": scopes, "ledger": one.ledger()}
