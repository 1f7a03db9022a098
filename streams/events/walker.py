"""The hot path: reads Avro bytes by a table, directly into the properties that a destination sends.

The table is made once per writer's schema (`streams.events.walker_table`); `walk` runs once per event. The code is
plain typed Python, so that mypyc can compile it: no exec, no dynamic attributes. Unlike fastavro, it skips fields that
are not needed and makes no record of all fields first.

A datum is a sequence of fields in schema order. Varints are zigzag; a string is its length in bytes and its bytes; a
nullable field begins with its branch, 0 for null and 2 (zigzag of 1) for the value.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Final, final

from streams.events.schema import Undecodable

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled, such a number is one of the machine; else it is an int

STRING: Final = 0
LONG: Final = 1
BOOLEAN: Final = 2
FLOAT: Final = 3
DOUBLE: Final = 4
STRINGS: Final = 5
NULLABLE_STRINGS: Final = 6
TEXT_PROPERTY: Final = 10
TEXT_SKIPPED: Final = 11
"""Most fields are a string that is only a property, or a string that is not needed. So these have their own codes."""

DROP: Final = -1
ID: Final = 0
TIME: Final = 1
USER: Final = 2
"""The slots that every destination captures. A destination's own slots begin at `FIRST_FREE_SLOT`."""
FIRST_FREE_SLOT: Final = 3

NOT_SHORT: Final = 0b1000_0001
"""The bits that the first byte of a string's length has only if there is a second one, or if the length is negative."""
VARINT_BYTES_MAX: Final = 10
"""Ten groups of seven bits hold 64 bits. A longer varint is corrupt, and reading it would take quadratic time."""

PRESENT: Final = 1
MISSING: Final = 0
UNDECODABLE: Final = 2

NO_LIMIT: Final = 2**28
"""No value is as long. Python compares numbers below 2**30 the fastest."""

CORRUPT = (IndexError, UnicodeDecodeError, struct.error, OverflowError)
"""The exceptions, besides `Undecodable`, that corrupt bytes cause."""


@final
class Op:
    """One field: code, whether it is nullable, the property's key ("" for none), and the slot to capture it in or
    DROP."""

    __slots__ = ("code", "key", "nullable", "slot")

    def __init__(self, code: i64, nullable: bool, key: str, slot: i64) -> None:
        self.code = code
        self.nullable = nullable
        self.key = key
        self.slot = slot


def walk(
    value: bytes, start: int, ops: list[Op], properties: dict[str, Any], captured: list[Any], string_bytes_max: int
) -> int:
    """Fill `properties` and `captured` from the datum at `start`. Returns how many strings were cut.

    Nulls, empty strings, NaN, infinities and null items of arrays are left out; empty items stay. Strings of
    properties over `string_bytes_max` bytes (or `NO_LIMIT`) are cut on a character boundary. Raises `Undecodable` or
    one of `CORRUPT`. A length that is too large shows at the next field, or at the end by the datum's length.
    """
    at: i64 = start
    cuts = 0
    size_max: i64 = 2 * string_bytes_max
    for op in ops:
        size: i64 = value[at]  # or the branch, the flag, the first byte of a number
        at += 1
        if op.nullable:
            if size == 0:
                continue
            if size != 2:
                raise Undecodable("a union's branch is neither 0 nor 1")
            size = value[at]
            at += 1
        code = op.code
        if code == TEXT_PROPERTY:
            if size & NOT_SHORT:
                size, at = _size(value, at - 1)
            end = at + (size >> 1)
            if size > size_max:
                properties[op.key] = cut(value[at:end].decode(), string_bytes_max)
                cuts += 1
            elif size:
                properties[op.key] = value[at:end].decode()
            at = end
        elif code == TEXT_SKIPPED:
            if size & NOT_SHORT:
                size, at = _size(value, at - 1)
            at += size >> 1
        elif code == STRING:
            if size & NOT_SHORT:
                size, at = _size(value, at - 1)
            end = at + (size >> 1)
            if size:
                text = value[at:end].decode()
                captured[op.slot] = text
                if op.key:
                    if size > size_max:
                        text = cut(text, string_bytes_max)
                        cuts += 1
                    properties[op.key] = text
            at = end
        elif code == LONG:
            number, at = _varint(value, at - 1)
            number = (number >> 1) ^ -(number & 1)
            if op.slot >= 0:
                captured[op.slot] = number
            if op.key:
                properties[op.key] = number
        elif code == BOOLEAN:
            if size > 1:
                raise Undecodable("a boolean is neither 0 nor 1")
            if op.slot >= 0:
                captured[op.slot] = size == 1
            if op.key:
                properties[op.key] = size == 1
        elif code in (FLOAT, DOUBLE):
            at -= 1
            end = at + (4 if code == FLOAT else 8)
            if end > len(value):
                raise Undecodable("a number is cut off")
            real = shortest_float(value[at:end]) if code == FLOAT else _double(value, at)
            at = end
            if math.isfinite(real):
                if op.slot >= 0:
                    captured[op.slot] = real
                if op.key:
                    properties[op.key] = real
        else:
            items, at = _strings(value, at - 1, code == NULLABLE_STRINGS)
            if op.key and items:
                properties[op.key] = items
    if at != len(value):
        raise Undecodable("the datum's length does not fit its schema")
    return cuts


