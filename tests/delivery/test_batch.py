"""Batches are filled by runs of events, and end where the destination's limits say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.account import SinkCounts
from streams.delivery.batch import Batch, BatchBuilder
from streams.delivery.contract import Limits
from streams.delivery.ledger import Ledger

LIMITS = Limits(
    batch_records_max=4,
    batch_bytes_max=32,
    record_bytes_max=40,
    requests_in_flight_max=1,
    retry_base_seconds=1.0,
    records_per_second=None,
)


def filled(sizes: list[int], runs: list[int], limits: Limits = LIMITS) -> list[Batch[int]]:
    """Batches of events of these sizes, which are given in runs of these lengths. The source is the event's number."""
    ledger, builder = Ledger[int](0, SinkCounts()), BatchBuilder[int]("default", limits)
    batches: list[Batch[int]] = []
    first = 0
    for length in [*runs, len(sizes)]:
        numbers = range(first, min(first + length, len(sizes)))
        bodies = [b"x" * sizes[number] for number in numbers]
        place = ledger.read_run(list(numbers), [len(body) for body in bodies])
        batches += builder.add_run(bodies, ledger, place, list(numbers), 0.0)
        first += length
    return [*batches, *builder.take_all()]


def numbers_of(batches: list[Batch[int]]) -> list[list[int]]:
    return [batch.sources for batch in batches]


def test_a_run_is_cut_where_a_batch_has_enough_events() -> None:
    assert numbers_of(filled([1] * 10, [10])) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_run_is_cut_where_a_batch_has_enough_bytes() -> None:
    assert numbers_of(filled([9, 9, 9, 9], [4])) == [[0, 1, 2], [3]]  # 2 + 3 * (9 + 1) is 32


def test_an_event_that_is_larger_than_a_batch_goes_alone() -> None:
    assert numbers_of(filled([5, 40, 5], [3])) == [[0], [1], [2]]


def test_a_destination_that_joins_lines_has_room_for_two_bytes_more() -> None:
    assert numbers_of(filled([15, 15], [2])) == [[0], [1]]
    assert numbers_of(filled([15, 15], [2], replace(LIMITS, envelope_bytes=0))) == [[0, 1]]


@given(st.lists(st.integers(0, 40), max_size=30), st.lists(st.integers(1, 8), max_size=30))
def test_how_events_are_cut_into_runs_changes_no_batch(sizes: list[int], runs: list[int]) -> None:
    batches = filled(sizes, runs)
    assert numbers_of(batches) == numbers_of(filled(sizes, [1] * len(sizes)))
    assert [number for batch in batches for number in batch.sources] == list(range(len(sizes)))
    assert [place for batch in batches for _, place in batch.places()] == list(range(len(sizes)))
    assert all(len(batch.spans) == 1 for batch in batches)
