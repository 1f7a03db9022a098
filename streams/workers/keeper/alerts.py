"""Alerts to people. One each when credentials become INVALID, at 50 % and 90 % of the grace, and when they are VALID
again; when a connector stops; when records were lost; for letters purged by their deadline, one an hour at most.

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
from streams.state.standing import CONNECTOR_SCOPE, Standing
from streams.workers.keeper.alert_texts import invalidity, loss, page_of, purge, recovery, suspension
from streams.workers.keeper.office import Office
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
        self._contact = f"\nContact: {contact}" if contact else ""
        self._counts: dict[tuple[str, str], int] = {}
        self._sending: dict[tuple[str, str], Future[bool]] = {}
        self._retry_at: dict[tuple[str, str], float] = {}
        self._texts: dict[tuple[str, str], tuple[str, str]] = {}

    def begin(self) -> None:
        """What is being sent goes on: its end is written if it is still wanted."""

    def step(self, office: Office) -> bool:
        is_busy = False
        for alert in list(self._sending):
            if self._sending[alert].done():
                is_busy = self._take(office, alert) or is_busy
        for alert in self._due(office):
            now = office.clock.monotonic()
            if alert not in self._sending and now >= self._retry_at.get(alert, 0.0):
                self._send(office, alert)
                is_busy = True
        return is_busy

    def _due(self, office: Office) -> list[tuple[str, str]]:
        standing = office.standing
        due = [
            (scope, alert)
            for scope in self._scopes
            for alert in alerts_due(standing.scope(scope), standing.state, self._rules, office.now())
        ]
        state, told = standing.state, standing.told
        if state.state == "SUSPENDED" and state.by != "operator" and not state.alerted:
            due.append((CONNECTOR_SCOPE, SUSPENDED))
        if told.purged > told.purged_told and office.now() - told.purged_at >= PURGED_MS:
            due.append((CONNECTOR_SCOPE, PURGED))
        if lost(standing) > told.lost_told:
            due.append((CONNECTOR_SCOPE, LOST))
        return due

    def _send(self, office: Office, alert: tuple[str, str]) -> None:
        office.confirm()  # a keeper that was replaced learns of it here, before it tells anyone
        title, text = self._composed(office, alert)
        page = f"\nRunbook: {self._runbooks}/{page_of(alert[1], office.standing.state)}"

        def tell() -> bool:
            # Composed once: a channel that took it knows it again by its text.
            if alert not in self._texts:
                parked = self._count_parked()
                waiting = "" if parked is None else f"\nDead letters when this was written: {parked:,}"
                self._texts[alert] = title, text + waiting + self._contact + page
            return self._notifier.notify(*self._texts[alert])

        self._counts.setdefault(alert, self._count(office, alert[1]))
        self._sending[alert] = self._run(tell)

    def _composed(self, office: Office, alert: tuple[str, str]) -> tuple[str, str]:
        scope, kind = alert
        standing, name = office.standing, office.connector
        match kind:
            case "suspended":
                return suspension(name, standing.state)
            case "purged":
                told = standing.told
                return purge(name, told.purged - told.purged_told, told.purged_at)
            case "lost":
                return loss(name, lost(standing) - standing.told.lost_told)
            case "recovered":
                return recovery(name, scope, standing.scope(scope))
            case _:
                return invalidity(name, scope, kind, standing.scope(scope), self._purge.next_at(office, scope))

    def _count(self, office: Office, kind: str) -> int:
        """What the alert told the count of: more may have come when it is noted as told."""
        return {PURGED: office.standing.told.purged, LOST: lost(office.standing)}.get(kind, 0)

    def _take(self, office: Office, alert: tuple[str, str]) -> bool:
        was_taken = self._sending.pop(alert).result()
        if not was_taken:
            self._retry_at[alert] = office.clock.monotonic() + RETRY_SECONDS
            return False
        scope, kind = alert
        self._texts.pop(alert, None)
        count = self._counts.pop(alert, 0)
        if alert not in self._due(office):
            return False  # the state changed since
        told = office.standing.told
        change: Record
        match kind:
            case "suspended":
                name, change = (
                    key("connector", office.connector),
                    office.standing.state.model_copy(update={"alerted": True}),
                )
            case "purged":
                update = {"purged_told": count, "purged_at": office.now()}
                name, change = key("told", office.connector), told.model_copy(update=update)
            case "lost":
                name, change = key("told", office.connector), told.model_copy(update={"lost_told": count})
            case _:
                state = office.standing.scope(scope)
                after = state.model_copy(update={"alerts": (*state.alerts, kind)})
                name, change = key("scope", office.connector, scope), after
        office.commit({name: change}, audit=[Alerted(alert=kind, scope=scope)])
        log.error("alert", connector=office.connector, scope=scope, alert=kind)
        return True


def lost(standing: Standing) -> int:
    """Records that retention deleted before they were read, as far as the keeper knows their exact number."""
    return max(0, standing.totals.reconciled - standing.totals.overcounted)
