"""Plays seeds, and tells what fails in a way that can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.acts import Act, Connect
from tests.simulation.plan import draw
from tests.simulation.shrink import shrunk
from tests.simulation.world import Makers, World


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one plan. `problem` is empty where all invariants held."""

    problem: str
    steps: int
    faults: int
    digest: str


def play(plan: Sequence[Act], makers: Makers | None = None) -> Played:
    """Play a plan in a new world."""
    world = World(makers, next((act.destination for act in plan if isinstance(act, Connect)), "mixpanel"))
    problem = ""
    try:
        world.play(plan)
    except AssertionError as error:
        problem = str(error) or "an assertion failed"
    return Played(problem, world.steps, world.faults + world.vendor.faulted, world.digest())


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed that fails, and the smallest plan that fails as well."""

    seed: int
    problem: str
    plan: Sequence[Any]
    """Shortened."""
    shortened_problem: str

    def __str__(self) -> str:
        acts = "\n".join(f"  {act}" for act in self.plan)
        return f"seed {self.seed}: {self.problem}\n{len(self.plan)} acts are enough: {self.shortened_problem}\n{acts}"


def failure_of(
    seed: int, acts: int, makers: Makers | None = None, report: Callable[[Played], None] = lambda _played: None
) -> Failure | None:
    """Play the plan of a seed; if it fails, shorten it."""
    plan = draw(seed, acts)
    played = play(plan, makers)
    report(played)
    if not played.problem:
        return None
    smallest = shrunk(plan, lambda shorter: bool(play(shorter, makers).problem))
    return Failure(seed, played.problem, smallest, play(smallest, makers).problem)
