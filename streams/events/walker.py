"""Reads Avro bytes by a table, straight into what a destination needs: the hot path.

`plan` is made once per writer's schema; `walk` runs once per event. Plain typed Python that mypyc compiles as it is:
no exec, no dynamic attributes. Measured against fastavro, it skips what nobody wants and builds no record first.

A datum is a sequence of fields in schema order. Varints are zigzag; a string is its length in bytes and its bytes; a
nullable field begins with its branch, 0 for null and 2 (zigzag of 1) for the value.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from streams.events.schema import Field, Kind, Undecodable
from streams.events.source import EventSource

STRING: Final = 0
LONG: Final = 1
BOOLEAN: Final = 2
FLOAT: Final = 3
DOUBLE: Final = 4
STRINGS: Final = 5
NULLABLE_STRINGS: Final = 6
TEXT_PROPERTY: Final = 10
TEXT_SKIPPED: Final = 11
"""A string that is only a property, and one that nobody wants: most fields are, so they have codes of their own."""

DROP: Final = -1
ID: Final = 0
TIME: Final = 1
USER: Final = 2
"""The slots that every destination captures; its own begin at `FIRST_FREE_SLOT`."""
FIRST_FREE_SLOT: Final = 3

VARINT_BYTES_MAX: Final = 10
"""Ten groups of seven bits hold 64 bits; a longer one is corrupt, and would cost quadratic time."""

PRESENT: Final = 1
MISSING: Final = 0
UNDECODABLE: Final = 2

USER_FIELD: Final = "external_user_id"

Op = tuple[int, bool, str, int]
"""One field: code, whether it is nullable, the property's key ("" for none), and the slot to capture it in or DROP."""

NO_LIMIT: Final = 2**60

CORRUPT = (IndexError, UnicodeDecodeError, struct.error, OverflowError)
"""What walking corrupt bytes raises beside `Undecodable`."""

SLOT_KINDS: Mapping[str, Kind] = {"time": Kind.LONG}
"""What a captured field must be, where it is no string; a writer's field of another kind counts as missing."""

_TYPES: Mapping[int, type] = {STRING: str, LONG: int, BOOLEAN: bool, FLOAT: float, DOUBLE: float}


def plan(
    source: EventSource,
    properties: Mapping[str, str],
    slots: Mapping[str, int],
    kinds: Mapping[str, Kind] = SLOT_KINDS,
) -> list[Op]:
    """The table for a writer's schema.

    `properties` maps Avro fields to the keys they are sent under, `slots` Avro fields to captured slots; a field may
    be in both. Every other field is skipped. `kinds` says which captured fields are no strings.
    """
    return [
        _op(field, properties.get(field.name, ""), slots.get(field.name, DROP), kinds.get(field.name, Kind.STRING))
        for field in source.fields
    ]


def _op(field: Field, key: str, slot: int, kind: Kind) -> Op:
    if field.kind is Kind.OTHER:  # only `pick` reads it, and wants to know what the slot takes
        return int(kind), field.nullable, key, slot
    if field.kind is not kind:
        slot = DROP
    if field.kind is Kind.STRING and slot == DROP:
        return (TEXT_PROPERTY if key else TEXT_SKIPPED), field.nullable, key, slot
    return int(field.kind), field.nullable, key, slot


def walk(
    value: bytes, start: int, ops: list[Op], properties: dict[str, Any], captured: list[Any], string_bytes_max: int
) -> int:
    """Fill `properties` and `captured` from the datum at `start`; gives how many strings were cut.

    Nulls, empty strings, NaN and infinities are left out, null items of arrays too (empty ones stay). Strings of
    properties over `string_bytes_max` bytes (or `NO_LIMIT`) are cut on a character boundary. Raises `Undecodable` or
    one of `CORRUPT`. A length that reaches past the end is found at the next field, or by the datum's length at last.
    """
    at = start
    cuts = 0
    size_max = 2 * string_bytes_max
    for code, nullable, key, slot in ops:
        if nullable:
            branch = value[at]
            at += 1
            if branch == 0:
                continue
            if branch != 2:
                raise Undecodable("a union's branch is neither 0 nor 1")
        if code == TEXT_PROPERTY:
            size = value[at]
            at += 1
            if size > 127:
                size, at = _varint(value, at - 1)
            if size & 1:
                raise Undecodable("a length is negative")
            end = at + (size >> 1)
            if size > size_max:
                properties[key] = cut(value[at:end].decode(), string_bytes_max)
                cuts += 1
            elif size:
                properties[key] = value[at:end].decode()
            at = end
        elif code == TEXT_SKIPPED:
            size = value[at]
            at += 1
            if size > 127:
                size, at = _varint(value, at - 1)
            if size & 1:
                raise Undecodable("a length is negative")
            at += size >> 1
        elif code == STRING:
            size, at = _varint(value, at)
            if size & 1:
                raise Undecodable("a length is negative")
            end = at + (size >> 1)
            if size:
                text = value[at:end].decode()
                captured[slot] = text
                if key:
                    if size > size_max:
                        text = cut(text, string_bytes_max)
                        cuts += 1
                    properties[key] = text
            at = end
        elif code == LONG:
            number, at = _varint(value, at)
            number = (number >> 1) ^ -(number & 1)
            if slot >= 0:
                captured[slot] = number
            if key:
                properties[key] = number
        elif code == BOOLEAN:
            flag = value[at]
            at += 1
            if flag > 1:
                raise Undecodable("a boolean is neither 0 nor 1")
            if slot >= 0:
                captured[slot] = flag == 1
            if key:
                properties[key] = flag == 1
        elif code in (FLOAT, DOUBLE):
            width = 4 if code == FLOAT else 8
            if at + width > len(value):
                raise Undecodable("a number is cut off")
            real = shortest_float(value[at : at + 4]) if code == FLOAT else _double(value, at)
            at += width
            if math.isfinite(real):
                if slot >= 0:
                    captured[slot] = real
                if key:
                    properties[key] = real
        else:
            items, at = _strings(value, at, code == NULLABLE_STRINGS)
            if key and items:
                properties[key] = items
    if at != len(value):
        raise Undecodable("the datum's length does not fit its schema")
    return cuts


