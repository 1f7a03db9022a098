"""Letters that are parked now."""

from __future__ import annotations

from streams.state.parked import parked_in_all, parked_now
from streams.state.records import Imported, Totals
from streams.state.state_view import StateView


def test_what_left_is_taken_off_and_what_was_imported_is_added_by_cause() -> None:
    view = StateView("growth")
    view.totals = Totals(
        redriven={"credentials": 20}, replayed={"rejected": 3}, purged={"credentials": 5, "rejected": 1}, expired={}
    )
    view.imported = {
        "a": Imported(file="a", letters={"rejected": 2}),
        "b": Imported(file="b", letters={"rejected": 1, "gave-up": 4}),
    }
    now = parked_now({"credentials": 30, "rejected": 9}, view)
    assert now == {"credentials": 5, "rejected": 8, "gave-up": 4}


def test_what_left_between_two_readings_never_makes_less_than_none() -> None:
    view = StateView("growth")
    view.totals = Totals(replayed={"rejected": 3})
    assert parked_now({"rejected": 2}, view) == {"rejected": 0}


def test_letters_of_all_causes_are_counted_together_where_nobody_told_them_apart() -> None:
    view = StateView("source")
    view.totals = Totals(replayed={"unknown-schema": 3}, purged={"undecodable": 1})
    view.imported = {"a": Imported(file="a", letters={"unknown-schema": 2})}
    assert parked_in_all(7, view) == 5
