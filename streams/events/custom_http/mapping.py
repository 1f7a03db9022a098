"""One event over HTTP becomes one Avro record: `user` and `properties` flattened, and nothing lost.

What no field of the schema holds, or does not fit its field, goes into `streams_unknown` as it came. The datum is put
together from its fields' bytes, so the cost is that of the fields that an event has.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from streams.events.catalogue import CATALOGUE
from streams.events.custom_http.schemas import RENAMED, REQUIRED, UNKNOWN, catalogue_schema, event_type_of, generic
from streams.events.encodings import single_object_header
from streams.events.schema import Kind, WriterSchema

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
TYPES_MAX = 500
"""Unknown event types that one process learns: each costs a topic and a schema."""
TOO_DEEP = "it is nested too deeply"
_NULL = "\x00"
_VALUE = "\x02"
"""The branches of a nullable field. A datum is put together as text of which each character is one byte (`latin-1`):
for the ASCII that nearly all values are, nothing has to be encoded before the end."""
_BYTES = "latin-1"
_HEAD = frozenset({"event_type", "id", "time"})
_PLACES = frozenset({"user", "properties"})
_JSON_TEXT = "JSON object"
"""How the doc of a field begins whose text is JSON."""
_LENGTHS_MAX = 1024


class Unmapped(ValueError):
    """The event cannot become a record. The text says why, without any value of it."""


class Mapped(NamedTuple):
    """An event as a record: `value` in single-object encoding, under the key that files' records have."""

    schema: WriterSchema
    key: bytes | None
    value: bytes


def _varint(number: int) -> str:
    """Zigzag, as Avro writes int and long."""
    left = (number << 1) ^ (number >> 63)
    found = ""
    while left > 127:
        found += chr(left & 127 | 128)
        left >>= 7
    return found + chr(left)


_LENGTHS = [_varint(length) for length in range(_LENGTHS_MAX)]
_TEXT_PREFIXES = [_VALUE + length for length in _LENGTHS]
"""What stands before a nullable text, by its bytes."""


def _string(text: str) -> str:
    if not text.isascii():
        text = text.encode().decode(_BYTES)
    size = len(text)
    return (_LENGTHS[size] if size < _LENGTHS_MAX else _varint(size)) + text


def _strings(items: list[Any], nullable: bool) -> str | None:
    if not all(isinstance(item, str) or (nullable and item is None) for item in items):
        return None
    if not items:
        return _VALUE + _NULL
    found = [_VALUE, _varint(len(items))]
    for item in items:
        if nullable:
            found.append(_NULL if item is None else _VALUE + _string(item))
        else:
            found.append(_string(item))
    found.append(_NULL)
    return "".join(found)


def _fitting(value: Any, kind: int, is_json: bool) -> str | None:
    """A nullable field with this value; None where the value does not fit."""
    match value:
        case bool():
            return _VALUE + ("\x01" if value else "\x00") if kind == Kind.BOOLEAN else None
        case str():
            return _VALUE + _string(value) if kind == Kind.STRING else None
        case int() if kind == Kind.LONG:
            return _VALUE + _varint(value) if LONG_MIN <= value <= LONG_MAX else None
        case int() | float() if kind == Kind.DOUBLE:
            return _VALUE + struct.pack("<d", value).decode(_BYTES) if float(value) == value else None
        case list() if kind in (Kind.STRINGS, Kind.NULLABLE_STRINGS):
            return _strings(value, kind == Kind.NULLABLE_STRINGS)
        case dict() if is_json:
            return _json(value)
        case _:
            return None


def _json(value: dict[str, Any]) -> str:
    try:
        return _VALUE + _string(orjson.dumps(value).decode())
    except TypeError:
        raise Unmapped(TOO_DEEP) from None


def _key(user: Mapping[str, Any]) -> bytes | None:
    """The key that records of files have, too: so a user's records are on one partition."""
    for name in ("external_user_id", "user_id"):
        if (text := user.get(name)) and isinstance(text, str):
            return text.encode()
    return None


