"""Makes a plan that fails small: acts are left out for as long as what is left still fails (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from tests.simulation import acts
from tests.simulation.way_back.acts import Send

A = TypeVar("A")
"""Any act."""

TRIES_MAX = 120
"""A try takes some tenths of a second."""


def shrunk(plan: Sequence[A], fails: Callable[[Sequence[A]], bool], tries_max: int = TRIES_MAX) -> list[A]:
    """The smallest plan that was found to fail. Without one more of its acts it does not fail, if the tries sufficed.

    Acts are left out in parts: halves first, single acts last. Then numbers in single acts are made smaller.
    """
    return _Shrinking(fails, tries_max).shrink(list(plan))


class _Shrinking(Generic[A]):
    def __init__(self, fails: Callable[[Sequence[A]], bool], tries_max: int) -> None:
        self._fails = fails
        self._tries_left = tries_max

    def shrink(self, plan: list[A]) -> list[A]:
        size = len(plan) // 2
        while size and self._tries_left:
            shorter = self._without_parts(plan, size)
            size = min(size, len(shorter)) if len(shorter) < len(plan) and size == 1 else size // 2
            plan = shorter
        return self._with_less(plan)

    def _fails_now(self, plan: Sequence[A]) -> bool:
        if not self._tries_left:
            return False
        self._tries_left -= 1
        return self._fails(plan)

    def _without_parts(self, plan: list[A], size: int) -> list[A]:
        start = len(plan) - size
        while start > -size:
            rest = [*plan[: max(0, start)], *plan[start + size :]]
            if len(rest) < len(plan) and self._fails_now(rest):
                plan = rest
            start -= size
        return plan

    def _with_less(self, plan: list[A]) -> list[A]:
        for index in range(len(plan)):
            for less in _less(plan[index]):
                rest = [*plan[:index], less, *plan[index + 1 :]]
                if self._fails_now(rest):
                    plan = rest
                    break
        return plan


def _less(act: Any) -> list[Any]:
    """The same act, doing less: the least first."""
    match act:
        case Send(requests=requests) if len(requests) > 1:
            return [replace(act, requests=(request,)) for request in requests]
        case acts.Write(events=events) if len(events) > 1:
            return [replace(act, first=act.first + index, events=(event,)) for index, event in enumerate(act.events)]
        case acts.Work(steps=steps) | acts.Wake(steps=steps) if steps > 1:
            return [replace(act, steps=less) for less in (1, 2, steps // 2) if less < steps]
        case acts.Faults(kinds=kinds) if len(kinds) > 1:
            return [replace(act, kinds=(kind,)) for kind in kinds]
        case _:
            return []