def cut(text: str, bytes_max: int) -> str:
    """The text, cut to this many bytes of UTF-8 on a character boundary."""
    return text.encode()[:bytes_max].decode(errors="ignore")


def presence(ops: list[Op], value: bytes, start: int) -> int:
    """Whether the event has a user that is not blank: PRESENT, MISSING or UNDECODABLE.

    The last of `ops` is the user's field. Fields after it are not read. Raises nothing.
    """
    at: i64 = start
    try:
        for op in ops:
            size: i64 = value[at]
            at += 1
            if op.nullable:
                if size == 0:
                    continue
                if size != 2:
                    return UNDECODABLE
                size = value[at]
                at += 1
            if op.code == TEXT_SKIPPED:
                if size & NOT_SHORT:
                    size, at = _size(value, at - 1)
                at += size >> 1
            elif op.slot >= 0:
                if size & NOT_SHORT:
                    size, at = _size(value, at - 1)
                end = at + (size >> 1)
                if end > len(value):
                    return UNDECODABLE
                return PRESENT if value[at:end].decode().strip() else MISSING
            else:
                at = _skip(op.code, value, at - 1)
    except UnicodeDecodeError:
        try:
            return presence(ops, repaired(ops, value, start)[0], 0)
        except (Undecodable, *CORRUPT):
            return UNDECODABLE
    except (Undecodable, *CORRUPT):
        return UNDECODABLE
    return UNDECODABLE if at > len(value) else MISSING


def user_text(ops: list[Op], value: bytes, start: int) -> str | None:
    """The text of the last field of `ops`, which is captured; None for null. Fields after it are not read.

    Raises `Undecodable` or one of `CORRUPT`.
    """
    at = start
    for op in ops:
        if op.nullable:
            branch = value[at]
            at += 1
            if branch == 0:
                continue
            if branch != 2:
                raise Undecodable("a union's branch is neither 0 nor 1")
        if op.code == TEXT_SKIPPED:
            size, at = _varint(value, at)
            at += size >> 1
        elif op.slot >= 0:
            return _string_bytes(value, at)[0].decode()
        else:
            at = _skip(op.code, value, at)
    return None


def _skip(code: i64, value: bytes, at: int) -> int:
    """Where a field ends that is not a string."""
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
    """The datum with U+FFFD in place of bytes that are not UTF-8, and how many strings had some.

    Used if `walk` found such bytes: an event is not rejected for one wrong byte. Strings that are not needed, and bytes
    after the fields of `ops`, stay as they are. Raises `Undecodable` or one of `CORRUPT`.
    """
    parts: list[bytes] = []
    at = start
    changed = 0
    for op in ops:
        code = op.code
        if op.nullable:
            at += 1
            if _is_null(value, at - 1, parts):
                continue
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


def _is_null(value: bytes, at: int, parts: list[bytes]) -> bool:
    """Append the branch of a union with null to `parts`; whether it is that of null."""
    branch = value[at]
    if branch not in (0, 2):
        raise Undecodable("a union's branch is neither 0 nor 1")
    parts.append(value[at : at + 1])
    return branch == 0


def _repaired_items(value: bytes, at: int, nullable: bool, parts: list[bytes]) -> tuple[int, int]:
    """Append an array of strings to `parts`, repaired. Returns how many strings were repaired, and where it ends."""
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
                at += 1
                if _is_null(value, at - 1, parts):
                    continue
            text, at = _string_bytes(value, at)
            changed += _append_repaired(text, parts)


def _append_repaired(text: bytes, parts: list[bytes]) -> int:
    """Append the text to `parts`, repaired. Returns 1 if it had bytes that are not UTF-8, else 0."""
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
    """The decimal number with the fewest digits that has this float32 value: 3.14, not 3.140000104904175."""
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


def _size(value: bytes, at: int) -> tuple[int, int]:
    """Twice the length of a string, as it is written at `at`, and where its bytes begin. It is no longer than the
    datum: it would not always fit a number of the machine."""
    size, at = _varint(value, at)
    if size & 1 or size > 2 * len(value):
        raise Undecodable("a string's length is negative, or reaches past the datum")
    return size, at


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
    """An array of strings without its nulls, and where it ends. Empty strings stay, because their place has a
    meaning."""
    items: list[str] = []
    while True:
        count, at = _varint(value, at)
        count = (count >> 1) ^ -(count & 1)
        if count == 0:
            return items, at
        if count < 0:  # a negative count is followed by the block's size in bytes
            count = -count
            _, at = _varint(value, at)
        for _ in range(count):  # each item takes a byte, so a wrong count fails at the end of the datum
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
