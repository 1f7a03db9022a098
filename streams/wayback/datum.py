"""Reads the fields of an event of the way back off its Avro bytes, twice as fast as fastavro: texts as bytes.

Only for what comes often and is nearly always good. It raises for whatever is unusual, and the caller reads the datum
once more with fastavro, which says what is wrong. Plain typed Python, so that mypyc can compile it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.events.schema import Kind, WriterSchema

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled, such a number is one of the machine; else it is an int

EVENT_FIELDS: Final = (
    ("id", Kind.STRING, False),
    ("entry", Kind.STRING, False),
    ("external_user_id", Kind.STRING, False),
    ("time", Kind.LONG, False),
    ("time_ms", Kind.LONG, False),
    ("received_ms", Kind.LONG, False),
    ("name", Kind.STRING, False),
    ("properties", Kind.STRING, False),
    ("platform", Kind.STRING, True),
)
"""Name, kind, and whether it may be null, of each field of `wayback.Event`, in their order."""

LENGTH_BYTES_MAX: Final = 4
"""Of the length of a text: no record that Kafka takes has a longer one."""
TIMES_BYTES: Final = 17
_number: Final = int.from_bytes
CONTINUED: Final = int.from_bytes(b"\x80" * TIMES_BYTES, "little")
THREE_TIMES: Final = int.from_bytes(b"\x80" * 4 + b"\0" + (b"\x80" * 5 + b"\0") * 2, "little")
"""Each byte of an Avro number but its last has the highest bit. From 1974 to 2039 a time in seconds takes five bytes,
and one in milliseconds six: so one comparison tells that `time`, `time_ms` and `received_ms` are such times."""


class Unusual(Exception):
    """The datum is not of these fields, or is not a datum, or its times are of another age."""


def has_event_fields(schema: WriterSchema) -> bool:
    """Whether `event_fields` reads what is written by this schema."""
    return tuple((field.name, field.kind, field.nullable) for field in schema.fields) == EVENT_FIELDS


def event_fields(value: bytes, start: int) -> tuple[bytes, bytes, bytes, int, bytes, bytes, bytes | None]:
    """Of the datum at `start`: id, entry, user, time_ms, name, properties, platform.

    Raises `Unusual`, or `IndexError` where bytes lack. Without a loop or a call for a field: each event is read here,
    and in plain Python these would cost as much as the rest.
    """
    length: i64 = value[start]
    at: i64 = start + 1
    if length > 127:
        length, at = _longer(value, at, length)
    negative: i64 = length  # the last bit of a number says so
    end: i64 = at + (length >> 1)
    event_id = value[at:end]

    length = value[end]
    at = end + 1
    if length > 127:
        length, at = _longer(value, at, length)
    negative |= length
    end = at + (length >> 1)
    entry = value[at:end]

    length = value[end]
    at = end + 1
    if length > 127:
        length, at = _longer(value, at, length)
    negative |= length
    end = at + (length >> 1)
    user = value[at:end]

    at = end + TIMES_BYTES
    if _number(value[end:at], "little") & CONTINUED != THREE_TIMES:
        raise Unusual
    time_ms: i64 = (
        (value[end + 5] & 127)
        | (value[end + 6] & 127) << 7
        | (value[end + 7] & 127) << 14
        | (value[end + 8] & 127) << 21
        | (value[end + 9] & 127) << 28
        | value[end + 10] << 35
    )
    negative |= time_ms

    length = value[at]
    at += 1
    if length > 127:
        length, at = _longer(value, at, length)
    negative |= length
    end = at + (length >> 1)
    name = value[at:end]

    length = value[end]
    at = end + 1
    if length > 127:
        length, at = _longer(value, at, length)
    negative |= length
    end = at + (length >> 1)
    properties = value[at:end]

    branch: i64 = value[end]
    end += 1
    platform: bytes | None = None
    if branch == 2:
        length = value[end]
        at = end + 1
        if length > 127:
            length, at = _longer(value, at, length)
        negative |= length
        end = at + (length >> 1)
        platform = value[at:end]
    elif branch != 0:
        raise Unusual
    if negative & 1 or end != len(value):
        raise Unusual
    return event_id, entry, user, time_ms >> 1, name, properties, platform


def _longer(value: bytes, at: i64, first: i64) -> tuple[i64, i64]:
    """A length of several bytes, of which the first was read, and where it ends."""
    number: i64 = first & 127
    shift: i64 = 7
    byte: i64 = first
    while byte > 127:
        if shift >= 7 * LENGTH_BYTES_MAX:
            raise Unusual
        byte = value[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
    return number, at
