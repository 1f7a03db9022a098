"""The flood breaker: trips on a share of enough records within its window, and on nothing older."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from streams.delivery.flood import BUCKETS, FloodBreaker, FloodRules

RULES = FloodRules(share=0.2, records_min=1_000, window_seconds=300.0)
Counted = tuple[float, int, int]
"""When, how many were settled, how many of them rejected."""
SLACK_SECONDS = RULES.window_seconds / BUCKETS + 0.001
"""What is so much older or younger than the window may count or not. A thousandth is for the floats' last digits."""
APART = [(0.0, 1, 0.0), (2.0, 2_000, 0.0), (3.0, 1_000, 0.3), *[(60.0, 1, 0.0)] * 4, (56.0, 1, 0.0)]
"""Two that are both within the slack, in two buckets: only the second one counts, which is a flood by itself."""
commits = st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(1, 2_000), st.floats(0.0, 1.0)), min_size=1, max_size=60)


@given(commits)
@example(APART)
def test_it_trips_where_the_share_of_the_window_is_too_large_and_nowhere_else(
    moves: list[tuple[float, int, float]],
) -> None:
    breaker, now, counted = FloodBreaker(RULES), 0.0, list[Counted]()
    for wait, settled, share in moves:
        now += wait
        rejected = int(settled * share)
        breaker.add(settled, rejected, now)
        counted.append((now, settled, rejected))
        assert breaker.is_tripped(now) in {is_flood(window) for window in windows(counted, now)}


def windows(counted: Sequence[Counted], now: float) -> Iterator[Sequence[Counted]]:
    """All that may count together: a window begins anywhere within the slack."""
    ages = [now - at for at, _, _ in counted]
    for first in range(len(counted) + 1):
        leaves_none_out = first == 0 or ages[first - 1] >= RULES.window_seconds - SLACK_SECONDS
        takes_none_in = first == len(counted) or ages[first] < RULES.window_seconds + SLACK_SECONDS
        if leaves_none_out and takes_none_in:
            yield counted[first:]


def is_flood(window: Sequence[Counted]) -> bool:
    settled, rejected = sum(one for _, one, _ in window), sum(one for _, _, one in window)
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
