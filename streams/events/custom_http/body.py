"""The body of a request over HTTP: its events, and the bytes of those that cannot be taken, as they came."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

MARKS_LEAST = 200_000
BYTES_PER_MARK = 12
"""Objects, lists and fields of a large body are longer on average; each costs some 100 bytes of memory once it is read.
The largest event that Braze sends has 900 KB."""


_SPACE = " \t\n\r"
_HALVES = re.compile("[\ud800-\udfff]")
"""Of surrogate pairs: JSON can spell one alone, and UTF-8 cannot hold it."""


class Unreadable(ValueError):
    """Nothing of the body can be taken. The text says why, without any value of it."""


class TooManyItems(ValueError):
    """The body is small as bytes, and too large for the memory once it is read."""


def events_in(body: bytes) -> list[Any]:
    """The items of `events`, unchecked; none where the body only checks the credentials.

    Raises `Unreadable`, and `TooManyItems` before anything is read.
    """
    size = len(body)
    if size > MARKS_LEAST and body.count(b"{") + body.count(b"[") + body.count(b",") > max(
        MARKS_LEAST, size // BYTES_PER_MARK
    ):
        raise TooManyItems
    if not body.strip():
        return []
    content = _json(body)
    if content == {}:
        return []
    if not isinstance(content, dict) or not isinstance(content.get("events"), list):
        raise Unreadable("the body has no list of events")
    events: list[Any] = content["events"]
    return events


def only_checks(body: bytes) -> bool:
    """Whether a body has no events and no data at all: Braze sends such a one to test the credentials."""
    try:
        return not events_in(body)
    except (Unreadable, TooManyItems):
        return False


@dataclass(frozen=True, slots=True)
class RawItems:
    """The bytes of each item of `events`, as they came. Found again only where an item cannot be taken."""

    body: bytes
    events: Sequence[Any]

    def at(self, numbers: Sequence[int]) -> list[bytes]:
        """The bytes of the items with these numbers; where they cannot be found, the item as JSON."""
        found = _slices(self.body)
        if len(found) != len(self.events):
            return [json.dumps(self.events[number]).encode() for number in numbers]
        return [found[number] for number in numbers]


def _json(body: bytes) -> Any:
    """JSON as strict as it can be; bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        content = json.loads(body.decode(errors="replace"), strict=False, parse_constant=_no_number)
        return json.loads(_HALVES.sub("\ufffd", json.dumps(content, ensure_ascii=False)))
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def _no_number(_name: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")


def _slices(body: bytes) -> list[bytes]:
    """The bytes of each item of the last `events`; none where they cannot be found."""
    text = body.decode(errors="surrogateescape")
    decoder = json.JSONDecoder(strict=False)
    found: list[bytes] = []
    try:
        at = _after(text, 0, "{")
        while True:
            name, at = decoder.raw_decode(text, _skipped(text, at))
            at = _skipped(text, _after(text, at, ":"))
            if name == "events" and text[at] == "[":
                found, at = _items(text, at, decoder)
            else:
                _, at = decoder.raw_decode(text, at)
            at = _skipped(text, at)
            if text[at] != ",":
                return found
            at += 1
    except (ValueError, IndexError, RecursionError):
        return []


def _items(text: str, at: int, decoder: json.JSONDecoder) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    at = _skipped(text, at + 1)
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].encode(errors="surrogateescape"))
        at = _skipped(text, end)
        if text[at] == ",":
            at = _skipped(text, at + 1)
    return found, at + 1


def _after(text: str, at: int, mark: str) -> int:
    at = _skipped(text, at)
    if text[at] != mark:
        raise ValueError(f"expected {mark}")
    return at + 1


def _skipped(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at