class TypeMapping:
    """Makes records of one event type."""

    def __init__(self, schema: WriterSchema) -> None:
        self.schema = schema
        self._header = single_object_header(schema).decode(_BYTES)
        self._blank = [_NULL] * len(schema.fields)
        docs = {field["name"]: str(field.get("doc", "")) for field in schema.definition["fields"]}
        places = {field.name: index for index, field in enumerate(schema.fields)}
        self._id, self._time, self._unknown = places["id"], places["time"], places[UNKNOWN]
        self._slots = {
            field.name: (places[field.name], int(field.kind), docs[field.name].startswith(_JSON_TEXT))
            for field in schema.fields
            if field.name not in (*REQUIRED, UNKNOWN)
        }
        for over_http, name in RENAMED.items():
            if name in self._slots:
                self._slots.setdefault(over_http, self._slots[name])
        self._texts = {name: index for name, (index, kind, _) in self._slots.items() if kind == Kind.STRING}

    def record(self, event: Mapping[str, Any]) -> Mapped:
        """The event as a record. Raises `Unmapped`."""
        parts = self._blank.copy()
        unknown: dict[str, Any] = {}
        parts[self._id] = _string(event["id"])
        parts[self._time] = _varint(event["time"])
        key: bytes | None = None
        for place, fields in event.items():
            if place in _HEAD:
                continue
            if place in _PLACES and fields.__class__ is dict:
                self._fill(place, fields, parts, unknown)
                if place == "user":
                    key = _key(fields)
            elif fields is not None:
                unknown[place] = fields
        if unknown:
            parts[self._unknown] = _json(unknown)
        return Mapped(self.schema, key, (self._header + "".join(parts)).encode(_BYTES))

    def _fill(self, place: str, fields: dict[str, Any], parts: list[str], unknown: dict[str, Any]) -> None:
        """Nearly every field is a short text that no other place has: that way is written out."""
        texts, prefixes = self._texts, _TEXT_PREFIXES
        for name, value in fields.items():
            if value.__class__ is str and (index := texts.get(name)) is not None and parts[index] is _NULL:
                size = len(value)
                is_short = size < _LENGTHS_MAX and value.isascii()
                parts[index] = prefixes[size] + value if is_short else _VALUE + _string(value)
            elif value is not None:  # null is as where the field is absent
                self._place(place, name, value, parts, unknown)

    def _place(self, place: str, name: str, value: Any, parts: list[str], unknown: dict[str, Any]) -> None:
        slot = self._slots.get(name)
        if slot is not None:
            index, kind, is_json = slot
            encoded = _fitting(value, kind, is_json)
            if encoded is not None and (parts[index] is _NULL or parts[index] == encoded):
                parts[index] = encoded
                return
        unknown[f"{place}.{name}"] = value


class EventMappings:
    """Makes records of events of any type; one thread uses it."""

    def __init__(self) -> None:
        self._mappings: dict[str, TypeMapping] = {}
        self._learned = 0

    def record(self, event: Any) -> Mapped:
        """The event as a record. Raises `Unmapped`."""
        if not isinstance(event, dict):
            raise Unmapped("it is not a JSON object")
        text = event.get("event_type")
        mapping = self._mappings.get(text) if isinstance(text, str) else None
        if mapping is None:
            mapping = self._new(text)
        identity, time = event.get("id"), event.get("time")
        if not isinstance(identity, str) or not identity:
            raise Unmapped("it has no id: expected a text")
        if not isinstance(time, int) or isinstance(time, bool) or not LONG_MIN <= time <= LONG_MAX:
            raise Unmapped("it has no time: expected seconds since 1970, a whole number")
        return mapping.record(event)

    def _new(self, text: Any) -> TypeMapping:
        if not isinstance(text, str) or not text:
            raise Unmapped("it has no event_type: expected a text")
        name = event_type_of(text)
        if name is None:
            raise Unmapped("its event_type can be no name in Avro")
        schema = catalogue_schema(name) if name in CATALOGUE else None
        if schema is None or text != name:  # spellings of known types are counted, too: they come from outside
            if self._learned >= TYPES_MAX:
                raise Unmapped(f"this process has seen {TYPES_MAX} unknown event types already")
            self._learned += 1
        mapping = self._mappings[text] = TypeMapping(schema or generic(name))
        return mapping
