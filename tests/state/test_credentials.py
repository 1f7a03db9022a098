"""The purge clock and the state of a scope: nothing goes early, whatever people and probes do."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from streams.state.credentials import (
    SUSPENSIONS_MAX,
    Outcome,
    Rules,
    alerts_due,
    deadline_ms,
    outcome_of,
    probed,
    purgeable_until,
    resumed,
    suspended,
    suspended_ms,
)
from streams.state.records import ConnectorState, Evidence, ScopeState

DAY_MS = 86_400_000
times = st.integers(0, 30 * DAY_MS)
graces = st.floats(1.0, 10 * 86_400.0)
statuses = st.sampled_from([0, 200, 202, 204, 301, 400, 401, 403, 404, 408, 429, 500, 503])
gaps = st.lists(st.integers(1, DAY_MS), min_size=1, max_size=12)


def connector_after(gaps: Sequence[int], keep_since: int = 0) -> tuple[ConnectorState, list[tuple[int, int]], int]:
    """A connector that was suspended and resumed in turn, so many ms apart; its suspensions, and the time now."""
    state, now, spans = ConnectorState(), 0, list[tuple[int, int]]()
    for number, gap in enumerate(gaps):
        now += gap
        if number % 2 == 0:
            state = suspended(state, "operator", "", "ann", now)
            spans.append((now, now))
        else:
            state = resumed(state, "ann", "", now, keep_since)
            spans[-1] = (spans[-1][0], now)
    if state.state == "SUSPENDED":
        spans[-1] = (spans[-1][0], now)
    return state, spans, now


def overlap(spans: Sequence[tuple[int, int]], begin: int, end: int) -> int:
    """Counted second by second would be too slow: each span's part between begin and end."""
    return sum(max(0, min(to, end) - max(start, begin)) for start, to in spans)


def invalid(since: int, extended_ms: int = 0) -> ScopeState:
    bad = Evidence(status=401, detail="", at=since)
    return ScopeState(state="INVALID", since=since, evidence=bad, probe=bad, probe_began=since, extended_ms=extended_ms)


@given(gaps, times)
def test_the_time_suspended_is_what_lies_between_suspending_and_resuming(gaps: list[int], begin: int) -> None:
    state, spans, now = connector_after(gaps)
    assert suspended_ms(state, begin, max(now, begin)) == overlap(spans, begin, max(now, begin))


@given(gaps, times, times, graces, st.integers(0, 30 * DAY_MS))
def test_a_deadline_is_never_before_the_grace_after_parking_and_after_the_key_died(
    gaps: list[int], parked_at: int, since: int, grace: float, extended_ms: int
) -> None:
    connector, _, now = connector_after(gaps)
    rules = Rules(grace)
    deadline = deadline_ms(parked_at, invalid(since, extended_ms), connector, rules, now)
    assert deadline >= max(parked_at, since) + rules.grace_ms + extended_ms


@given(gaps, times, times, graces, times)
def test_a_deadline_never_comes_nearer_as_time_passes_or_people_extend(
    gaps: list[int], parked_at: int, since: int, grace: float, later: int
) -> None:
    connector, _, now = connector_after(gaps)
    rules = Rules(grace)
    before = deadline_ms(parked_at, invalid(since), connector, rules, now)
    assert deadline_ms(parked_at, invalid(since), connector, rules, now + later) >= before
    assert deadline_ms(parked_at, invalid(since, 1), connector, rules, now) == before + 1


@given(gaps, times, times, times, graces)
def test_of_two_letters_the_one_parked_earlier_is_due_no_later(
    gaps: list[int], one: int, other: int, since: int, grace: float
) -> None:
    connector, _, now = connector_after(gaps)
    first, second = sorted((one, other))
    due = [deadline_ms(parked_at, invalid(since), connector, Rules(grace), now) for parked_at in (first, second)]
    assert due[0] <= due[1]


@given(st.lists(st.integers(1, 1_000), min_size=2 * SUSPENSIONS_MAX + 2, max_size=2 * SUSPENSIONS_MAX + 40), times)
def test_however_many_suspensions_are_merged_no_deadline_comes_nearer(gaps: list[int], begin: int) -> None:
    state, spans, now = connector_after(gaps)
    assert len(state.suspensions) <= SUSPENSIONS_MAX
    assert suspended_ms(state, begin, max(now, begin)) >= overlap(spans, begin, max(now, begin))


