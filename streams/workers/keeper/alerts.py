"""Alerts: people are told once that credentials died, at 50 % and 90 % of the grace, and that a connector stopped.

Whether an alert went out is part of the scope's state, so no restart tells it twice. It is written after the channel
took it: a keeper killed in that very moment tells it twice rather than never.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime

import structlog

from streams.ports.alerts import Notifier
from streams.state.credentials import Rules, alerts_due
from streams.state.records import Record, key
from streams.workers.keeper.office import Office
from streams.workers.keeper.purge import Purge

log = structlog.get_logger(__name__)

RETRY_SECONDS = 60.0
"""A channel that did not take an alert is asked again after this."""
SUSPENDED = "suspended"

Run = Callable[[Callable[[], bool]], "Future[bool]"]


class Alerts:
    """`count_parked` says how many letters wait (None: unknown); `run` carries a call out in the background."""

    def __init__(
        self,
        notifier: Notifier,
        rules: Rules,
        purge: Purge,
        scopes: tuple[str, ...],
        *,
        count_parked: Callable[[], int | None],
        run: Run,
    ) -> None:
        self._notifier = notifier
        self._rules = rules
        self._purge = purge
        self._scopes = scopes
        self._count_parked = count_parked
        self._run = run
        self._sending: dict[tuple[str, str], Future[bool]] = {}
        self._retry_at: dict[tuple[str, str], float] = {}
        self._texts: dict[tuple[str, str], str] = {}

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
        state = standing.state
        if state.state == "SUSPENDED" and state.by != "operator" and not state.alerted:
            due.append(("-", SUSPENDED))
        return due

    def _send(self, office: Office, alert: tuple[str, str]) -> None:
        office.confirm()  # a keeper that was replaced learns of it here, before it tells anyone
        scope, kind = alert
        title, text = self._suspension(office) if kind == SUSPENDED else self._invalidity(office, scope, kind)

        def tell() -> bool:
            # Composed once: a channel that took it knows it again by its text.
            if alert not in self._texts:
                parked = self._count_parked()
                waiting = "" if parked is None else f"\nDead letters when this was written: {parked:,}"
                self._texts[alert] = text + waiting
            return self._notifier.notify(title, self._texts[alert])

        self._sending[alert] = self._run(tell)

    def _take(self, office: Office, alert: tuple[str, str]) -> bool:
        was_taken = self._sending.pop(alert).result()
        if not was_taken:
            self._retry_at[alert] = office.clock.monotonic() + RETRY_SECONDS
            return False
        scope, kind = alert
        self._texts.pop(alert, None)
        if alert not in self._due(office):
            return False  # the state moved on meanwhile
        change: dict[str, Record | None]
        if kind == SUSPENDED:
            change = {key("connector", office.connector): office.standing.state.model_copy(update={"alerted": True})}
        else:
            state = office.standing.scope(scope)
            after = state.model_copy(update={"alerts": (*state.alerts, kind)})
            change = {key("scope", office.connector, scope): after}
        office.commit(change, audit=[{"what": "alerted", "alert": kind, "scope": scope}])
        log.error("alert", connector=office.connector, scope=scope, alert=kind)
        return True

    def _invalidity(self, office: Office, scope: str, kind: str) -> tuple[str, str]:
        state, name = office.standing.scope(scope), office.connector
        evidence = state.evidence
        said = "" if evidence is None else f"{evidence.status} {evidence.detail}".strip()
        head = {
            "invalid": "credentials are INVALID",
            "half": "credentials are still INVALID, half of the grace is over",
            "most": "credentials are still INVALID, 90 % of the grace is over",
        }[kind]
        text = (
            f"Connector {name}, scope {scope}: {head}.\n"
            f"Since {_iso(state.since)}; the destination said: {said}\n"
            f"Its records are parked, and go out by themselves once the Secret is mended. "
            f"The first of them is deleted at {_iso(self._purge.next_at(office, scope))}.\n"
            f"Next: streams connectors show {name}\n"
            f"More time: streams dlq extend {name} --scope {scope} --by 24h --reason WHY"
        )
        return f"streams: {name}/{scope}: {head}", text

    def _suspension(self, office: Office) -> tuple[str, str]:
        state, name = office.standing.state, office.connector
        title = f"streams: {name} is SUSPENDED by {state.by}"
        text = (
            f"Connector {name} is SUSPENDED by {state.by} since {_iso(state.since)}: {state.reason}\n"
            f"Nothing is sent and nothing is lost: records wait in its topic.\n"
            f"Next: mend it, then streams connectors resume {name}"
        )
        return title, text


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
