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
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.ports.schemas import NoSchema, SchemaSource

MISSED_HEADERS_MAX = 10_000
"""Corrupt values can have any fingerprint. After this many unknown ones, all of them are forgotten."""
ASK_SECONDS = 1.0
"""The sources are asked for an unknown schema at most this often. In between, the last answer is used."""
ASKING_WINDOW_SECONDS = 10.0
ASKING_SECONDS_MAX = 3.0
"""How long asking may take in each window: the caller has an open transaction, and Kafka ends it after 10 s."""


@dataclass(frozen=True, slots=True)
class Known:
    """The writer's schema, and where the datum begins. `cache_key` is empty if the value alone does not tell the
    schema."""

    schema: WriterSchema
    start: int
    cache_key: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """No source knows the schema. If not `is_final`, it may still arrive: the partition waits."""

    detail: str
    is_final: bool


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The value is in none of the encodings."""

    detail: str


Resolution = Known | Unknown | Unreadable


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the sources said of one header, and when (seconds of the monotonic clock)."""

    at: float
    said: NoSchema | SchemasUnavailable | None


class SchemaResolver:
    """Finds writers' schemas. Remembers the schemas that it found, and since when others are missing."""

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
        """`unknown_schema_seconds_max` is 0 for a command, which does not wait: an unknown schema is final at once."""
        self._book = book
        self._sources = sources
        self._registry = registry
        self._encoding = encoding
        self._prefix = source_topic_prefix
        self._unknown_schema_seconds_max = unknown_schema_seconds_max
        self._clock = clock
        self._by_confluent_id: dict[bytes, WriterSchema] = {}
        self._missed_at: dict[bytes, float] = {}
        self._answers: dict[bytes, _Answer] = {}
        self._window_began = float("-inf")
        self._asking_seconds = 0.0

    def resolve(
        self, value: bytes | None, topic: str, event_type: str | None, waited_seconds: float = 0.0
    ) -> Resolution:
        """The schema of a record's value. `event_type` is what the header `streams-event-type` says, if it is there.

        `waited_seconds`: how long the record has waited already, behind another one of its partition. Raises
        `SchemasUnavailable` while a place that is needed does not answer.
        """
        if not value:
            return Unreadable("undecodable: the value is empty")
        if value[:2] == SINGLE_OBJECT_MARK and len(value) >= SINGLE_OBJECT_HEADER_BYTES:
            return self._resolve_single_object(value[:SINGLE_OBJECT_HEADER_BYTES], waited_seconds)
        if self._encoding == "bare":
            return self._resolve_bare(topic, event_type)
        if value[:1] == CONFLUENT_MARK and len(value) >= CONFLUENT_HEADER_BYTES:
            return self._resolve_confluent(value[:CONFLUENT_HEADER_BYTES], waited_seconds)
        return Unreadable("undecodable: the value is neither Avro single-object nor Confluent wire format")

    def ask_again(self) -> None:
        """Forget which schemas were not found: one may have been added, so they are asked for at once."""
        self._missed_at.clear()
        self._answers.clear()

    def _resolve_single_object(self, header: bytes, waited_seconds: float) -> Resolution:
        schema = self._book.by_fingerprint(header[2:])
        if schema is None:
            found = self._ask(header, self._sources)
            if not isinstance(found, WriterSchema):
                return self._missed(header, f"schema fingerprint {header[2:].hex()}", found, waited_seconds)
            schema = found
            self._book.add(schema)
        return Known(schema, SINGLE_OBJECT_HEADER_BYTES, header)

    def _resolve_confluent(self, header: bytes, waited_seconds: float) -> Resolution:
        if self._registry is None:
            return Unreadable("undecodable: Confluent wire format, and no source.schema_registry is configured")
        schema = self._by_confluent_id.get(header)
        if schema is None:
            found = self._ask(header, (self._registry,))
            if not isinstance(found, WriterSchema):
                return self._missed(header, f"schema id {int.from_bytes(header[1:], 'big')}", found, waited_seconds)
            schema = self._by_confluent_id[header] = found
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

    def _ask(self, header: bytes, sources: Sequence[SchemaSource]) -> WriterSchema | NoSchema | None:
        """The answer of the sources. If they were asked a moment ago, their last answer, also if it was an outage."""
        now = self._clock.monotonic()
        last = self._answers.get(header)
        if last is not None and now - last.at < ASK_SECONDS:
            if isinstance(last.said, SchemasUnavailable):
                raise SchemasUnavailable(str(last.said))
            return last.said
        self._require_time(now)
        try:
            found = _first(header, sources)
        except SchemasUnavailable as outage:
            self._remember(header, outage, now)
            raise
        if isinstance(found, WriterSchema):
            self._answers.pop(header, None)
            self._missed_at.pop(header, None)
        else:
            self._remember(header, found, now)
        return found

    def _require_time(self, now: float) -> None:
        """Raises `SchemasUnavailable` if asking already took the time that it may take in this window."""
        if now - self._window_began >= ASKING_WINDOW_SECONDS:
            self._window_began, self._asking_seconds = now, 0.0
        if self._unknown_schema_seconds_max > 0.0 and self._asking_seconds >= ASKING_SECONDS_MAX:
            raise SchemasUnavailable("schemas are asked for again in a moment: the last answers came slowly")

    def _remember(self, header: bytes, said: NoSchema | SchemasUnavailable | None, asked_at: float) -> None:
        now = self._clock.monotonic()
        self._asking_seconds += now - asked_at
        if len(self._answers) > MISSED_HEADERS_MAX:
            self._answers.clear()
        self._answers[header] = _Answer(now, said)

    def _missed(self, header: bytes, name: str, said: NoSchema | None, waited_seconds: float) -> Unknown | Unreadable:
        words = f": {said.detail}" if said is not None else ""
        if said is not None and said.verdict == "unreadable":
            return Unreadable(f"undecodable: {name}{words}")
        if len(self._missed_at) > MISSED_HEADERS_MAX:
            self._missed_at.clear()
        now = self._clock.monotonic()
        waited = max(now - self._missed_at.setdefault(header, now), waited_seconds)
        is_final = waited >= self._unknown_schema_seconds_max or (said is not None and said.verdict == "never")
        return Unknown(f"unknown {name}{words}", is_final)


def _first(header: bytes, sources: Sequence[SchemaSource]) -> WriterSchema | NoSchema | None:
    """The first schema that a source has; else the first reason that a source gives."""
    said: NoSchema | None = None
    for source in sources:
        found = source.find(header)
        if isinstance(found, WriterSchema):
            return found
        said = said or found
    return said


def event_type_header(message: Message) -> str | None:
    """The header `streams-event-type`. It is read only if the value cannot tell its type."""
    for name, value in reversed(message.headers() or ()):
        if name == "streams-event-type" and value:
            return value.decode("ascii", "replace")
    return None