def cut(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8, on a character boundary."""
    return text.encode()[:bytes_max].decode(errors="ignore")


def pick(
    record: Mapping[str, Any],
    source: EventSource,
    ops: list[Op],
    properties: dict[str, Any],
    captured: list[Any],
    string_bytes_max: int,
) -> int:
    """The same as `walk` from a record that fastavro decoded: for schemas with fields that the walker does not read."""
    cuts = 0
    for field, (code, _, key, slot) in zip(source.fields, ops, strict=True):
        item = record.get(field.name)
        if isinstance(item, list):
            item = [element for element in item if _is_scalar(element)]
        if item is None or item == "" or item == [] or not isinstance(item, str | int | float | bool | list):
            continue
        if isinstance(item, float):
            if not math.isfinite(item):
                continue
            if field.kind == Kind.FLOAT:
                item = shortest_float(struct.pack("<f", item))
        if slot >= 0 and type(item) is _TYPES.get(code):
            captured[slot] = item
        if key:
            if isinstance(item, str) and len(item) * 4 > string_bytes_max and len(item.encode()) > string_bytes_max:
                item = cut(item, string_bytes_max)
                cuts += 1
            properties[key] = item
    return cuts


def _is_scalar(item: Any) -> bool:
    """Whether an item of an array can be sent: no null, no number that JSON lacks, nothing nested."""
    if isinstance(item, float):
        return math.isfinite(item)
    return isinstance(item, str | int)


def presence_reader(source: EventSource) -> Callable[[bytes, int], int]:
    """A function of a value and its datum's start that tells whether the event has a user that is not blank.

    It gives PRESENT, MISSING or UNDECODABLE, never raises, and reads no further than the user.
    """
    names = [field.name for field in source.fields]
    if USER_FIELD not in names:
        return lambda _value, _start: MISSING
    ops = plan(source, {}, {USER_FIELD: 0})[: names.index(USER_FIELD) + 1]
    if any(field.kind is Kind.OTHER for field in source.fields[: len(ops)]):
        return lambda value, start: _decoded_presence(source, value, start)

    return partial(_presence, ops)


def _decoded_presence(source: EventSource, value: bytes, start: int) -> int:
    try:
        user = source.decode(value, start).get(USER_FIELD)
    except Undecodable:
        return UNDECODABLE
    return PRESENT if isinstance(user, str) and user.strip() else MISSING


def _presence(ops: list[Op], value: bytes, start: int) -> int:
    at = start
    try:
        for code, nullable, _, slot in ops:
            if nullable:
                branch = value[at]
                at += 1
                if branch == 0:
                    continue
                if branch != 2:
                    return UNDECODABLE
            if code == TEXT_SKIPPED:
                size = value[at]
                at += 1
                if size > 127:
                    size, at = _varint(value, at - 1)
                if size & 1:
                    return UNDECODABLE
                at += size >> 1
            elif slot >= 0:
                size, at = _varint(value, at)
                end = at + (size >> 1)
                if size & 1 or end > len(value):
                    return UNDECODABLE
                return PRESENT if value[at:end].decode().strip() else MISSING
            else:
                at = _skip(code, value, at)
    except UnicodeDecodeError:
        try:
            return _presence(ops, repaired(ops, value, start)[0], 0)
        except (Undecodable, *CORRUPT):
            return UNDECODABLE
    except (Undecodable, *CORRUPT):
        return UNDECODABLE
    return UNDECODABLE if at > len(value) else MISSING


def _skip(code: int, value: bytes, at: int) -> int:
    """Where a field that is no string ends."""
    if code == LONG:
        return _varint(value, at)[1]
    if code == BOOLEAN:
        return at + 1
    if code == FLOAT:
        return at + 4
    if code == DOUBLE:
        return at + 8
    return _strings(value, at, code == NULLABLE_STRINGS)[1]


def repaired(ops: list[Op], value: bytes, start: int) -> tuple[bytes, int]:
    """The datum with U+FFFD for bytes that are no UTF-8, and how many strings had some.

    For a datum that `walk` found such bytes in: one wrong byte must not cost the event. Strings that nobody wants, and
    what comes after the fields of `ops`, stay as they are. Raises `Undecodable` or one of `CORRUPT`.
    """
    parts: list[bytes] = []
    at = start
    changed = 0
    for code, nullable, _, _ in ops:
        if nullable:
            branch = value[at]
            parts.append(value[at : at + 1])
            at += 1
            if branch == 0:
                continue
            if branch != 2:
                raise Undecodable("a union's branch is neither 0 nor 1")
        if code in (TEXT_PROPERTY, STRING):
            text, at = _string_bytes(value, at)
            changed += _append_repaired(text, parts)
        elif code in (STRINGS, NULLABLE_STRINGS):
            more, at = _repaired_items(value, at, code == NULLABLE_STRINGS, parts)
            changed += more
        else:
            end = _string_bytes(value, at)[1] if code == TEXT_SKIPPED else _skip(code, value, at)
            parts.append(value[at:end])
            at = end
    if at > len(value):
        raise Undecodable("the datum's length does not fit its schema")
    parts.append(value[at:])
    return b"".join(parts), changed


def _repaired_items(value: bytes, at: int, nullable: bool, parts: list[bytes]) -> tuple[int, int]:
    """Appends an array of strings to `parts`, repaired; gives how many were, and where it ends."""
    changed = 0
    while True:
        count, at = _varint(value, at)
        count = (count >> 1) ^ -(count & 1)
        if count == 0:
            parts.append(b"\0")
            return changed, at
        if count < 0:
            count = -count
            _, at = _varint(value, at)
        parts.append(_packed(count << 1))
        for _ in range(count):
            if nullable:
                branch = value[at]
                parts.append(value[at : at + 1])
                at += 1
                if branch == 0:
                    continue
                if branch != 2:
                    raise Undecodable("a union's branch is neither 0 nor 1")
            text, at = _string_bytes(value, at)
            changed += _append_repaired(text, parts)


def _append_repaired(text: bytes, parts: list[bytes]) -> int:
    """1 where the text had bytes that are no UTF-8."""
    good = text.decode(errors="replace").encode()
    parts.append(_packed(len(good) << 1))
    parts.append(good)
    return 0 if good == text else 1


def _string_bytes(value: bytes, at: int) -> tuple[bytes, int]:
    """A string's bytes, and where it ends."""
    size, at = _varint(value, at)
    end = at + (size >> 1)
    if size & 1 or end > len(value):
        raise Undecodable("a string's length is negative, or reaches past the datum")
    return value[at:end], end


def _packed(number: int) -> bytes:
    """An unsigned varint."""
    packed = bytearray()
    while number > 127:
        packed.append(number & 127 | 128)
        number >>= 7
    packed.append(number)
    return bytes(packed)


def shortest_float(packed: bytes) -> float:
    """The decimal number with fewest digits that is this float32: 3.14, not 3.140000104904175."""
    real: float = struct.unpack("<f", packed)[0]
    if not math.isfinite(real):
        return real
    for digits in (6, 7, 8):
        short = float(f"{real:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return float(f"{real:.9g}")


def _double(value: bytes, at: int) -> float:
    real: float = struct.unpack_from("<d", value, at)[0]
    return real


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint at `at`, and where it ends."""
    number = value[at]
    at += 1
    if number < 128:
        return number, at
    number &= 127
    shift = 7
    while shift < 7 * VARINT_BYTES_MAX:
        byte = value[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> 64:
                raise Undecodable("a varint holds more than 64 bits")
            return number, at
        shift += 7
    raise Undecodable("a varint is longer than 10 bytes")


def _strings(value: bytes, at: int, nullable: bool) -> tuple[list[str], int]:
    """An array of strings without its nulls, and where it ends. Empty ones stay: their place says something."""
    items: list[str] = []
    while True:
        count, at = _varint(value, at)
        count = (count >> 1) ^ -(count & 1)
        if count == 0:
            return items, at
        if count < 0:  # a negative count is followed by the block's size in bytes
            count = -count
            _, at = _varint(value, at)
        for _ in range(count):  # each item takes a byte, so a count that cannot be ends with the datum
            if nullable:
                branch = value[at]
                at += 1
                if branch == 0:
                    continue
                if branch != 2:
                    raise Undecodable("a union's branch is neither 0 nor 1")
            size, at = _varint(value, at)
            if size & 1:
                raise Undecodable("a length is negative")
            end = at + (size >> 1)
            if end > len(value):
                raise Undecodable("a string is longer than the datum")
            items.append(value[at:end].decode())
            at = end
