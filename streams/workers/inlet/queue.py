"""Objects that wait to be read: those of recent hours first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from streams.inlets.layout import place_of
from streams.inlets.objects import StoredObject
from streams.inlets.schedule import Pass

WAITING_MAX = 10_000
"""Objects that are remembered at once. A pass that finds more is made again when these are taken."""
WAITING_LEAST = 100
"""Of one folder, however many folders there are."""


class Selection:
    """The oldest objects of one folder, as many as there is room for, of a listing that may come in any order."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._heap: list[_Latest] = []
        self.left_out = 0
        self.left_out_bytes = 0

    def add(self, one: StoredObject) -> None:
        if len(self._heap) < self._room:
            heapq.heappush(self._heap, _Latest(one))
            return
        latest = heapq.heappushpop(self._heap, _Latest(one))
        self.left_out += 1
        self.left_out_bytes += latest.one.size_bytes

    @property
    def chosen(self) -> list[StoredObject]:
        """Oldest first."""
        return [item.one for item in sorted(self._heap, reverse=True)]

    @property
    def last_hour(self) -> str:
        """The hour of the latest one that was chosen; hours before it were chosen whole."""
        return self._heap[0].order[0] if self._heap else ""


class _Latest:
    """Sorts the latest object first: a heap gives its smallest item."""

    __slots__ = ("one", "order")

    def __init__(self, one: StoredObject) -> None:
        self.one = one
        self.order = (place_of(one.key).hour, one.modified_ms, one.key)

    def __lt__(self, other: _Latest) -> bool:
        return self.order > other.order


class Queue:
    """Objects by the pass that found them. One that is listed again replaces what was listed before."""

    def __init__(self) -> None:
        self._of = {each: dict[str, StoredObject]() for each in Pass}
        self.left_out = 0
        self.left_out_bytes = 0

    def put(self, found_by: Pass, objects: Iterable[StoredObject]) -> None:
        for one in objects:
            holder = next((held for held in self._of.values() if one.key in held), self._of[found_by])
            holder[one.key] = one

    def put_back(self, found_by: Pass, objects: Iterable[StoredObject]) -> None:
        """As they were known before. One that was listed meanwhile stays: the listing knows it better."""
        self.put(found_by, [one for one in objects if not any(one.key in held for held in self._of.values())])

    def take(self) -> StoredObject | None:
        """The next one: of recent hours first."""
        for held in self._of.values():
            if held:
                return held.pop(next(iter(held)))
        return None

    def drop(self, key: str) -> StoredObject | None:
        """The one that waited, if it did."""
        dropped = [held.pop(key) for held in self._of.values() if key in held]
        return dropped[0] if dropped else None

    def is_idle(self, found_by: Pass) -> bool:
        return not self._of[found_by]

    def clear(self) -> None:
        for held in self._of.values():
            held.clear()
        self.left_out = self.left_out_bytes = 0

    def __iter__(self) -> Iterator[StoredObject]:
        for held in self._of.values():
            yield from held.values()

    def __len__(self) -> int:
        return sum(len(held) for held in self._of.values())
