"""Plans: what is taken, what is left out and why, and when two plans are one."""

from __future__ import annotations

from typing import Any

import pytest

from streams.delivery.letter import Verdict
from streams.state.orders import Action, order_of
from streams.state.plan import Plan, Planner
from streams.state.selection import REPLAYS_MAX, LetterFacts, Selection
from tests.state.letters import NOW_MS

Place = tuple[int, int]


def facts(
    cause: str = "rejected", event_type: str = "a.B", replays: int = 0, parked_at_ms: int = NOW_MS
) -> LetterFacts:
    return LetterFacts(cause, "f" * 16, Verdict(replays=replays, parked_at_ms=parked_at_ms), event_type)


def plan(
    there: dict[Place, LetterFacts],
    *,
    action: Action = "replay",
    revision: int = 3,
    settled: tuple[Place, ...] = (),
    purged: tuple[Place, ...] = (),
    **selection: Any,
) -> Plan:
    planner = Planner(action, Selection(**selection), revision)
    for (partition, offset), of in there.items():
        place = (partition, offset)
        planner.take(partition, offset, of, is_settled=place in settled, is_purged=place in purged)
    return planner.finish()


FIVE = {(0, 4): facts(), (0, 9): facts("gave-up"), (1, 2): facts(), (1, 3): facts(event_type="c.D"), (2, 0): facts()}


def test_a_plan_counts_by_cause_and_event_type_and_says_where_each_partition_ends() -> None:
    found = plan(FIVE)
    assert found.letters == 5
    assert dict(found.counts) == {("rejected", "a.B"): 3, ("gave-up", "a.B"): 1, ("rejected", "c.D"): 1}
    assert dict(found.ends) == {"rejected/0": 10, "rejected/1": 4, "rejected/2": 1}
    assert found.most_first()[0] == (("rejected", "a.B"), 3)


def test_what_the_selection_does_not_mean_is_neither_taken_nor_left_out() -> None:
    found = plan(FIVE, causes=("gave-up",))
    assert (found.letters, dict(found.left_out), dict(found.ends)) == (1, {}, {"rejected/0": 10})


def test_settled_letters_and_those_that_failed_their_replays_are_left_out() -> None:
    letters = {(0, 0): facts(), (0, 1): facts(replays=REPLAYS_MAX), (0, 2): facts(replays=REPLAYS_MAX - 1)}
    found = plan(letters, settled=((0, 0),))
    assert (found.letters, dict(found.left_out)) == (1, {"settled": 1, "replays": 1})


def test_a_purge_takes_letters_that_failed_their_replays() -> None:
    assert plan({(0, 1): facts(replays=REPLAYS_MAX)}, action="purge").letters == 1


def test_again_takes_settled_letters_but_none_that_was_purged() -> None:
    found = plan(FIVE, settled=((0, 4), (1, 2)), purged=((1, 2),), again=True)
    assert (found.letters, dict(found.left_out)) == (4, {"purged": 1})


def test_a_limit_takes_the_first_letters_and_looks_at_no_more() -> None:
    found = plan(FIVE, limit=2)
    assert (found.letters, dict(found.ends), dict(found.left_out)) == (2, {"rejected/0": 10}, {})


def test_letters_of_a_scope_are_a_prefix_of_each_partition() -> None:
    late = facts("credentials", parked_at_ms=NOW_MS + 10)
    early = facts("credentials", replays=REPLAYS_MAX)
    letters = {(0, 0): early, (0, 1): late, (0, 2): early, (1, 5): early}
    found = plan(letters, letters="credentials.ios", until=NOW_MS + 10)
    assert (found.letters, dict(found.ends)) == (2, {"credentials.ios/0": 1, "credentials.ios/1": 6})


def test_the_same_letters_make_the_same_plan_in_whatever_order_partitions_were_read() -> None:
    other_order = {(2, 0): facts(), (1, 2): facts(), (0, 4): facts(), (1, 3): facts(event_type="c.D")}
    other_order[0, 9] = facts("gave-up")
    assert plan(FIVE).id == plan(other_order).id


def test_a_relative_time_that_moved_on_without_changing_the_letters_keeps_the_plan() -> None:
    assert plan(FIVE, until=NOW_MS + 1_000).id == plan(FIVE, until=NOW_MS + 2_000).id


@pytest.mark.parametrize(
    "other",
    [
        plan(FIVE, revision=4),
        plan(FIVE, action="purge"),
        plan({**FIVE, (2, 1): facts()}),
        plan(FIVE, settled=((0, 4),)),
        plan(FIVE, event_types=("*",)),
        plan({(3, 4) if place == (0, 4) else place: of for place, of in FIVE.items()}),
    ],
    ids=["settled since", "another action", "a letter more", "a letter less", "another selection", "another place"],
)
def test_whatever_changes_makes_another_plan(other: Plan) -> None:
    assert other.id != plan(FIVE).id


def test_a_plan_asks_the_keeper_for_exactly_what_it_counted() -> None:
    arguments = plan(FIVE, causes=("rejected",)).to_arguments(25.0, is_bound=True)
    assert arguments == {
        "selection": {"causes": ["rejected"]},
        "ends": {"rejected/0": 5, "rejected/1": 4, "rejected/2": 1},
        "planned": 4,
        "revision": 3,
        "rate": 25.0,
    }


def test_the_keeper_understands_what_a_plan_asks() -> None:
    order = order_of("purge", plan(FIVE, action="purge", limit=3).to_arguments(None, is_bound=False))
    assert (order.planned, order.revision, order.selection.limit) == (3, None, 3)
