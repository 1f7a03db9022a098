"""Which encoder a value needs: found once per writer's schema, then by the value's first bytes."""

from __future__ import annotations

import structlog

from streams.delivery.contract import Destination, Encoder, Encoding, Rejected
from streams.events.encodings import CONFLUENT_HEADER_BYTES, SINGLE_OBJECT_HEADER_BYTES
from streams.events.schema import WriterSchema
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.workers.reading.paused_partitions import Why
from streams.workers.reading.schema_resolver import Known, SchemaResolver, Unknown, event_type_header

log = structlog.get_logger(__name__)


class SchemaWaits(Exception):
    """The schema of a record may still arrive: its partition waits."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class EncoderCache:
    """The destination's encoders, by schema and by the first ten bytes of single-object values."""

    def __init__(self, destination: Destination, resolver: SchemaResolver) -> None:
        self.by_header: dict[bytes, Encoder] = {}
        self.event_types: dict[Encoder, str] = {}
        """What each encoder's events are; a rejecting one stands for none."""
        self._by_confluent_header: dict[bytes, Encoder] = {}
        self._by_fingerprint: dict[bytes, Encoder] = {}
        self._destination = destination
        self._resolver = resolver

    def use(self, destination: Destination) -> None:
        """Encode with this destination from now on: its secrets may be part of what is sent."""
        self._destination = destination
        self.by_header.clear()
        self._by_confluent_header.clear()
        self._by_fingerprint.clear()
        self.event_types.clear()

    def find(self, message: Message, value: bytes, waited_seconds: float = 0.0) -> tuple[Encoder, int]:
        """The encoder of a value that `by_header` does not hold, and where its datum starts. Raises `SchemaWaits`.

        `waited_seconds`: how long the record has waited for schemas already, also behind other records.
        """
        encoder = self._by_confluent_header.get(value[:CONFLUENT_HEADER_BYTES])
        if encoder is not None:
            return encoder, CONFLUENT_HEADER_BYTES
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
        if len(resolution.cache_key) == SINGLE_OBJECT_HEADER_BYTES:
            self.by_header[resolution.cache_key] = encoder
        elif len(resolution.cache_key) == CONFLUENT_HEADER_BYTES:
            self._by_confluent_header[resolution.cache_key] = encoder
        return encoder, resolution.start

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
            self._by_fingerprint[schema.fingerprint] = encoder
            self.event_types[encoder] = schema.event_type
        return encoder


def _rejecting(detail: str) -> Encoder:
    def reject(_value: bytes, _start: int) -> Encoding:
        return Rejected(detail)

    return reject
