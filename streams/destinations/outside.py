"""Destinations of other packages: each names its `DestinationKind` as an entry point of the group below."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from streams.destinations.kind import DestinationKind

GROUP = "streams.destinations"


@dataclass(frozen=True, slots=True)
class Outside:
    """What was found: kinds by name, and why others cannot be used."""

    kinds: dict[str, DestinationKind] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def find(taken: Collection[str], found: Iterable[EntryPoint] | None = None) -> Outside:
    """Load every entry point of the group. Raises nothing: a package that is broken must not stop the others."""
    outside = Outside()
    for entry in entry_points(group=GROUP) if found is None else found:
        try:
            kind = entry.load()
        except Exception as error:  # the import of another package may raise anything
            outside.broken[entry.name] = f"{entry.value} cannot be loaded: {type(error).__name__}: {error}"
            continue
        if not isinstance(kind, DestinationKind):
            outside.broken[entry.name] = f"{entry.value} is not a DestinationKind"
        elif problem := kind.problem():
            outside.broken[entry.name] = f"{entry.value}: {problem}"
        elif kind.name != entry.name:
            outside.broken[entry.name] = f"{entry.value} names itself {kind.name}: both names must be the same"
        elif entry.name in taken or entry.name in outside.kinds:
            outside.broken[entry.name] = f"{entry.value} has the name of another destination"
        else:
            outside.kinds[entry.name] = kind
    return outside
