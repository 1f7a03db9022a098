"""Letters of HTTP inlets where no connector gets events: a replay writes them to the Currents topics, as the receiver
would write them now. The topic of an event that is too large may take more by now, or the topic that was missing is
there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import orjson

from streams.delivery.letter import INLET_HEADER, foreign_headers, header_of, returned_headers
from streams.events.custom_http.mapping import EventMappings, Mapped
from streams.events.encodings import SINGLE_OBJECT_MARK
from streams.events.schemas import topic_key
from streams.ports.errors import KafkaRefusal
from streams.ports.kafka import Message
from streams.workers.ingest import record_key
from streams.workers.keeper.jobs.http_letters import events_of
from streams.workers.keeper.jobs.outcome import Leaves, Stays
from streams.workers.keeper.jobs.ways import Way
from streams.workers.keeper.lease import Outgoing
from streams.workers.reading.schema_resolver import Known, SchemaResolver, Unknown

TOPIC_LENGTH_MAX = 249


class EventTopics(Protocol):
    """Sees that Currents topics are there."""

    def make(self, topic: str) -> bool:
        """Whether the topic is there now. Raises `KafkaUnreachable` and `KafkaRefusal`."""
        ...

    def forget(self) -> None:
        """One may have been deleted."""
        ...


class WrittenAgain:
    """Decides, and writes nothing; it only sees that topics are there.

    `prefix_of` says what stands before the event type in the topics of an inlet. `others` decides about letters that
    came in another way.
    """

    def __init__(
        self,
        resolver: SchemaResolver,
        event_topics: EventTopics,
        prefix_of: Callable[[str], str],
        schemas_topic: str,
        others: Way,
    ) -> None:
        self.topics: Sequence[str] = (schemas_topic,)
        self._schemas_topic = schemas_topic
        self._resolver = resolver
        self._event_topics = event_topics
        self._prefix_of = prefix_of
        self._others = others
        self._mappings = EventMappings()

    def begin(self) -> None:
        """A schema may have been added, and topics made or deleted, before this was ordered."""
        self._event_topics.forget()
        self._others.begin()

    def of(self, letter: Message, job: str, again: bool, /) -> Leaves | Stays:
        headers = letter.headers() or []
        inlet = header_of(headers, INLET_HEADER)
        if inlet is None:
            return self._others.of(letter, job, again)
        events = self._events(letter)
        if isinstance(events, Stays):
            return events
        prefix = self._prefix_of(inlet.decode(errors="replace"))
        names = {event.schema.fingerprint: prefix + event.schema.event_type for event in events}
        if not all(map(self._is_there, names.values())):
            return Stays("refused")
        kept = returned_headers(headers, job=job, again=True) if again else foreign_headers(headers)
        schemas = {event.schema.fingerprint: event.schema for event in events}
        known = [
            Outgoing(self._schemas_topic, topic_key(schema), orjson.dumps(schema.definition), [])
            for schema in schemas.values()
        ]
        records = [Outgoing(names[event.schema.fingerprint], event.key, event.value, kept) for event in events]
        return Leaves((*known, *records))

    def _events(self, letter: Message) -> Sequence[Mapped] | Stays:
        """What the letter holds: a record that its topic did not take, or what Braze sent."""
        value = letter.value() or b""
        if value.startswith(SINGLE_OBJECT_MARK):
            found = self._resolver.resolve(value, "", None)
            if not isinstance(found, Known):
                return Stays("unknown-schema" if isinstance(found, Unknown) else "undecodable")
            return [Mapped(found.schema, record_key(found.schema.decode(value, found.start)), value)]
        return events_of(value, self._mappings)

    def _is_there(self, topic: str) -> bool:
        try:
            return len(topic) <= TOPIC_LENGTH_MAX and self._event_topics.make(topic)
        except KafkaRefusal:
            return False
