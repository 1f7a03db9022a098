"""Samples in memory, and the pictures that are drawn from them."""

from __future__ import annotations

from streams.web.console.charts import account_bar, chart, parts_of, spark
from streams.web.console.history import History, Series

SAMPLE = {"delivered": 0.0, "parked": 0.0, "waiting": 0.0, "lag_seconds": 0.0}
ACCOUNT = {
    "delivered": 200,
    "skipped": {"no_credentials_for_feed": 2},
    "waiting": 3,
    "parked": {"credentials": 5, "rejected": 1},
    "purged": 0,
    "expired": 0,
    "lost": 0,
}


def test_memory_is_bounded_and_the_newest_samples_stay() -> None:
    history = History(600.0)
    for number in range(100):
        history.add("growth", number * 10_000, {**SAMPLE, "delivered": float(number)})
    series = history.series("growth", "delivered", 0)
    assert len(series.values) == 60
    assert (series.values[0], series.values[-1]) == (40.0, 99.0)
    assert list(series.times_ms) == sorted(series.times_ms)
    assert list(history.series("growth", "delivered", 980_000).values) == [98.0, 99.0]
    assert list(history.series("growth", "delivered", 500_000).values) == [float(number) for number in range(50, 100)]
    assert history.series("nobody", "delivered", 0).values == ()


def test_a_sample_is_due_each_ten_seconds() -> None:
    history = History(600.0)
    assert history.is_due("growth", 0)
    history.add("growth", 50_000, SAMPLE)
    assert not history.is_due("growth", 59_999)
    assert history.is_due("growth", 60_000)


def test_a_total_becomes_a_rate_and_one_that_fell_counts_as_none() -> None:
    rates = Series([0, 10_000, 20_000, 30_000], [100.0, 150.0, 20.0, 30.0]).rates()
    assert list(rates.values) == [5.0, 0.0, 1.0]


def test_the_parts_of_an_account_are_drawn_to_scale_and_said_in_words() -> None:
    assert [(part.name, part.count) for part in parts_of(ACCOUNT)] == [
        ("delivered", 200), ("skipped", 2), ("waiting", 3), ("parked", 6), ("purged", 0), ("expired", 0), ("lost", 0),
    ]  # fmt: skip
    bar = account_bar(ACCOUNT)
    assert 'aria-label="200 delivered, 2 skipped, 3 waiting, 6 parked"' in bar
    assert bar.count("<rect") == 4
    assert "nothing came yet" in account_bar({**ACCOUNT, "delivered": 0, "skipped": {}, "waiting": 0, "parked": {}})


def test_a_line_is_broken_where_samples_are_missing() -> None:
    series = Series([0, 10_000, 200_000, 210_000], [1.0, 2.0, 3.0, 4.0])
    assert chart(series, "Waiting", 0, 210_000).count("<polyline") == 2


def test_a_small_line_is_drawn_over_the_time_that_its_column_names_and_says_its_largest_value() -> None:
    hour = 3_600_000
    drawn = spark(Series([hour - 80_000, hour - 40_000, hour], [1.0, 2.5, 2.0]), "lag in seconds", 0, hour)
    assert 'points="117.3,' in drawn
    assert "at most 2.5</span>" in drawn
