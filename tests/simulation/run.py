"""Plays seeds, and tells what fails in a way that can be repeated."""

from __future__ import annotations

from collections.abc import Sequence

from tests.simulation.acts import Act, Connect
from tests.simulation.failure import Failure, Played, Told, failure, not_told
from tests.simulation.plan import draw
from tests.simulation.world import Makers, World


def play(plan: Sequence[Act], makers: Makers | None = None) -> Played:
    """Play a plan in a new world."""
    world = World(makers, next((act.destination for act in plan if isinstance(act, Connect)), "mixpanel"))
    problem = ""
    try:
        world.play(plan)
    except AssertionError as error:
        problem = str(error) or "an assertion failed"
    return Played(problem, world.steps, world.faults + world.vendor.faulted, world.digest())


def failure_of(seed: int, acts: int, makers: Makers | None = None, tell: Told = not_told) -> Failure | None:
    """Play the plan of a seed; if it fails, shorten it."""
    return failure(seed, draw(seed, acts), lambda plan: play(plan, makers), tell)
