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
from streams.state.credentials import Outcome, Rules, outcome_of, probed, refused_no_more, refused_though_good
from streams.state.records import Evidence, Record, ScopeState, key
from streams.workers.keeper.lease import Lease

log = structlog.get_logger(__name__)

REFUSED_QUIET_SECONDS = 120.0
"""Refusals of good credentials are over when no sink reported one for this long."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a probe was sent for."""

    scope: str
    began: int
    """When, by the keeper's clock (ms),"""
    began_at: float
    """and by its monotonic clock (s), which nobody sets."""
    suspects: frozenset[tuple[str, str]]


class Probes:
    """One probe at a time for each scope: at a suspicion at once, while INVALID every 30 s, and when asked for.

    `build` builds the destination again, with the secrets that are in their files now.
    """

    def __init__(self, build: Callable[[], Destination], transport: Transport, rules: Rules) -> None:
        self._build = build
        self._transport = transport
        self._rules = rules
        self._scopes = build().scopes
        self._asked: dict[int, tuple[_Asked, Probe]] = {}
        self._ticket = 0
        self._next_at: dict[str, float] = {}
        self._newest_at: dict[str, float] = {}
        """When the newest probe that was answered began, by the monotonic clock (s)."""
        self._forced: set[str] = set()
        self._quiet_since: dict[str, float] = {}

    @property
    def scopes(self) -> tuple[str, ...]:
        """The connector's scopes, as configured."""
        return self._scopes

    def begin(self) -> None:
        self._asked.clear()
        self._next_at.clear()
        self._newest_at.clear()  # an earlier keeper's clock is not known to have been right

    def force(self, scopes: Iterable[str]) -> None:
        """Probe these scopes at the next step, whatever their state."""
        self._forced.update(scopes)

    def ask_by(self, scope: str, seconds: float, now: float) -> None:
        """Probe this scope in so many seconds at the latest."""
        self._next_at[scope] = min(self._next_at.get(scope, now + seconds), now + seconds)

    def newest_began(self, lease: Lease, scope: str) -> int | None:
        """When the newest probe of this lease that was answered began (ms), as told from now: a clock that was wrong
        when it began, and was set since, does not count. None: this lease has no answer yet."""
        began_at = self._newest_at.get(scope)
        return None if began_at is None else lease.now() - round((lease.clock.monotonic() - began_at) * 1000)

    def step(self, lease: Lease) -> bool:
        is_busy = False
        for answer in self._transport.answers(0.0):
            found = self._asked.pop(answer.ticket, None)
            if found is not None:
                self._answered(lease, *found, answer)
                is_busy = True
        for scope in self._scopes:
            if self._is_due(lease, scope):
                self._ask(lease, scope)
                is_busy = True
        return is_busy

    def _is_due(self, lease: Lease, scope: str) -> bool:
        if any(asked.scope == scope for asked, _ in self._asked.values()):
            return False
        if scope in self._forced:
            return True
        if lease.view.state.state == "SUSPENDED":
            return False
        state = lease.view.scope(scope)
        suspects = _suspects(lease, scope)
        now = lease.clock.monotonic()
        if not suspects and state.state == "VALID" and not state.refused_though_good:
            self._next_at.pop(scope, None)
            return False
        return now >= self._next_at.get(scope, 0.0)

    def _ask(self, lease: Lease, scope: str) -> None:
        self._forced.discard(scope)
        now = lease.clock.monotonic()
        self._next_at[scope] = now + self._rules.probe_seconds
        self._ticket += 1
        asked = _Asked(scope, lease.now(), now, _suspects(lease, scope))
        try:
            destination = self._build()
        except ValueError as error:  # a secret cannot be read
            self._take(lease, asked, Evidence(status=0, detail=str(error), at=lease.now()))
            return
        probe = Probe(destination, scope, str(uuid4()), asked.began)
        assert probe.request is not None, "a probe begins with a request"
        self._asked[self._ticket] = asked, probe
        self._transport.submit(self._ticket, probe.request)

    def _answered(self, lease: Lease, asked: _Asked, probe: Probe, answer: Answer) -> None:
        probe.answered(answer.outcome)
        if probe.request is not None:
            self._ticket += 1
            self._asked[self._ticket] = asked, probe
            self._transport.submit(self._ticket, probe.request)
            return
        evidence = Evidence(status=probe.status, detail=probe.detail, at=lease.now())
        self._take(lease, asked, evidence)

    def _take(self, lease: Lease, asked: _Asked, evidence: Evidence) -> None:
        scope, suspects = asked.scope, asked.suspects
        before = lease.view.scope(scope)
        after = self._watched(lease, scope, suspects, evidence, probed(before, evidence, asked.began))
        changes: dict[str, Record | None] = {key("scope", lease.connector, scope): after}
        if outcome_of(evidence.status) is not Outcome.SILENT:
            changes |= {key("suspect", lease.connector, *suspect): None for suspect in suspects}
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
        lease.commit(changes, audit=audit)
        self._newest_at[scope] = asked.began_at
        if after.state != before.state:
            say = log.error if after.state == "INVALID" else log.info
            say(
                f"credentials {after.state}",
                connector=lease.connector,
                scope=scope,
                status=evidence.status,
                detail=evidence.detail,
            )

    def _watched(
        self, lease: Lease, scope: str, suspects: frozenset[tuple[str, str]], evidence: Evidence, after: ScopeState
    ) -> ScopeState:
        """Traffic that is refused while the probe is good: park nothing, but say so until it is over."""
        now = lease.clock.monotonic()
        if after.state == "INVALID" or outcome_of(evidence.status) is not Outcome.GOOD:
            return after
        if suspects:
            self._quiet_since[scope] = now
            log.error(
                "traffic is refused though a probe with the same credentials is accepted",
                connector=lease.connector,
                scope=scope,
                consequence="nothing is parked; it is sent again with a growing wait",
            )
            return refused_though_good(after, lease.now())
        if after.refused_though_good and now - self._quiet_since.get(scope, 0.0) >= REFUSED_QUIET_SECONDS:
            return refused_no_more(after)
        return after


def _suspects(lease: Lease, scope: str) -> frozenset[tuple[str, str]]:
    return frozenset(
        place for place, suspect in lease.view.suspects.items() if place[0] == scope and suspect.what == "credentials"
    )
