"""Where each event goes: decided once per writer's schema, applied per record."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.config import Settings
from streams.delivery.account import RouterSkip
from streams.delivery.letter import EVENT_TYPE_HEADER
from streams.destinations import ROUTED
from streams.events.encodings import CONFLUENT_HEADER_BYTES, SINGLE_OBJECT_HEADER_BYTES
from streams.events.presence import presence_reader, text_reader
from streams.events.schema import WriterSchema
from streams.ports.kafka import Headers, Message
from streams.workers.reading.schema_resolver import Known, SchemaResolver, Unknown, Unreadable, event_type_header
from streams.workers.router.delete_requests import EVENT_TYPE, ID_FIELD


@dataclass(frozen=True, slots=True)
class ConnectorRoute:
    """What one connector wants, and the topic that it is delivered from."""

    connector: str
    topic: str
    event_types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Route:
    """Where events of one writer's schema go: (connector, topic) pairs. `skip` is the reason why nowhere, if so.

    `presence` takes a value and where its datum starts, and says whether the event has a user
    (`streams.events.presence`).
    """

    targets: tuple[tuple[str, str], ...]
    skip: RouterSkip | None
    presence: Callable[[bytes, int], int]
    deleted: Callable[[bytes, int], str | None] | None = None
    """Reads the id of a user who was deleted in Braze; None for all other events."""


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
        deleted = text_reader(schema, ID_FIELD) if schema.event_type == EVENT_TYPE else None
        return Route(targets, skip, presence_reader(schema), deleted)


class Found(NamedTuple):
    """A value's route and where its datum starts. `added` are headers for a value that cannot tell its event type."""

    route: Route
    start: int
    added: Headers


class Routes:
    """The route of every value: the router's, and that of source letters which are routed again."""

    def __init__(self, routing: Routing, resolver: SchemaResolver) -> None:
        self._by_header: dict[bytes, Found] = {}
        """By the header of values: ten bytes of single-object values, five of Confluent ones, which never begin
        alike."""
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
        value = message.value() or b""
        for header in (value[:SINGLE_OBJECT_HEADER_BYTES], value[:CONFLUENT_HEADER_BYTES]):
            known = self._by_header.get(header)
            if known is not None:
                return known
        resolution = self._resolver.resolve(value, topic, event_type_header(message) if value else None, waited_seconds)
        if not isinstance(resolution, Known):
            return resolution
        route = self.route_of(resolution.schema)
        if not resolution.cache_key:
            return Found(route, resolution.start, [(EVENT_TYPE_HEADER, resolution.schema.event_type.encode())])
        found = self._by_header[resolution.cache_key] = Found(route, resolution.start, [])
        return found

    def route_of(self, schema: WriterSchema) -> Route:
        """The route of every event of this schema."""
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
        for connector in settings.routed.values()
    ]
    return Routing(connectors, frozenset().union(*(kind.event_types for kind in ROUTED.values())))
