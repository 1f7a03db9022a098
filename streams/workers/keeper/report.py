"""A keeper's duty to say how its connector stands, and what it did since it said so last: read off the state alone.

The state's totals only grow, and a purge's job says what it purged, so nothing that moves letters needs to count for
anybody else. What an earlier keeper did is not said again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.ports.meters import KeeperMeter, Kept, Moved
from streams.state.records import Totals
from streams.state.state_view import CONNECTOR_SCOPE, StateView
from streams.workers.keeper.lease import Lease

NextPurge = Callable[[Lease, str], int]
"""When the first letter of an INVALID scope may be purged (ms), as far as known."""


@dataclass(frozen=True, slots=True)
class Look:
    """What only grows in a connector's state."""

    totals: Totals
    ordered: Mapping[str, int]
    """Letters that each purge ordered by a person has taken, by job."""
    alerts: frozenset[tuple[str, int, str]]
    """Scope (`-`: the connector), since when (ms), kind."""

    @classmethod
    def at(cls, view: StateView) -> Look:
        alerts = {
            (name, state.refused_though_good if alert == "refused" else state.since, alert)
            for name, state in view.scopes.items()
            for alert in state.alerts
            # The others belong to the episode that is over, and were counted in its time.
            if state.state == "INVALID" or alert in ("recovered", "refused")
        }
        told = view.told
        if told.purged_told:
            alerts.add((CONNECTOR_SCOPE, told.purged_at, "purged"))
        if told.lost_told:
            alerts.add((CONNECTOR_SCOPE, told.lost_told, "lost"))
        if view.state.alerted:
            alerts.add((CONNECTOR_SCOPE, view.state.since, "suspended"))
        ordered = {job_id: job.done for job_id, job in view.jobs.items() if job.action == "purge"}
        return cls(view.totals, ordered, frozenset(alerts))


def moved(before: Look, after: Look) -> Moved:
    """What happened between two looks."""
    ordered = sum(max(0, done - before.ordered.get(job, 0)) for job, done in after.ordered.items())
    purged = _sum(after.totals.purged) - _sum(before.totals.purged)
    alerts: dict[str, int] = {}
    for _, _, kind in after.alerts - before.alerts:
        alerts[kind] = alerts.get(kind, 0) + 1
    return Moved(
        redriven=_sum(after.totals.redriven) - _sum(before.totals.redriven),
        replayed=_sum(after.totals.replayed) - _sum(before.totals.replayed) + after.totals.again - before.totals.again,
        purged={
            "deadline": max(0, purged - ordered),
            "ordered": ordered,
            "expired": _sum(after.totals.expired) - _sum(before.totals.expired),
        },
        alerts=alerts,
    )


class StateReport:
    """The first of a keeper's duties: so its first look comes before any other has done anything."""

    def __init__(self, meter: KeeperMeter, scopes: Sequence[str], next_purge: NextPurge) -> None:
        self._meter = meter
        self._scopes = scopes
        self._next_purge = next_purge
        self._lease: Lease | None = None
        self._before: Look | None = None

    def begin(self) -> None:
        """What was not committed was never looked at."""

    def step(self, lease: Lease) -> bool:
        view = lease.view
        look = Look.at(view)
        if self._before is not None and self._lease is lease and self._before != look:
            self._meter.moved(moved(self._before, look))
        self._lease, self._before = lease, look
        scopes = {name: view.scope(name) for name in self._scopes}
        deadlines = {name: self._next_purge(lease, name) for name, state in scopes.items() if state.state == "INVALID"}
        self._meter.stands(Kept(view.state, scopes, deadlines, view.deletion is not None))
        return False


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())
