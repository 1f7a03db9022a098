"""From a value's first bytes to its writer's schema: the shipped ones, then the sources that may learn more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streams.events.catalogue import canonical_name
from streams.events.encodings import (
    CONFLUENT_HEADER_BYTES,
    CONFLUENT_MARK,
    SINGLE_OBJECT_HEADER_BYTES,
    SINGLE_OBJECT_MARK,
)
from streams.events.schema import WriterSchema
from streams.events.schemas import SchemaBook
from streams.ports.clock import Clock
from streams.ports.kafka import Message
from streams.ports.schemas import SchemaSource

MISSED_HEADERS_MAX = 10_000
"""Corrupt values may carry ever new fingerprints: beyond this many, what was missed is forgotten."""
ASK_SECONDS = 1.0
"""How often the sources are asked again for one unknown schema."""


@dataclass(frozen=True, slots=True)
class Known:
    """The writer's schema and where the datum begins. `cache_key` is empty where the value alone does not tell."""

    schema: WriterSchema
    start: int
    cache_key: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """No source knows the schema. Until it `is_final` it may still arrive, and the partition waits."""

    detail: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The value is in none of the encodings."""

    detail: str


Resolution = Known | Unknown | Unreadable


class SchemaResolver:
    """Finds writers' schemas; remembers what it found for ever and what it missed since when."""

    def __init__(
        self,
        book: SchemaBook,
        sources: Sequence[SchemaSource],
        registry: SchemaSource | None,
        *,
        encoding: Literal["auto", "bare"],
        source_topic_prefix: str,
        unknown_schema_seconds_max: float,
        clock: Clock,
    ) -> None:
        self._book = book
        self._sources = sources
        self._registry = registry
        self._encoding = encoding
        self._prefix = source_topic_prefix
        self._unknown_schema_seconds_max = unknown_schema_seconds_max
        self._clock = clock
        self._by_confluent_id: dict[bytes, WriterSchema] = {}
        self._missed_at: dict[bytes, float] = {}
        self._asked_at: dict[bytes, float] = {}

    def resolve(self, value: bytes | None, topic: str, event_type: str | None) -> Resolution:
        """The schema of a record's value. `event_type` is what the header `streams-event-type` says, if it is there.

        Raises `SchemasUnavailable` while a registry that is needed does not answer.
        """
        if not value:
            return Unreadable("undecodable: the value is empty")
        if value[:2] == SINGLE_OBJECT_MARK and len(value) >= SINGLE_OBJECT_HEADER_BYTES:
            return self._resolve_single_object(value[:SINGLE_OBJECT_HEADER_BYTES])
        if self._encoding == "bare":
            return self._resolve_bare(topic, event_type)
        if value[:1] == CONFLUENT_MARK and len(value) >= CONFLUENT_HEADER_BYTES:
            return self._resolve_confluent(value[:CONFLUENT_HEADER_BYTES])
        return Unreadable("undecodable: the value is neither Avro single-object nor Confluent wire format")

    def ask_again(self) -> None:
        """Whoever knows of a schema that was added: what was missed is asked for at once."""
        self._missed_at.clear()
        self._asked_at.clear()

    def _resolve_single_object(self, header: bytes) -> Resolution:
        schema = self._book.by_fingerprint(header[2:])
        if schema is None:
            schema = self._ask(header, self._sources)
            if schema is None:
                return self._missed(header, f"unknown schema fingerprint {header[2:].hex()}")
            self._book.add(schema)
        return Known(schema, SINGLE_OBJECT_HEADER_BYTES, header)

    def _resolve_confluent(self, header: bytes) -> Resolution:
        if self._registry is None:
            return Unreadable("undecodable: Confluent wire format, and no source.schema_registry is configured")
        schema = self._by_confluent_id.get(header)
        if schema is None:
            schema = self._ask(header, (self._registry,))
            if schema is None:
                return self._missed(header, f"unknown schema id {int.from_bytes(header[1:], 'big')}")
            self._by_confluent_id[header] = schema
        return Known(schema, CONFLUENT_HEADER_BYTES, header)

    def _resolve_bare(self, topic: str, event_type: str | None) -> Resolution:
        named = topic.removeprefix(self._prefix) if topic.startswith(self._prefix) else event_type
        if not named:
            return Unreadable(
                f"undecodable: bare Avro needs a topic after {self._prefix} or a header that names its type"
            )
        schema = self._book.by_event_type(canonical_name(named))
        if schema is None:
            return Unreadable("undecodable: bare Avro of an event type that has no schema here")
        return Known(schema, 0, b"")

    def _ask(self, header: bytes, sources: Sequence[SchemaSource]) -> WriterSchema | None:
        now = self._clock.monotonic()
        if now - self._asked_at.get(header, float("-inf")) < ASK_SECONDS:
            return None
        self._asked_at[header] = now
        for source in sources:
            schema = source.find(header)
            if schema is not None:
                self._asked_at.pop(header, None)
                self._missed_at.pop(header, None)
                return schema
        return None

    def _missed(self, header: bytes, detail: str) -> Unknown:
        if len(self._missed_at) > MISSED_HEADERS_MAX:
            self._missed_at.clear()
            self._asked_at.clear()
        now = self._clock.monotonic()
        since = self._missed_at.setdefault(header, now)
        return Unknown(detail, now - since >= self._unknown_schema_seconds_max)


def event_type_header(message: Message) -> str | None:
    """What `streams-event-type` says; read only where the value cannot tell its type."""
    for name, value in reversed(message.headers() or ()):
        if name == "streams-event-type" and value:
            return value.decode("ascii", "replace")
    return None
