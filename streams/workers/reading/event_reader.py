"""What a record's value tells of its event: type, id and time, as far as it can be decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import fastavro

from streams.delivery.forgotten import FIELD_OF, IdKind, IdOf
from streams.events.presence import text_reader
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.workers.reading.schema_resolver import Known, SchemaResolver, event_type_header


@dataclass(frozen=True, slots=True)
class Event:
    """`event_type` and `event_id` are empty, `time` (seconds since 1970) is None, where the value does not tell."""

    event_type: str = ""
    event_id: str = ""
    time: int | None = None


class EventReader:
    """Reads events off records; never raises on bad bytes.

    While a registry does not answer, it raises `SchemasUnavailable`: a caller that selects letters by their event then
    waits or says so, and leaves out none of them.
    """

    def __init__(self, resolver: SchemaResolver) -> None:
        self._resolver = resolver
        self._readers: dict[tuple[bytes, str], Callable[[bytes, int], str | None]] = {}

    def event_type(self, message: Message) -> str:
        """The event type alone: no decoding."""
        return self._resolved(message)[0]

    def read(self, message: Message) -> Event:
        """Type, id and time, by decoding the whole record."""
        event_type, record = self._decoded(message)
        if record is None:
            return Event(event_type)
        event_id, time = record.get("id"), record.get("time")
        return Event(
            event_type, event_id if isinstance(event_id, str) else "", int(time) if isinstance(time, int) else None
        )

    def read_now(self, message: Message) -> Event:
        """As `read`, and empty while the registry does not answer: for receipts and pages, which must not wait."""
        try:
            return self.read(message)
        except SchemasUnavailable:
            return Event()

    def user(self, message: Message) -> str | None:
        """The user's external id, without decoding the rest; None where there is none or it cannot be read."""
        return self.ids(message)("external")

    def ids(self, message: Message) -> IdOf:
        """The user's ids, by their kind, without decoding the rest."""
        known = self._resolved(message)[1]
        if known is None:
            return lambda _by: None
        schema, value = known.schema, message.value() or b""

        def id_of(by: IdKind) -> str | None:
            place = (schema.fingerprint, FIELD_OF[by])
            if place not in self._readers:
                self._readers[place] = text_reader(schema, FIELD_OF[by])
            return self._readers[place](value, known.start)

        return id_of

    def can_read(self, message: Message) -> bool:
        """Whether its schema is known."""
        return self._resolved(message)[1] is not None

    def record(self, message: Message) -> dict[str, Any] | None:
        """The whole decoded record; None where it cannot be decoded."""
        return self._decoded(message)[1]

    def _decoded(self, message: Message) -> tuple[str, dict[str, Any] | None]:
        event_type, known = self._resolved(message)
        if known is None:
            return event_type, None
        try:
            datum = BytesIO((message.value() or b"")[known.start :])
            record: Any = fastavro.schemaless_reader(datum, known.schema.parsed, None)
        except (EOFError, ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError):
            return event_type, None
        return event_type, record if isinstance(record, dict) else None

    def _resolved(self, message: Message) -> tuple[str, Known | None]:
        value = message.value()
        resolution = self._resolver.resolve(value, "", event_type_header(message) if value else None)
        return (resolution.schema.event_type, resolution) if isinstance(resolution, Known) else ("", None)
