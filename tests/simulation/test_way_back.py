"""Half a minute of the way back as a simulated world: `make simulate WORLD=way-back` plays more of it."""

from __future__ import annotations

import pytest

from tests.simulation.acts import Faults, Leave, Run
from tests.simulation.way_back.acts import Batch, Begin, Send, WayAct
from tests.simulation.way_back.plan import draw
from tests.simulation.way_back.run import failure_of, play

ACTS = 60
PLANS = 20
"""Of each test."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, 1 + 2 * PLANS, PLANS))
def test_every_invariant_holds_whatever_happens_on_the_way_back(first: int) -> None:
    for seed in range(first, first + PLANS):
        failure = failure_of(seed, ACTS)
        assert failure is None, f"\n{failure}\nagain: make simulate WORLD=way-back SEED={seed} STEPS=1"


def test_events_whose_request_a_proxy_answered_are_counted_when_they_go_again() -> None:
    events = Send((Batch(1, (), (1, 2, 3)),))
    plan: list[WayAct] = [Run(2.0), Faults(("garbage",)), events, Run(5.0)]
    assert play(plan).problem == ""


def test_events_parked_in_doubt_behind_what_waits_are_counted_when_their_process_leaves() -> None:
    """Seed 16. The attributes of a request wait, its events are parked, and the process goes."""
    attributes = Batch(1, (("visits", None), ("city", None)), (4, 5))
    late = Send((Batch(2, (("city", "b"),)), Batch(1, (), (1, 2, 3)), attributes))
    faults = Faults(("429", "413", "500 after"))
    plan: list[WayAct] = [Begin(parks_in_doubt=True), late, faults, Run(1.0), Run(1.5), Leave("sink-0")]
    assert play(plan).problem == ""


def test_a_seed_has_one_plan_and_plays_it_in_one_way() -> None:
    assert draw(7, ACTS) == draw(7, ACTS)
    assert draw(7, ACTS) != draw(8, ACTS)
    assert play(draw(7, ACTS)).digest == play(draw(7, ACTS)).digest
