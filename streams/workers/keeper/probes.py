"""Probes: the keeper asks the destination itself before it believes that credentials are dead, or good again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import uuid4

import structlog

from streams.delivery.contract import Destination
from streams.delivery.probe import Probe
from streams.ports.http import Answer, Transport
from streams.state.audit import CredentialsChanged
from streams.state.credentials import Outcome, Rules, outcome_of, probed
from streams.state.records import Evidence, Record, ScopeState, key
from streams.workers.keeper.office import Office

log = structlog.get_logger(__name__)

REFUSED_QUIET_SECONDS = 120.0
"""Refusals of good credentials are over when no sink reported one for this long."""


@dataclass(frozen=True, slots=True)
class _Asked:
    scope: str
    began: int
    suspects: frozenset[tuple[str, str]]
    probe: Probe


class Probes:
    """One probe at a time for each scope: at a suspicion at once, while INVALID every 30 s, and when asked for.

    `build` builds the destination again, with the secrets that are in their files now.
    """

    def __init__(self, build: Callable[[], Destination], transport: Transport, rules: Rules) -> None:
        self._build = build
        self._transport = transport
        self._rules = rules
        self._scopes = build().scopes
        self._asked: dict[int, _Asked] = {}
        self._ticket = 0
        self._next_at: dict[str, float] = {}
        self._forced: set[str] = set()
        self._quiet_since: dict[str, float] = {}

    @property
    def scopes(self) -> tuple[str, ...]:
        """The connector's scopes, as configured."""
        return self._scopes

    def begin(self) -> None:
        self._asked.clear()
        self._next_at.clear()

    def force(self, scopes: Iterable[str]) -> None:
        """Probe these scopes at the next step, whatever their state."""
        self._forced.update(scopes)

    def ask_by(self, scope: str, seconds: float, now: float) -> None:
        """Probe this scope in so many seconds at the latest."""
        self._next_at[scope] = min(self._next_at.get(scope, now + seconds), now + seconds)

    def step(self, office: Office) -> bool:
        is_busy = False
        for answer in self._transport.answers(0.0):
            asked = self._asked.pop(answer.ticket, None)
            if asked is not None:
                self._answered(office, asked, answer)
                is_busy = True
        for scope in self._scopes:
            if self._is_due(office, scope):
                self._ask(office, scope)
                is_busy = True
        return is_busy

    def _is_due(self, office: Office, scope: str) -> bool:
        if any(asked.scope == scope for asked in self._asked.values()):
            return False
        if scope in self._forced:
            return True
        if office.standing.state.state == "SUSPENDED":
            return False
        state = office.standing.scope(scope)
        suspects = _suspects(office, scope)
        now = office.clock.monotonic()
        if not suspects and state.state == "VALID" and not state.refused_though_good:
            self._next_at.pop(scope, None)
            return False
        return now >= self._next_at.get(scope, 0.0)

    def _ask(self, office: Office, scope: str) -> None:
        self._forced.discard(scope)
        now = office.clock.monotonic()
        self._next_at[scope] = now + self._rules.probe_seconds
        self._ticket += 1
        suspects, began = _suspects(office, scope), office.now()
        try:
            destination = self._build()
        except ValueError as error:  # a secret cannot be read
            self._take(office, scope, began, suspects, Evidence(status=0, detail=str(error), at=office.now()))
            return
        probe = Probe(destination, scope, str(uuid4()), began)
        assert probe.request is not None, "a probe begins with a request"
        self._asked[self._ticket] = _Asked(scope, began, suspects, probe)
        self._transport.submit(self._ticket, probe.request)

    def _answered(self, office: Office, asked: _Asked, answer: Answer) -> None:
        probe = asked.probe
        probe.answered(answer.outcome)
        if probe.request is not None:
            self._ticket += 1
            self._asked[self._ticket] = asked
            self._transport.submit(self._ticket, probe.request)
            return
        evidence = Evidence(status=probe.status, detail=probe.detail, at=office.now())
        self._take(office, asked.scope, asked.began, asked.suspects, evidence)

    def _take(
        self, office: Office, scope: str, began: int, suspects: frozenset[tuple[str, str]], evidence: Evidence
    ) -> None:
        before = office.standing.scope(scope)
        after = self._watched(office, scope, suspects, evidence, probed(before, evidence, began))
        changes: dict[str, Record | None] = {key("scope", office.connector, scope): after}
        if outcome_of(evidence.status) is not Outcome.SILENT:
            changes |= {key("suspect", office.connector, *suspect): None for suspect in suspects}
        audit = []
        if after.state != before.state:
            audit.append(
                CredentialsChanged(
                    what=f"credentials {after.state}",
                    scope=scope,
                    evidence=evidence,
                    invalid_since=before.since if after.state == "VALID" else after.since,
                )
            )
        office.commit(changes, audit=audit)
        if after.state != before.state:
            say = log.error if after.state == "INVALID" else log.info
            say(
                f"credentials {after.state}",
                connector=office.connector,
                scope=scope,
                status=evidence.status,
                detail=evidence.detail,
            )

    def _watched(
        self, office: Office, scope: str, suspects: frozenset[tuple[str, str]], evidence: Evidence, after: ScopeState
    ) -> ScopeState:
        """Traffic that is refused while the probe is good: park nothing, but say so until it is over."""
        now = office.clock.monotonic()
        if after.state == "INVALID" or outcome_of(evidence.status) is not Outcome.GOOD:
            return after
        if suspects:
            self._quiet_since[scope] = now
            log.error(
                "traffic is refused though a probe with the same credentials is accepted",
                connector=office.connector,
                scope=scope,
                consequence="nothing is parked; it is sent again with a growing wait",
            )
            since = after.refused_though_good or office.now()
            return after.model_copy(update={"refused_though_good": since})
        if after.refused_though_good and now - self._quiet_since.get(scope, 0.0) >= REFUSED_QUIET_SECONDS:
            return after.model_copy(update={"refused_though_good": 0})
        return after


def _suspects(office: Office, scope: str) -> frozenset[tuple[str, str]]:
    return frozenset(
        place
        for place, suspect in office.standing.suspects.items()
        if place[0] == scope and suspect.what == "credentials"
    )
