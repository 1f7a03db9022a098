"""What became of a plan, and a seed that fails with the smallest plan that fails as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.simulation.shrink import shrunk

A = TypeVar("A")
"""Any act."""
Told = Callable[["Played"], None]


def not_told(_played: Played) -> None:
    """Nobody wants to know what became of a plan that holds."""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one plan. `problem` is empty where all invariants held."""

    problem: str
    steps: int
    faults: int
    digest: str


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


def failure(seed: int, plan: Sequence[A], play: Callable[[Sequence[A]], Played], tell: Told) -> Failure | None:
    """Play the plan of a seed; if it fails, shorten it."""
    played = play(plan)
    tell(played)
    if not played.problem:
        return None
    smallest = shrunk(plan, lambda shorter: bool(play(shorter).problem))
    return Failure(seed, played.problem, smallest, play(smallest).problem)
