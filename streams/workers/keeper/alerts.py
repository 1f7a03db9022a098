"""Alerts to people. One each when credentials become INVALID, at 50 % and 90 % of the grace, and when they are VALID
again; when traffic is refused though a probe is accepted; when a connector stops; when records were lost; for letters
purged by their deadline, one an hour at most.

Whether an alert was sent is part of the state, so a restart does not repeat it. The state is written after the channel
took the alert: a keeper that is killed in between sends it twice rather than never.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import structlog

from streams.ports.alerts import Notifier
from streams.state.audit import Alerted
from streams.state.credentials import Rules, alerts_due
from streams.state.records import Record, key
from streams.state.state_view import CONNECTOR_SCOPE, StateView
from streams.workers.keeper.alert_texts import invalidity, loss, page_of, purge, recovery, refusal, suspension
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.purge import Purge

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
"""A channel that did not take an alert is asked again after this."""
SUSPENDED, PURGED, LOST = "suspended", "purged", "lost"
PURGED_MS = 3_600_000
"""Letters pass their deadline one by one: alerts of purged letters are at least this far apart."""
RUNBOOKS = "docs/runbooks"

Run = Callable[[Callable[[], bool]], "Future[bool]"]


class Alerts:
    """`count_parked` says how many letters wait (None: unknown); `run` carries a call out in the background; `runbooks`
    is where the pages are; `contact` is the address of the people who own the connector."""

    def __init__(
        self,
        notifier: Notifier,
        rules: Rules,
        purge: Purge,
        scopes: tuple[str, ...],
        *,
        count_parked: Callable[[], int | None],
        run: Run,
        runbooks: str = RUNBOOKS,
        contact: str = "",
    ) -> None:
        self._notifier = notifier
        self._rules = rules
        self._purge = purge
        self._scopes = scopes
        self._count_parked = count_parked
        self._run = run
        self._runbooks = runbooks.rstrip("/")
        self._contact = contact
        self._counts: dict[tuple[str, str], int] = {}
        self._sending: dict[tuple[str, str], Future[bool]] = {}
        self._retry_at: dict[tuple[str, str], float] = {}
        self._texts: dict[tuple[str, str], tuple[str, str]] = {}

    def begin(self) -> None:
        """What is being sent goes on: its end is written if it is still wanted."""

    def step(self, lease: Lease) -> bool:
        is_busy = False
        for alert in list(self._sending):
            if self._sending[alert].done():
                is_busy = self._take(lease, alert) or is_busy
        for alert in self._due(lease):
            now = lease.clock.monotonic()
            if alert not in self._sending and now >= self._retry_at.get(alert, 0.0):
                self._send(lease, alert)
                is_busy = True
        return is_busy

    def _due(self, lease: Lease) -> list[tuple[str, str]]:
        view = lease.view
        due = [
            (scope, alert)
            for scope in self._scopes
            for alert in alerts_due(view.scope(scope), view.state, self._rules, lease.now())
        ]
        state, told = view.state, view.told
        if state.state == "SUSPENDED" and state.by != "operator" and not state.alerted:
            due.append((CONNECTOR_SCOPE, SUSPENDED))
        if told.purged > told.purged_told and lease.now() - told.purged_at >= PURGED_MS:
            due.append((CONNECTOR_SCOPE, PURGED))
        if lost(view) > told.lost_told:
            due.append((CONNECTOR_SCOPE, LOST))
        return due

    def _send(self, lease: Lease, alert: tuple[str, str]) -> None:
        lease.confirm()  # a keeper that was replaced learns of it here, before it tells anyone
        title, text = self._composed(lease, alert)
        page = f"\nRunbook: {self._runbooks}/{page_of(alert[1], lease.view.state)}"

        def tell() -> bool:
            # Composed once: a channel that took it knows it again by its text.
            if alert not in self._texts:
                parked = self._count_parked()
                waiting = "" if parked is None else f"\nDead letters when this was written: {parked:,}"
                contact = f"\nContact: {self._contact}" if self._contact else ""
                self._texts[alert] = title, text + waiting + contact + page
            return self._notifier.notify(*self._texts[alert])

        self._counts.setdefault(alert, self._count(lease, alert[1]))
        self._sending[alert] = self._run(tell)

    def _composed(self, lease: Lease, alert: tuple[str, str]) -> tuple[str, str]:
        scope, kind = alert
        view, name = lease.view, lease.connector
        match kind:
            case "suspended":
                return suspension(name, view.state)
            case "purged":
                told = view.told
                return purge(name, told.purged - told.purged_told, told.purged_at)
            case "lost":
                return loss(name, lost(view) - view.told.lost_told)
            case "recovered":
                return recovery(name, scope, view.scope(scope))
            case "refused":
                return refusal(name, scope, view.scope(scope))
            case _:
                return invalidity(name, scope, kind, view.scope(scope), self._purge.next_at(lease, scope))

    def _count(self, lease: Lease, kind: str) -> int:
        """What the alert told the count of: more may have come when it is noted as told."""
        return {PURGED: lease.view.told.purged, LOST: lost(lease.view)}.get(kind, 0)

    def _take(self, lease: Lease, alert: tuple[str, str]) -> bool:
        was_taken = self._sending.pop(alert).result()
        if not was_taken:
            self._retry_at[alert] = lease.clock.monotonic() + RETRY_SECONDS
            return False
        scope, kind = alert
        self._texts.pop(alert, None)
        count = self._counts.pop(alert, 0)
        if alert not in self._due(lease):
            return False  # the state changed since
        told = lease.view.told
        change: Record
        match kind:
            case "suspended":
                name, change = (
                    key("connector", lease.connector),
                    lease.view.state.model_copy(update={"alerted": True}),
                )
            case "purged":
                update = {"purged_told": count, "purged_at": lease.now()}
                name, change = key("told", lease.connector), told.model_copy(update=update)
            case "lost":
                name, change = key("told", lease.connector), told.model_copy(update={"lost_told": count})
            case _:
                state = lease.view.scope(scope)
                after = state.model_copy(update={"alerts": (*state.alerts, kind)})
                name, change = key("scope", lease.connector, scope), after
        lease.commit({name: change}, audit=[Alerted(alert=kind, scope=scope)])
        contact = {"contact": self._contact} if self._contact else {}
        log.error("alert", connector=lease.connector, scope=scope, alert=kind, **contact)
        return True


def lost(view: StateView) -> int:
    """Records that retention deleted before they were read, as far as the keeper knows their exact number."""
    return max(0, view.totals.reconciled - view.totals.overcounted)
