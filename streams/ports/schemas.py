"""Places that know writers' schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from streams.events.schema import WriterSchema


@dataclass(frozen=True, slots=True)
class NoSchema:
    """A place answered, and there is nothing to read records with. `detail` holds the place's own words.

    `not-yet`: the schema is not registered, which may change. `never`: the source refuses this id, and always will.
    `unreadable`: it is known, and is no schema that events are read with.
    """

    detail: str
    verdict: Literal["not-yet", "never", "unreadable"]


class SchemaSource(Protocol):
    """A source of writers' schemas in addition to `avro/`: a folder, the topic `streams.schemas`, a registry."""

    def find(self, header: bytes) -> WriterSchema | NoSchema | None:
        """The schema of a value's header (10 bytes single-object, 5 Confluent); None if this place does not know it.

        Raises `SchemasUnavailable`: an outage, which says nothing about the schema.
        """
        ...
