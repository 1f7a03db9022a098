"""Where each event goes: decided once per writer's schema, applied per record."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from streams.delivery.account import RouterSkip
from streams.events.schema import WriterSchema
from streams.events.walker import presence_reader


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
