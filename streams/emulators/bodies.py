"""Reads a request's body: unpacks gzip, checks the size, parses a JSON array or one object per line. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
from isal import isal_zlib
from isal.igzip_lib import IsalError

GZIP_WINDOW_BITS = 31
"""15 bits of window, 16 for gzip's header and trailer."""

INTEGER_DIGITS_MAX = 20
"""Longer ones need more than 64 bits."""
NESTING_MAX = 100
"""How deep objects and arrays may be nested: far more than a vendor takes, and few enough to serialise again."""


class Unreadable(Exception):
    """The body holds no events that can be read. The text is for the answer."""


class TooLarge(Exception):
    """The unpacked body is larger than a request may be."""


def unpacked(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The body without its `Content-Encoding`. Never unpacks more than `bytes_max`.

    Raises `TooLarge`, and `Unreadable` for broken gzip or another encoding.
    """
    if encoding in ("", "identity"):
        if len(body) > bytes_max:
            raise TooLarge
        return body
    if encoding != "gzip":
        raise Unreadable("unsupported Content-Encoding: only gzip is supported")
    # One gzip file may consist of several members.
    parts: list[bytes] = []
    room = bytes_max + 1
    while body:
        unpacking = isal_zlib.decompressobj(GZIP_WINDOW_BITS)
        try:
            part = unpacking.decompress(body, room)
        except IsalError:  # type: ignore[misc]  # declared as a value by its stub
            raise Unreadable("body is not valid gzip") from None
        parts.append(part)
        room -= len(part)
        if room <= 0:
            raise TooLarge
        if not unpacking.eof:
            raise Unreadable("body is not valid gzip: it ends early")
        body = unpacking.unused_data
    return b"".join(parts)


def events(body: bytes, content_type: str) -> list[Any]:
    """The events of an unpacked body. Each may be any JSON value. Raises `Unreadable`."""
    if content_type.partition(";")[0].strip().lower() == "application/x-ndjson":
        found = [_parsed(line) for line in body.split(b"\n") if line.strip()]
    else:
        found = _parsed(body)
        if not isinstance(found, list):
            raise Unreadable("body must be a JSON array of events")
    if not found:
        raise Unreadable("body holds no events")
    if is_nested_deeper(found, NESTING_MAX):
        raise Unreadable(f"body is nested deeper than {NESTING_MAX} levels")
    return found


def is_nested_deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays are nested deeper than `levels`."""
    layer: list[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return bool(layer)


def _parsed(text: bytes) -> Any:
    """Parsed JSON. Bytes that are not UTF-8 stay visible in strings, so that only the events that have some are
    refused."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            characters = text.decode("utf-8", "surrogateescape")
            return json.loads(characters, parse_constant=_no_constant, parse_int=_number, parse_float=_finite)
        except (ValueError, RecursionError):
            raise Unreadable("body is not valid JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("number does not fit into 64 bits")
    return number


def _number(digits: str) -> int | float:
    """An integer, or a float if it does not fit into 64 bits, as orjson does."""
    number = int(digits) if len(digits) <= INTEGER_DIGITS_MAX else _finite(digits)
    return number if -(2**63) <= number < 2**64 else float(number)
