"""A writer's schema: event type, fingerprint and a flat list of fields."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import Any

import fastavro

NAMESPACE = "dataexport.S3.inner."
"""The part of a record's full name before the event type, in every record that Braze writes."""


_UNREADABLE = (
    ValueError, TypeError, LookupError, EOFError, ArithmeticError, struct.error, MemoryError, RecursionError,
)  # fmt: skip
"""The exceptions that fastavro raises on corrupt bytes; they depend on the kind of field."""


class Undecodable(ValueError):
    """The bytes do not fit the schema. The message never shows the bytes: they may be personal data."""


class Kind(IntEnum):
    """How a field is encoded in Avro. OTHER: the walker cannot read it; fastavro does."""

    STRING = 0
    LONG = 1  # Avro int and long share one encoding
    BOOLEAN = 2
    FLOAT = 3
    DOUBLE = 4
    STRINGS = 5  # array of string
    NULLABLE_STRINGS = 6  # array of (null | string)
    OTHER = 7


@dataclass(frozen=True, slots=True)
class Field:
    """One Avro field; `nullable` means the union [null, X] with null first."""

    name: str
    kind: Kind
    nullable: bool


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema that some writer used.

    `event_type` is the record's full name after `dataexport.S3.inner.`, in the catalogue's spelling if the catalogue
    has it. `fingerprint` is CRC-64-AVRO of the Parsing Canonical Form, 8 bytes little-endian, as in a single-object
    header. `definition` is the schema as parsed JSON; `parsed` is fastavro's form of it.
    """

    event_type: str
    fingerprint: bytes
    fields: tuple[Field, ...]
    definition: dict[str, Any]
    parsed: dict[str, Any]

    @property
    def is_walkable(self) -> bool:
        """Whether the walker reads every field (else fastavro decodes the record)."""
        return all(field.kind is not Kind.OTHER for field in self.fields)

    def decode(self, value: bytes, start: int) -> dict[str, Any]:
        """The record, decoded by fastavro, with U+FFFD for bytes that are not UTF-8. Raises `Undecodable`."""
        stream = BytesIO(value)
        stream.seek(start)
        try:
            record = fastavro.schemaless_reader(stream, self.parsed, None, handle_unicode_errors="replace")
        except _UNREADABLE as error:
            raise Undecodable(f"not a datum of its schema ({type(error).__name__})") from None
        if stream.tell() != len(value) or not isinstance(record, dict):
            raise Undecodable("the datum's length does not fit its schema")
        return record
