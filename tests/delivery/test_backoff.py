"""Waits: between the base and the doubling, never under what the destination asks."""

from __future__ import annotations

from email.utils import formatdate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.backoff import parse_retry_after, wait_seconds


@pytest.mark.parametrize(
    ("base", "failures", "longest"),
    [(1.0, 1, 2.0), (1.0, 2, 4.0), (1.0, 5, 32.0), (1.0, 6, 60.0), (2.0, 1, 4.0), (2.0, 4, 32.0), (2.0, 5, 60.0)],
)
def test_a_wait_lies_between_the_base_and_the_doubling(base: float, failures: int, longest: float) -> None:
    waits = [wait_seconds(base, failures, Random(seed)) for seed in range(400)]
    assert min(waits) >= base
    assert max(waits) <= longest
    assert max(waits) - min(waits) > 0.8 * (longest - base)


@given(failures=st.integers(1, 100_000), seed=st.integers(), asked=st.floats(0, 10_000))
def test_retry_after_is_never_undercut_and_capped_at_fifteen_minutes(failures: int, seed: int, asked: float) -> None:
    wait = wait_seconds(1.0, failures, Random(seed), asked)
    assert wait >= min(asked, 900.0)
    assert wait <= max(60.0, min(asked, 900.0))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("1700000045", 45.0),
        ("1699999999", 0.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        (formatdate(1_700_000_030, usegmt=True), 30.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_understood_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, 1_700_000_000.0) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("9" * 30, 900.0),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("1e5", None),
        ("٣", None),
        ("Fri, 32 Dec 2020 10:00:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("x" * 100_000, None),
    ],
)
def test_a_retry_after_out_of_range_never_raises(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header, 1_790_000_000.0) == seconds
