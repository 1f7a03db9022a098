"""What the registry's mappings are made of: names known at once, and what they name, found when it is asked for.

One destination costs some hundred modules of a process's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TypeVar

from streams.destinations.kind import DestinationKind

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a kind of our own is, as an entry point says it: `module:NAME`."""

    target: str
    is_received: bool = False
    """As `DestinationKind.is_received`: known before the kind is imported."""

    def load(self) -> DestinationKind:
        module, _, name = self.target.partition(":")
        kind = getattr(import_module(module), name)
        assert isinstance(kind, DestinationKind)
        return kind


class Later(Mapping[str, Value]):
    """A mapping that is made when somebody looks into it."""

    def __init__(self, make: Callable[[], Mapping[str, Value]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, Value]:
        return self._make()

    def __getitem__(self, name: str) -> Value:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


class Kinds(Mapping[str, DestinationKind]):
    """Kinds of our own by name, then those of other packages, which are not looked for while ours are asked for."""

    def __init__(self, places: Mapping[str, Place], others: Callable[[], Mapping[str, DestinationKind]] = dict) -> None:
        self._places = places
        self._others = Later(others)

    def __getitem__(self, name: str) -> DestinationKind:
        place = self._places.get(name)
        return self._others[name] if place is None else place.load()

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._others

    def __iter__(self) -> Iterator[str]:
        yield from self._places
        yield from self._others

    def __len__(self) -> int:
        return len(self._places) + len(self._others)
