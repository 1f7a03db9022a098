"""Pace: a configured rate is never exceeded, requests in flight adapt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.pace import InFlightLimit, SharedBucket, TokenBucket


@given(rate=st.floats(1, 1000), steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=200))
def test_a_rate_is_not_exceeded_over_any_stretch_of_time(rate: float, steps: list[tuple[float, int]]) -> None:
    bucket, now, sent = TokenBucket(rate, 0.0), 0.0, list[tuple[float, int]]()
    for wait, records in steps:
        now += wait
        if bucket.seconds_until(records, now) == 0.0:
            bucket.take(records, now)
            sent.append((now, records))
    for first, (begin, _) in enumerate(sent):
        total = 0
        for at, records in sent[first:]:
            total += records
            # a burst of half a second's worth, and one batch that began while there was room
            assert total <= rate * (at - begin) + rate * 0.5 + records + 1e-6


def test_waiting_as_long_as_asked_is_enough() -> None:
    bucket = TokenBucket(100.0, 0.0)
    bucket.take(50, 0.0)
    wait = bucket.seconds_until(30, 0.0)
    assert wait > 0.0
    assert bucket.seconds_until(30, wait + 1e-9) == 0.0


def test_a_batch_over_a_burst_is_paid_for_before_the_next() -> None:
    bucket = TokenBucket(100.0, 0.0)
    assert bucket.seconds_until(1000, 0.0) == 0.0
    bucket.take(1000, 0.0)
    assert bucket.seconds_until(1, 9.0) > 0.0
    assert bucket.seconds_until(1, 10.0) == 0.0


def test_a_process_without_partitions_sends_nothing() -> None:
    bucket = TokenBucket(100.0, 0.0)
    bucket.set_rate(0.0, 0.0)
    assert bucket.seconds_until(1, 1e9) == float("inf")


def test_requests_in_flight_grow_with_quick_answers_up_to_the_maximum_and_halve_on_throttling() -> None:
    limit = InFlightLimit(8)
    for _ in range(100):
        limit.succeeded(0.05)
    assert limit.value == 8
    limit.throttled()
    assert limit.value == 4
    for _ in range(10):
        limit.throttled()
    assert limit.value == 1


def test_requests_in_flight_shrink_when_answers_become_slow_or_the_rate_is_used_up() -> None:
    slow, used_up = InFlightLimit(8), InFlightLimit(8)
    for _ in range(100):
        slow.succeeded(0.3)
        used_up.succeeded(0.3)
    for _ in range(5):
        slow.succeeded(9.0)
        used_up.succeeded(0.3, rate_used=0.97)
    assert slow.value < 8
    assert used_up.value < 8


def test_a_destination_that_stays_slower_is_believed_in_the_end() -> None:
    limit = InFlightLimit(8)
    for _ in range(100):
        limit.succeeded(0.3)
    for _ in range(300):
        limit.succeeded(3.0)
    assert limit.value == 8


def taken_by(bucket: SharedBucket, pages: dict[str, int], seconds: float, begins: float = 0.0) -> dict[str, int]:
    """How much each takes that asks ten times a second, always in the same order, for pages of its own size."""
    taken = dict.fromkeys(pages, 0)
    for step in range(round(seconds * 10)):
        now = begins + step / 10
        for name, page in pages.items():
            if bucket.of(name).seconds_until(1, now) == 0.0 and page:
                bucket.of(name).take(page, now)
                taken[name] += page
    return taken


@pytest.mark.parametrize(
    "pages", [{"first": 500, "second": 500}, {"first": 500, "second": 20}, {"first": 10, "second": 500}]
)
def test_two_that_share_a_rate_get_the_same_however_much_each_takes_at_once(pages: dict[str, int]) -> None:
    taken = taken_by(SharedBucket(100.0, 0.0), pages, 200)
    assert sum(taken.values()) == pytest.approx(20_000, rel=0.05)
    assert taken["first"] == pytest.approx(taken["second"], abs=1_000), "within a page of each"


def test_one_that_wants_nothing_holds_up_nobody_and_is_owed_nothing() -> None:
    bucket = SharedBucket(100.0, 0.0)
    assert taken_by(bucket, {"idle": 0, "busy": 100}, 100)["busy"] == pytest.approx(10_000, rel=0.05)
    both = taken_by(bucket, {"idle": 100, "busy": 100}, 100, begins=100)
    assert abs(both["idle"] - both["busy"]) <= 200


def test_without_a_rate_all_may_take_at_once() -> None:
    taken = taken_by(SharedBucket(None, 0.0), {"first": 10, "second": 10}, 1)
    assert taken == {"first": 100, "second": 100}
