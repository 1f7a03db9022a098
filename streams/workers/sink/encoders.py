"""Which encoder a value needs: found once per writer's schema, then by the value's first bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from streams.delivery.contract import Destination, Encoder, Encoding, Rejected, Skipped
from streams.delivery.forgotten import FIELD_OF, ForgottenUsers, IdKind, IdOf
from streams.events.encodings import CONFLUENT_HEADER_BYTES, SINGLE_OBJECT_HEADER_BYTES
from streams.events.presence import text_reader
from streams.events.schema import WriterSchema
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.workers.reading.schema_resolver import Known, SchemaResolver, Unknown, event_type_header
from streams.workers.reading.waiting_partitions import Why

log = structlog.get_logger(__name__)

ReadText = Callable[[bytes, int], str | None]
Readers = Mapping[IdKind, ReadText]
"""Of a user's ids."""


class SchemaWaits(Exception):
    """The schema of a record may still arrive: its partition waits."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class EncoderCache:
    """The destination's encoders, by schema and by the header of values: ten bytes of single-object values, five of
    Confluent ones. No header of one kind begins like one of the other."""

    def __init__(self, destination: Destination, resolver: SchemaResolver) -> None:
        self.by_header: dict[bytes, Encoder] = {}
        self.event_types: dict[Encoder, str] = {}
        """What each encoder's events are; a rejecting one stands for none."""
        self._by_fingerprint: dict[bytes, Encoder] = {}
        self._readers: dict[tuple[bytes, str], ReadText] = {}
        self._withheld: ForgottenUsers | None = None
        self._destination = destination
        self._resolver = resolver

    def use(self, destination: Destination) -> None:
        """Encode with this destination from now on: its secrets may be part of what is sent."""
        self._destination = destination
        self._begin()

    def withhold(self, users: ForgottenUsers | None) -> None:
        """Skip the records of these users from now on, as they are then; None: of nobody."""
        self._withheld = users
        self._begin()

    def _begin(self) -> None:
        """Every encoder is made again."""
        self.by_header.clear()
        self._by_fingerprint.clear()
        self.event_types.clear()

    def find(self, message: Message, value: bytes, waited_seconds: float = 0.0) -> tuple[Encoder, int]:
        """The encoder of a value, and where its datum starts, which is its header's length. Raises `SchemaWaits`.

        `waited_seconds`: how long the record has waited for schemas already, also behind other records.
        """
        for header in (value[:SINGLE_OBJECT_HEADER_BYTES], value[:CONFLUENT_HEADER_BYTES]):
            known = self.by_header.get(header)
            if known is not None:
                return known, len(header)
        try:
            event_type = event_type_header(message) if value else None
            resolution = self._resolver.resolve(value, "", event_type, waited_seconds)
        except SchemasUnavailable as error:
            log.warning("schema registry does not answer", error=str(error))
            raise SchemaWaits("registry", str(error)) from error
        if isinstance(resolution, Unknown) and not resolution.is_final:
            raise SchemaWaits("schema", resolution.detail)
        if not isinstance(resolution, Known):
            return _rejecting(resolution.detail), 0
        encoder = self._encoder_of(resolution.schema)
        if resolution.cache_key:
            self.by_header[resolution.cache_key] = encoder
        return encoder, resolution.start

    def ids(self, message: Message) -> IdOf:
        """The ids of a record's user, by their kind."""
        value = message.value()
        try:
            resolution = self._resolver.resolve(value, "", event_type_header(message) if value else None)
        except SchemasUnavailable:
            return lambda _by: None
        if not isinstance(resolution, Known):
            return lambda _by: None
        readers = self._readers_of(resolution.schema)
        return lambda by: readers[by](value or b"", resolution.start)

    def _readers_of(self, schema: WriterSchema) -> Readers:
        for field in FIELD_OF.values():
            if (schema.fingerprint, field) not in self._readers:
                self._readers[schema.fingerprint, field] = text_reader(schema, field)
        return {by: self._readers[schema.fingerprint, field] for by, field in FIELD_OF.items()}

    def event_type(self, message: Message) -> str:
        """The event type of a record; empty where it cannot be told."""
        value = message.value()
        try:
            resolution = self._resolver.resolve(value, "", event_type_header(message) if value else None)
        except SchemasUnavailable:
            return ""
        return resolution.schema.event_type if isinstance(resolution, Known) else ""

    def _encoder_of(self, schema: WriterSchema) -> Encoder:
        encoder = self._by_fingerprint.get(schema.fingerprint)
        if encoder is None:
            encoder = self._destination.encoder(schema)
            if encoder is None:
                encoder = _rejecting(f"no mapping for event type {schema.event_type}")
            if self._withheld is not None:
                encoder = _withholding(encoder, self._readers_of(schema), self._withheld)
            self._by_fingerprint[schema.fingerprint] = encoder
            self.event_types[encoder] = schema.event_type
        return encoder


def _withholding(encode: Encoder, readers: Readers, users: ForgottenUsers) -> Encoder:
    skipped = Skipped("forgotten")

    def withhold(value: bytes, start: int, /) -> Encoding:
        return skipped if users.holds(lambda by: readers[by](value, start)) else encode(value, start)

    return withhold


def _rejecting(detail: str) -> Encoder:
    def reject(_value: bytes, _start: int) -> Encoding:
        return Rejected(detail)

    return reject
