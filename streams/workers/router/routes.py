"""Where each event goes: decided once per writer's schema, applied per record."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.config import Settings
from streams.delivery.account import RouterSkip
from streams.delivery.letter import EVENT_TYPE_HEADER
from streams.destinations import REGISTRY
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schema import WriterSchema
from streams.events.walker import presence_reader
from streams.ports.kafka import Headers, Message
from streams.workers.reading.schema_resolver import Known, SchemaResolver, Unknown, Unreadable, event_type_header


@dataclass(frozen=True, slots=True)
class ConnectorRoute:
    """What one connector wants, and the topic that it is delivered from."""

    connector: str
    topic: str
    event_types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Route:
    """Where events of one writer's schema go: (connector, topic) pairs. `skip` is the reason why nowhere, if so.

    `presence` tells of a value and its datum's start whether the event has a user (see `walker.presence_reader`).
    """

    targets: tuple[tuple[str, str], ...]
    skip: RouterSkip | None
    presence: Callable[[bytes, int], int]


@dataclass(frozen=True, slots=True)
class Routing:
    """Every connector's wishes, and which event types any destination maps at all."""

    connectors: Sequence[ConnectorRoute]
    mapped: Collection[str]

    def route(self, schema: WriterSchema) -> Route:
        wanting = [route for route in self.connectors if schema.event_type in route.event_types]
        skip: RouterSkip | None = None
        if schema.event_type not in self.mapped:
            skip = "no_mapping"
        elif not wanting:
            skip = "not_selected"
        targets = tuple((route.connector, route.topic) for route in wanting)
        return Route(targets, skip, presence_reader(schema))


class Found(NamedTuple):
    """A value's route and where its datum starts. `added` are headers for a value that cannot tell its event type."""

    route: Route
    start: int
    added: Headers


class Routes:
    """The route of every value: the router's, and that of source letters which are routed again."""

    def __init__(self, routing: Routing, resolver: SchemaResolver) -> None:
        self.by_header: dict[bytes, Route] = {}
        """Of single-object values, by their first ten bytes: what the hot path looks into before it asks `find`."""
        self._routing = routing
        self._resolver = resolver
        self._by_fingerprint: dict[bytes, Route] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that something may be routed to."""
        return tuple(route.topic for route in self._routing.connectors)

    def ask_again(self) -> None:
        """A schema may have been added that was missed a moment ago."""
        self._resolver.ask_again()

    def find(self, message: Message, topic: str, waited_seconds: float = 0.0) -> Found | Unknown | Unreadable:
        """The route of a record that was first read from the source's `topic`, and has waited so long for schemas.

        Raises `SchemasUnavailable` while a registry that is needed does not answer.
        """
        value = message.value()
        resolution = self._resolver.resolve(value, topic, event_type_header(message) if value else None, waited_seconds)
        if not isinstance(resolution, Known):
            return resolution
        route = self._route_of(resolution.schema)
        if len(resolution.cache_key) == SINGLE_OBJECT_HEADER_BYTES:
            self.by_header[resolution.cache_key] = route
        added: Headers = []
        if not resolution.cache_key:
            added = [(EVENT_TYPE_HEADER, resolution.schema.event_type.encode())]
        return Found(route, resolution.start, added)

    def _route_of(self, schema: WriterSchema) -> Route:
        route = self._by_fingerprint.get(schema.fingerprint)
        if route is None:
            route = self._by_fingerprint[schema.fingerprint] = self._routing.route(schema)
        return route


def source_topics(topics: Collection[str], patterns: Sequence[str], own_prefix: str) -> frozenset[str]:
    """The Currents topics among `topics`: a pattern that begins with ^ is a regular expression, else a topic's name.

    Topics of ours (by prefix) and Kafka's internal ones are never among them.
    """
    expressions = [re.compile(pattern) for pattern in patterns if pattern.startswith("^")]
    names = {pattern for pattern in patterns if not pattern.startswith("^")}
    return frozenset(
        topic
        for topic in topics
        if not topic.startswith((own_prefix, "__"))
        and (topic in names or any(expression.search(topic) for expression in expressions))
    )


def routing_of(settings: Settings) -> Routing:
    """Every connector's wishes, and which event types any destination maps at all."""
    connectors = [
        ConnectorRoute(connector.name, settings.topics.connector(connector.name), connector.event_types)
        for connector in settings.connectors.values()
    ]
    return Routing(connectors, frozenset().union(*(kind.event_types for kind in REGISTRY.values())))
