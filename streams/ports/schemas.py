"""Places that know writers' schemas."""

from __future__ import annotations

from typing import Protocol

from streams.events.schema import WriterSchema


class SchemaSource(Protocol):
    """A place beside `avro/` that knows writers' schemas: a folder, the topic `streams.schemas`, a registry."""

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a value's header (10 bytes single-object, 5 Confluent); None if this place does not know it.

        Raises `SchemasUnavailable`.
        """
        ...
