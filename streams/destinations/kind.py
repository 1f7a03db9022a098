"""What the registry holds of a destination: names, and how a connector is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from streams.delivery.contract import Destination
from streams.destinations.privacy import Privacy
from streams.destinations.table import MappedEvent


def _no_conflicts(_connectors: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True, eq=False)
class DestinationKind:
    """A kind of outside system: its keys of the configuration, and how a connector is built from them."""

    name: str
    settings: type[BaseModel]
    build: Callable[[Any], Destination]
    events: Mapping[str, MappedEvent]
    example: Callable[[], BaseModel]
    """Makes settings with made-up credentials, to show payloads with."""
    received: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Record types that a receiver writes to its connectors' topics, each with a sample that fits the example.

    Such a kind maps no event type of Currents: nothing is routed to it, and its connectors select no events.
    """
    conflicts: Callable[[Mapping[str, Any]], tuple[str, ...]] = _no_conflicts
    """What several connectors (settings by name) must not share: `<path of the file>: <what would be right>`."""
    private: Callable[[Any, Privacy], Destination] | None = None
    """As `build`, with rules of what may leave, which its encoders keep. None: no connector may have such rules."""

    def problem(self) -> str:
        """Which member is not what it must be, in a sentence; empty where none is. Packages of others are not typed."""
        settings, build, events, example = (getattr(self, name) for name in ("settings", "build", "events", "example"))
        if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
            return "settings must be a pydantic model (the class)"
        if not callable(build):
            return "build must be a class or function that makes the destination from its settings"
        if not (isinstance(events, Mapping) and all(_is_named(*event) for event in events.items())):
            return "events must be a mapping of event types to MappedEvent, each under its own event_type"
        if not callable(example):
            return "example must be a function that returns settings"
        received, conflicts, private = (getattr(self, name) for name in ("received", "conflicts", "private"))
        if not (isinstance(received, Mapping) and callable(conflicts)):
            return "received must be a mapping of record types to samples, and conflicts a function"
        if not (private is None or callable(private)):
            return "private must be a class or function that makes the destination from its settings and what may leave"
        return ""

    @property
    def is_received(self) -> bool:
        """Whether a receiver fills its connectors' topics, and not the router."""
        return bool(self.received)

    @property
    def event_types(self) -> frozenset[str]:
        """Every type that it maps."""
        return frozenset(self.events)

    @property
    def default_selection(self) -> frozenset[str]:
        """The types that a connector without `events` takes."""
        return frozenset(event_type for event_type, event in self.events.items() if event.is_default)


def _is_named(event_type: object, event: object) -> bool:
    return isinstance(event, MappedEvent) and event.event_type == event_type
