"""What the registry holds of a destination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from streams.delivery.contract import Destination
from streams.destinations.table import MappedEvent


@dataclass(frozen=True, slots=True, eq=False)
class DestinationKind:
    """A kind of outside system: its keys of the configuration, and how a connector is built from them."""

    name: str
    settings: type[BaseModel]
    build: Callable[[Any], Destination]
    events: Mapping[str, MappedEvent]
    example: Callable[[], BaseModel]
    """Settings with made-up credentials, to show payloads with."""

    @property
    def event_types(self) -> frozenset[str]:
        """Every type that it maps."""
        return frozenset(self.events)

    @property
    def default_selection(self) -> frozenset[str]:
        """The types that the founding documents list for it."""
        return frozenset(event_type for event_type, event in self.events.items() if event.is_default)
