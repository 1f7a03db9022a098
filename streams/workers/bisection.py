"""Finds the item that Kafka does not take: its transaction is done again with half as many, until it stands alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from streams.ports.errors import RecordsRefused

Item = TypeVar("Item")


class Bisection:
    """How many items the next transaction may hold: all, half as many after each refusal, then more again."""

    def __init__(self, items_max: int) -> None:
        self.items_max = items_max
        self._most = items_max

    def refused(self, items: int) -> bool:
        """A transaction of so many was refused; whether that tells which it is, for it stood alone."""
        self.items_max = max(1, items // 2)
        return items == 1

    def passed(self) -> None:
        """A transaction was committed."""
        self.items_max = min(self._most, self.items_max * 2)


def write_in_parts(
    items: Sequence[Item], write: Callable[[Sequence[Item]], None], refuse: Callable[[Item, RecordsRefused], None]
) -> None:
    """`write` makes one transaction of its items, and is called again with fewer where that is refused.

    The items keep their order. `refuse` is called for an item that is refused alone; what it notes is part of the
    next `write`.
    """
    bisection = Bisection(len(items))
    start = 0
    while start < len(items):
        part = items[start : start + bisection.items_max]
        try:
            write(part)
        except RecordsRefused as error:
            if not bisection.refused(len(part)):
                continue
            refuse(part[0], error)
        else:
            bisection.passed()
        start += len(part)
