"""Tells whether a record is of the wanted event, and what router and sink would do with it as configured."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any

import fastavro

from streams.delivery.contract import Destination, Skipped
from streams.delivery.forgotten import FIELD_OF, ForgottenUsers
from streams.delivery.letter import CAUSE_HEADER, Origin, header_of, origin_of, parked_from, verdict_of
from streams.events.walker import MISSING, PRESENT
from streams.operations.explain.story import Kind, Sighting
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.workers.reading.schema_resolver import Known, SchemaResolver, event_type_header
from streams.workers.router.routes import Routing

Place = tuple[Kind, str, str]
"""What a topic holds: kind, connector (`source` for the router's letters), and which letters."""

_CORRUPT = (EOFError, ValueError, IndexError, KeyError, OverflowError, MemoryError)
"""What fastavro raises on corrupt bytes."""


class Sighter:
    """Recognises one event. `places` says what each topic holds, by the topic's name. A connector whose secrets
    cannot be read here has no destination: it is not known what it would skip."""

    def __init__(
        self,
        event_id: str,
        resolver: SchemaResolver,
        routing: Routing,
        destinations: Mapping[str, Destination],
        places: Mapping[str, Place],
        forgotten: Mapping[str, ForgottenUsers] = MappingProxyType({}),
    ) -> None:
        """`forgotten` are users by connector."""
        self._event_id = event_id
        self._resolver = resolver
        self._routing = routing
        self._destinations = destinations
        self._places = places
        self._forgotten = forgotten

    def sighting(self, message: Message, written_ms: int) -> Sighting | None:
        """The record as a sighting; None if it was decoded and is of another event."""
        kind, connector, letters = self._places[message.topic()]
        known, record = self._decoded(message)
        if record is not None and record.get("id") != self._event_id:
            return None
        headers = message.headers() or []
        read_from = Origin(message.topic(), message.partition(), message.offset())
        time = None if record is None else record.get("time")
        targets, skip = self._ahead(kind, connector, known, message.value() or b"")
        if kind == "connector" and self._is_forgotten(connector, record, written_ms):
            skip = "forgotten"
        return Sighting(
            kind=kind,
            partition=(message.topic(), message.partition()),
            offset=message.offset(),
            written_ms=written_ms,
            origin=read_from if kind == "currents" else origin_of(headers, parked_from(headers) or read_from),
            event_type="" if known is None else known.schema.event_type,
            event_time=time if isinstance(time, int) else None,
            is_decoded=record is not None,
            connector=connector,
            letters=letters,
            cause=(header_of(headers, CAUSE_HEADER) or b"").decode("ascii", "replace"),
            verdict=verdict_of(headers),
            skip=skip,
            targets=targets,
        )

    def _decoded(self, message: Message) -> tuple[Known | None, dict[str, Any] | None]:
        value = message.value() or b""
        try:
            resolution = self._resolver.resolve(value, message.topic(), event_type_header(message))
        except SchemasUnavailable:
            return None, None
        if not isinstance(resolution, Known):
            return None, None
        try:
            record: Any = fastavro.schemaless_reader(BytesIO(value[resolution.start :]), resolution.schema.parsed, None)
        except _CORRUPT:
            return resolution, None
        return resolution, record if isinstance(record, dict) else None

    def _is_forgotten(self, connector: str, record: Mapping[str, Any] | None, written_ms: int) -> bool:
        """Whether its user was forgotten before it was written: what came earlier may have been delivered."""
        users = self._forgotten.get(connector)
        if users is None or record is None:
            return False
        user_hash = users.hash_of(lambda by: record.get(FIELD_OF[by]))
        return user_hash is not None and users.user(user_hash).at <= written_ms

    def _ahead(self, kind: Kind, connector: str, known: Known | None, value: bytes) -> tuple[tuple[str, ...], str]:
        """The connectors that a Currents record goes to, and the reason if it goes nowhere."""
        if known is None or kind == "letter":
            return (), ""
        if kind == "connector":
            destination = self._destinations.get(connector)
            encoder = None if destination is None else destination.encoder(known.schema)
            encoded = None if encoder is None else encoder(value, known.start)
            return (), encoded.reason if isinstance(encoded, Skipped) else ""
        route = self._routing.route(known.schema)
        if route.skip is not None:
            return (), route.skip
        presence = route.presence(value, known.start)
        if presence != PRESENT:
            return (), "no_external_user_id" if presence == MISSING else ""
        return tuple(name for name, _ in route.targets), ""
