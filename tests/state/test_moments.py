"""Moments as people type them."""

from __future__ import annotations

import pytest

from streams.state.moments import iso, parse_moment

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", 1_769_817_600_000),
        ("2026-01-31T09:30:00Z", 1_769_851_800_000),
        ("2026-01-31t09:30:00z", 1_769_851_800_000),
        ("2026-01-31 09:30", 1_769_851_800_000),
        ("2026-01-31T10:30:00+01:00", 1_769_851_800_000),
        ("2026-01-31T09:30:00.250Z", 1_769_851_800_250),
        ("2h", NOW_MS - 7_200_000),
        ("0s", NOW_MS),
        (" 3d ", NOW_MS - 259_200_000),
    ],
)
def test_a_time_a_day_and_how_long_ago_are_moments(text: str, expected: int) -> None:
    assert parse_moment(text, NOW_MS) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z", "2", "h", "-2h", "20260131"]
)
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"2026-01-31T09:30:00Z.*how long ago"):
        parse_moment(text, NOW_MS)


def test_moments_are_shown_in_utc_to_the_second_and_none_is_none() -> None:
    assert iso(1_769_851_800_999) == "2026-01-31T09:30:00Z"
    assert iso(0) is None
    assert iso(None) is None
