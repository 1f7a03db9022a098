"""The flood breaker: trips on a share of enough records within its window, and on nothing older."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.flood import BUCKETS, FloodBreaker, FloodRules

RULES = FloodRules(share=0.2, records_min=1_000, window_seconds=300.0)
commits = st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(1, 2_000), st.floats(0.0, 1.0)), min_size=1, max_size=60)


@given(commits)
def test_it_trips_where_the_share_of_the_window_is_too_large_and_nowhere_else(
    moves: list[tuple[float, int, float]],
) -> None:
    """What is a sixtieth of the window older or younger than the window may count or not."""
    breaker, now, counted = FloodBreaker(RULES), 0.0, list[tuple[float, int, int]]()
    slack = RULES.window_seconds / BUCKETS
    for wait, settled, share in moves:
        now += wait
        rejected = int(settled * share)
        breaker.add(settled, rejected, now)
        counted.append((now, settled, rejected))
        windows = [
            [(all_, bad) for at, all_, bad in counted if now - at < length]
            for length in (RULES.window_seconds, RULES.window_seconds + slack, RULES.window_seconds - slack)
        ]
        verdicts = {is_flood(window) for window in windows}
        if len(verdicts) == 1:
            assert breaker.is_tripped(now) in verdicts


def is_flood(window: list[tuple[int, int]]) -> bool:
    settled, rejected = sum(one for one, _ in window), sum(one for _, one in window)
    return settled >= RULES.records_min and rejected > RULES.share * settled


def test_too_few_records_never_trip_it() -> None:
    breaker = FloodBreaker(RULES)
    breaker.add(999, 999, 1.0)
    assert not breaker.is_tripped(1.0)
    breaker.add(1, 0, 1.0)
    assert breaker.is_tripped(1.0)


def test_after_a_reset_it_begins_with_an_empty_window() -> None:
    breaker = FloodBreaker(RULES)
    breaker.add(2_000, 2_000, 1.0)
    breaker.reset()
    breaker.add(900, 900, 2.0)
    assert not breaker.is_tripped(2.0)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    breaker = FloodBreaker(RULES)
    breaker.add(2_000, 2_000, 1.0)
    assert breaker.is_tripped(300.0)
    assert not breaker.is_tripped(302.0)
