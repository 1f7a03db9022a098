"""Letters of what Braze sent to an HTTP inlet and could not be read: they are mapped again, and then routed.

The program may read more than it did when they came; and a person may have made the topic that was missing.
"""

from __future__ import annotations

from collections import Counter

import orjson

from streams.delivery.letter import INLET_HEADER, foreign_headers, header_of, returned_headers
from streams.events.custom_http.body import TooManyItems, Unreadable, events_in
from streams.events.custom_http.mapping import EventMappings, Mapped, Unmapped
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, SINGLE_OBJECT_MARK
from streams.events.schema import WriterSchema
from streams.events.schemas import topic_key
from streams.events.walker import MISSING, PRESENT
from streams.ports.kafka import Headers, Message
from streams.workers.keeper.jobs.outcome import Leaves, Stays
from streams.workers.keeper.lease import Outgoing
from streams.workers.router.routes import Routes


def came_over_http(letter: Message) -> bool:
    """Whether the letter's value is what Braze sent, and no record yet."""
    is_of_inlet = header_of(letter.headers() or [], INLET_HEADER) is not None
    return is_of_inlet and not (letter.value() or b"").startswith(SINGLE_OBJECT_MARK)


class MappedAgain:
    """Decides, and writes nothing."""

    def __init__(self, routes: Routes, schemas_topic: str) -> None:
        self._routes = routes
        self._schemas_topic = schemas_topic
        self._mappings = EventMappings()

    def of(self, letter: Message, job: str, again: bool) -> Leaves | Stays:
        """What becomes of the letter: it leaves whole, or stays whole."""
        events = events_of(letter.value() or b"", self._mappings)
        if isinstance(events, Stays):
            return events
        headers = letter.headers() or []
        kept = returned_headers(headers, job=job, again=True) if again else foreign_headers(headers)
        return self._routed(events, kept)

    def _routed(self, events: list[Mapped], headers: Headers) -> Leaves:
        records: list[Outgoing] = []
        schemas: dict[bytes, WriterSchema] = {}
        routed: Counter[str] = Counter()
        skipped: Leaves = Leaves()
        for event in events:
            route = self._routes.route_of(event.schema)
            presence = route.presence(event.value, SINGLE_OBJECT_HEADER_BYTES)
            if route.skip is not None or presence != PRESENT:
                reason = route.skip or ("no_external_user_id" if presence == MISSING else None)
                skipped = Leaves(skipped=reason)
                continue
            schemas[event.schema.fingerprint] = event.schema
            records += [Outgoing(topic, event.key, event.value, headers) for _, topic in route.targets]
            routed.update(connector for connector, _ in route.targets)
        if not records:
            return skipped
        known = [
            Outgoing(self._schemas_topic, topic_key(schema), orjson.dumps(schema.definition), [])
            for schema in schemas.values()
        ]
        return Leaves((*known, *records), routed)


def events_of(value: bytes, mappings: EventMappings) -> list[Mapped] | Stays:
    """The records of what Braze sent. It was no check of the credentials: those are not parked."""
    try:
        events = [mappings.record(event) for event in _events(value)]
    except (Unreadable, TooManyItems, Unmapped):
        return Stays("undecodable")
    return events or Stays("undecodable")


def _events(value: bytes) -> list[object]:
    """A whole body, or one event of it. Raises `Unreadable` and `TooManyItems`."""
    try:
        return events_in(value)
    except Unreadable:
        return events_in(b'{"events":[' + value + b"]}")