@given(gaps, times, times)
def test_suspensions_that_are_forgotten_are_asked_for_by_no_deadline(
    gaps: list[int], keep_since: int, parked_at: int
) -> None:
    whole, _, now = connector_after(gaps)
    kept, _, _ = connector_after(gaps, keep_since)
    begin = max(parked_at, keep_since)
    assert suspended_ms(kept, begin, max(now, begin)) == suspended_ms(whole, begin, max(now, begin))


@given(
    times, times, graces, statuses, st.sampled_from(["RUNNING", "SUSPENDED"]), st.booleans(), st.integers(-1000, 1000)
)
def test_a_purge_needs_a_refused_probe_that_began_after_the_deadline_and_the_clocks_margin(
    since: int, waited: int, grace: float, status: int, connector: str, dies: bool, error: int
) -> None:
    scope = invalid(since) if dies else ScopeState(since=since)
    began = since + waited
    scope = probed(scope, Evidence(status=status, detail="", at=began), began)
    until = purgeable_until(scope, ConnectorState.model_validate({"state": connector}), Rules(grace), began + error)
    is_refused = status in (401, 403) and scope.state == "INVALID" and connector == "RUNNING"
    assert (until is not None) == is_refused
    if until is not None:
        assert until == min(began, began + error) - Rules(grace).skew_ms


@given(st.lists(statuses, max_size=20))
def test_only_401_and_403_make_invalid_only_2xx_makes_valid_and_nothing_else_changes_anything(
    answers: list[int],
) -> None:
    scope, is_valid = ScopeState(), True
    for at, status in enumerate(answers, 1):
        before = scope
        scope = probed(scope, Evidence(status=status, detail="", at=at), at)
        if status in (401, 403):
            is_valid = False
        elif 200 <= status < 300:
            is_valid = True
        assert (scope.state == "VALID") == is_valid
        if scope.state == before.state:
            assert (scope.since, scope.extended_ms, scope.alerts) == (before.since, before.extended_ms, before.alerts)
        elif scope.state == "INVALID":
            assert (scope.since, scope.extended_ms, scope.alerts) == (at, 0, ())


@given(statuses)
def test_what_says_neither_good_nor_bad_says_nothing(status: int) -> None:
    expected = {200: Outcome.GOOD, 202: Outcome.GOOD, 204: Outcome.GOOD, 401: Outcome.BAD, 403: Outcome.BAD}
    assert outcome_of(status) is expected.get(status, Outcome.SILENT)


@given(times, graces, st.lists(st.integers(0, 5 * DAY_MS), min_size=1, max_size=30))
def test_each_alert_of_an_episode_is_due_once_and_in_order(since: int, grace: float, waits: list[int]) -> None:
    scope, now, told = invalid(since), since, list[str]()
    for wait in waits:
        now += wait
        for alert in list(alerts_due(scope, ConnectorState(), Rules(grace), now)):
            told.append(alert)
            scope = scope.model_copy(update={"alerts": (*scope.alerts, alert)})
    assert told == ["invalid", "half", "most"][: len(told)]


@given(gaps, times, graces)
def test_no_alert_says_that_half_of_the_grace_is_over_before_it_is(gaps: list[int], since: int, grace: float) -> None:
    connector, _, now = connector_after(gaps)
    assume(now >= since)
    due = set(alerts_due(invalid(since), connector, Rules(grace), now))
    passed = now - since - suspended_ms(connector, since, now)
    assert ("half" in due) == (passed >= Rules(grace).grace_ms * 0.5)


@given(graces)
def test_a_short_grace_is_probed_ten_times_and_a_long_one_each_thirty_seconds(grace: float) -> None:
    rules = Rules(grace)
    assert rules.probe_seconds == (30.0 if grace >= 300.0 else grace / 10)
    assert rules.skew_ms <= 30_000
    assert rules.skew_ms <= rules.grace_ms / 10 + 1
