"""The state machine of a credential scope, and the clock of its dead letters. Pure: times come in as arguments.

A letter's deadline is max(parked at, INVALID since) + grace + extensions + the time SUSPENDED since then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from streams.state.records import ConnectorState, Evidence, ScopeState

PROBE_SECONDS_MAX = 30.0
"""How often an INVALID scope is probed. During a grace under 5 minutes it is probed ten times."""
SKEW_SECONDS_MAX = 30.0
"""A letter is purged this long after its deadline, because clocks of sinks and keeper may differ by this much."""
BROKER_SKEW_MS_MAX = 120_000
"""If the keeper's clock and the broker's differ by more, nothing is purged."""
SHARE_OF_GRACE = 10.0
SUSPENSIONS_MAX = 200
"""If there are more, the two oldest are merged. The time between them then counts as suspended, too: deadlines are
later, never earlier."""


class Outcome(Enum):
    """What a probe says of the credentials: good (2xx), bad (401 and 403), or nothing (any other answer)."""

    GOOD = "good"
    BAD = "bad"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Rules:
    """The times that depend on a connector's grace, in seconds."""

    grace_seconds: float

    @property
    def grace_ms(self) -> int:
        return round(self.grace_seconds * 1000)

    @property
    def probe_seconds(self) -> float:
        """30 s, or a tenth of the grace if that is less."""
        return min(PROBE_SECONDS_MAX, self.grace_seconds / SHARE_OF_GRACE)

    @property
    def skew_ms(self) -> int:
        """30 s, or a tenth of the grace if that is less."""
        return round(min(SKEW_SECONDS_MAX, self.grace_seconds / SHARE_OF_GRACE) * 1000)


def outcome_of(status: int) -> Outcome:
    """What the status of a probe's answer says of the credentials; 0 is no answer."""
    if 200 <= status < 300:
        return Outcome.GOOD
    return Outcome.BAD if status in (401, 403) else Outcome.SILENT


def probed(scope: ScopeState, answer: Evidence, began: int) -> ScopeState:
    """The scope after a probe. Only a probe makes a scope INVALID, and only a probe makes it VALID again.

    A probe that says nothing does not change the state. `began` is when it was sent, by the keeper's clock.
    """
    after = scope.model_copy(update={"probe": answer, "probe_began": began})
    outcome = outcome_of(answer.status)
    if outcome is Outcome.BAD and scope.state == "VALID":
        return after.model_copy(
            update={
                "state": "INVALID",
                "since": answer.at,
                "evidence": answer,
                "extended_ms": 0,
                "alerts": (),
                "overdue": "",
                "refused_though_good": 0,
            }
        )
    if outcome is Outcome.GOOD and scope.state == "INVALID":
        return after.model_copy(
            update={"state": "VALID", "since": answer.at, "evidence": None, "overdue": "", "extended_ms": 0}
        )
    return after


def refused_though_good(scope: ScopeState, since: int) -> ScopeState:
    """The scope while traffic is refused though a probe is accepted, since the first time of this episode (ms)."""
    return scope.model_copy(update={"refused_though_good": scope.refused_though_good or since})


def refused_no_more(scope: ScopeState) -> ScopeState:
    """The scope after such an episode. The next one has an alert of its own."""
    alerts = tuple(alert for alert in scope.alerts if alert != "refused")
    return scope.model_copy(update={"refused_though_good": 0, "alerts": alerts})


def deadline_ms(parked_at: int, scope: ScopeState, connector: ConnectorState, rules: Rules, now: int) -> int:
    """When a letter may be purged, as known at `now` (ms). While the connector is SUSPENDED, this moves with the
    clock."""
    begin = max(parked_at, scope.since)
    return begin + rules.grace_ms + scope.extended_ms + suspended_ms(connector, begin, now)


def purgeable_until(scope: ScopeState, connector: ConnectorState, rules: Rules, began: int) -> int | None:
    """Letters with a deadline at or before this may be purged (the margin of clocks is included); None: no letter.

    The scope must be INVALID and the connector RUNNING. The newest probe must have been refused (401 or 403), and only
    letters whose deadline was before that probe may be purged. `began` is when it began (ms), as the keeper's clock
    tells now; where the clock told otherwise then, the earlier time counts.
    """
    if scope.state != "INVALID" or connector.state != "RUNNING" or scope.probe is None:
        return None
    if outcome_of(scope.probe.status) is not Outcome.BAD:
        return None
    return min(scope.probe_began, began) - rules.skew_ms


def suspended_ms(connector: ConnectorState, begin: int, now: int) -> int:
    """How long of the time from `begin` to `now` the connector was SUSPENDED."""
    spans = list(connector.suspensions)
    if connector.state == "SUSPENDED":
        spans.append((connector.since, max(now, connector.since)))
    return sum(max(0, min(end, max(now, begin)) - max(start, begin)) for start, end in spans)


def suspended(connector: ConnectorState, by: str, reason: str, who: str, now: int) -> ConnectorState:
    """The connector, SUSPENDED from now on. If it is SUSPENDED already, its first reason stays."""
    if connector.state == "SUSPENDED":
        return connector
    return connector.model_copy(
        update={"state": "SUSPENDED", "by": by, "reason": reason, "who": who, "since": now, "alerted": False}
    )


def resumed(connector: ConnectorState, who: str, reason: str, now: int, keep_since: int) -> ConnectorState:
    """The connector, RUNNING. Its suspension is remembered, because it moves the deadlines of letters.

    Suspensions that ended before `keep_since` (ms) are forgotten: no deadline depends on them any more.
    """
    if connector.state == "RUNNING":
        return connector
    spans = [span for span in connector.suspensions if span[1] > keep_since]
    spans.append((connector.since, max(now, connector.since)))
    return connector.model_copy(
        update={
            "state": "RUNNING",
            "by": None,
            "reason": reason,
            "who": who,
            "since": now,
            "suspensions": tuple(_merged(spans)),
        }
    )


def alerts_due(scope: ScopeState, connector: ConnectorState, rules: Rules, now: int) -> Iterator[str]:
    """Alerts of a scope that are due and not sent yet: `invalid`, after `half` of the grace, after `most` of it (90 %).
    And `recovered`, if the scope is VALID again and the alert `invalid` was sent; `refused`, if traffic is refused
    though a probe is accepted."""
    if scope.state != "INVALID":
        if scope.refused_though_good and "refused" not in scope.alerts:
            yield "refused"
        if "invalid" in scope.alerts and "recovered" not in scope.alerts:
            yield "recovered"
        return
    passed = now - scope.since - suspended_ms(connector, scope.since, now)
    whole = rules.grace_ms + scope.extended_ms
    for alert, share in (("invalid", 0.0), ("half", 0.5), ("most", 0.9)):
        if alert not in scope.alerts and passed >= share * whole:
            yield alert


def _merged(spans: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    merged = list(spans)
    while len(merged) > SUSPENSIONS_MAX:
        (start, _), (_, end) = merged[0], merged[1]
        merged[:2] = [(start, end)]
    return merged
