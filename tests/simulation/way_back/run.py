"""Plays seeds of the way back, and tells what fails in a way that can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.failure import Failure, Played, Told, failure, not_told
from tests.simulation.way_back.acts import Begin, WayAct
from tests.simulation.way_back.plan import draw
from tests.simulation.way_back.world import WayBack, WayMakers


def play(plan: Sequence[WayAct], makers: WayMakers | None = None) -> Played:
    """Play a plan in a new world."""
    begin = next((act for act in plan if isinstance(act, Begin)), Begin())
    problem = ""
    with TemporaryDirectory() as folder:
        world = WayBack(makers, begin, Path(folder))
        try:
            world.play(plan)
        except AssertionError as error:
            problem = str(error) or "an assertion failed"
        finally:
            world.close()
    return Played(problem, world.steps, world.faults + world.vendor.faulted, world.digest())


def failure_of(seed: int, acts: int, makers: WayMakers | None = None, tell: Told = not_told) -> Failure | None:
    """Play the plan of a seed; if it fails, shorten it."""
    return failure(seed, draw(seed, acts), lambda plan: play(plan, makers), tell)
