"""Reads the facts of a letter that a selection needs: headers, event type, and the event id if it is asked for."""

from __future__ import annotations

from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, SINGLE_OBJECT_MARK
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.state.selection import LetterFacts, Selection
from streams.workers.reading.event_reader import EventReader

TYPES_MAX = 10_000
"""Corrupt values can begin with any bytes. After this many different beginnings, all are forgotten."""


class Facts:
    """Values are decoded only if the selection asks for event ids.

    While the registry does not answer, event types may be unknown. If the selection asks for types or ids, this raises
    `SchemasUnavailable`: no letter may be skipped because its type is not known.
    """

    def __init__(self, events: EventReader, selection: Selection) -> None:
        self._events = events
        self._types = EventTypes(events)
        self._needs_type = selection.needs_event_type
        self._ids = {event_id: event_id.encode() for event_id in selection.event_ids}

    def of(self, message: Message) -> LetterFacts:
        return LetterFacts.of(message.headers() or [], self._event_type(message), self._event_id(message))

    def _event_type(self, message: Message) -> str:
        try:
            return self._types.of(message)
        except SchemasUnavailable:
            if self._needs_type:
                raise
            return ""

    def _event_id(self, message: Message) -> str:
        """Avro does not change the bytes of strings. If a value does not contain the id's bytes, it is not this
        event."""
        value = message.value() or b""
        if not any(mark in value for mark in self._ids.values()):
            return ""
        return self._events.read(message).event_id


class EventTypes:
    """Event types of letters, remembered by the first bytes of a value, if these tell the type."""

    def __init__(self, events: EventReader) -> None:
        self._events = events
        self._known: dict[bytes, str] = {}

    def of(self, message: Message) -> str:
        value = message.value() or b""
        header = value[:SINGLE_OBJECT_HEADER_BYTES]
        if not header.startswith(SINGLE_OBJECT_MARK):
            return self._events.event_type(message)
        event_type = self._known.get(header)
        if event_type is None:
            if len(self._known) >= TYPES_MAX:
                self._known.clear()
            event_type = self._known[header] = self._events.event_type(message)
        return event_type
