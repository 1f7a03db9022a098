"""Writes what it is given in one transaction, and finds the one item that Kafka does not take where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from streams.ports.errors import RecordsRefused

Item = TypeVar("Item")


def write_in_parts(
    items: Sequence[Item], write: Callable[[Sequence[Item]], None], refuse: Callable[[Item, RecordsRefused], None]
) -> None:
    """`write` makes one transaction of its items, and is called again with halves where that is refused.

    The items keep their order. `refuse` is told of an item that is refused alone; what it notes goes with the next
    `write`.
    """
    parts = [items]
    while parts:
        part = parts.pop()
        try:
            write(part)
        except RecordsRefused as error:
            if not part:
                raise
            if len(part) == 1:
                refuse(part[0], error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
