"""Where the records of a batch stand in the three arrays of a request: looked at only where Braze refuses one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

Places = Mapping[str, Sequence[Sequence[int]]]
"""By array: of each of its objects the positions of the records that it holds."""


class ArrayLayout(Mapping[tuple[str, int], Sequence[int]]):
    """The `Layout` of a request, by name of the array and index in it."""

    __slots__ = ("_places",)

    def __init__(self, places: Places) -> None:
        self._places = places

    def __getitem__(self, place: tuple[str, int]) -> Sequence[int]:
        array, index = place
        objects = self._places[array]
        if not 0 <= index < len(objects):
            raise KeyError(place)
        return objects[index]

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((array, index) for array, objects in self._places.items() for index in range(len(objects)))

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))


class Singles(Sequence[Sequence[int]]):
    """Objects of one record each, at these positions."""

    __slots__ = ("_positions",)

    def __init__(self, positions: Sequence[int]) -> None:
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int) -> Sequence[int]:  # type: ignore[override]
        return (self._positions[index],)
