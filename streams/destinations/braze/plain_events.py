"""Events that go as they came, which nearly all do: from Avro bytes to the object without a record in between.

Whatever is not plain (a name to be changed, a value to be dropped, a datum that is none) is left to the encoder that
knows every rule. What this one makes is the same object: `tests/destinations/test_braze_plain_events.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import orjson

from streams.delivery.contract import Encoder, Encoding
from streams.destinations.braze.items import EVENT_HEADS
from streams.destinations.braze.objects import OBJECT_BYTES_MAX, ORDER_PLACED, RESERVED_OF_EVENTS, second
from streams.destinations.braze.settings import DEFAULT
from streams.destinations.braze.values import CHANGED_FIRST, TEXT_CHARACTERS_MAX, Losses, name_of
from streams.events.schema import WriterSchema
from streams.wayback.datum import Unusual, event_fields, has_event_fields
from streams.wayback.entries import DataKeys

NAMES_MAX: Final = 10_000
"""Names that are remembered, of events and of properties: there are few, else they are looked at each time."""
# Compiled, a constant is not looked up in its module for each event.
_dumps: Final = orjson.dumps
_loads: Final = orjson.loads
_second: Final = second
_MILLISECONDS: Final = [b'.%03dZ"' % milliseconds for milliseconds in range(1000)]
"""How a time ends."""


def plain_events(schema: WriterSchema, entries: Mapping[str, DataKeys], otherwise: Encoder) -> Encoder:
    """An encoder of `wayback.Event`, which asks `otherwise` where an event is not plain."""
    if not has_event_fields(schema):
        return otherwise
    heads = {name.encode(): _Heads(entry) for name, entry in entries.items() if _is_plain(entry)}

    def encode(value: bytes, start: int, /) -> Encoding:
        try:
            event_id, entry, user, time_ms, given_name, text, platform = event_fields(value, start)
            length = EVENT_HEADS[len(event_id)]
            head = heads[entry]
            name = head.names.get(given_name)
            if name is None:
                name = head.of(given_name)
            app = head.apps.get(platform, b"")
            quoted_user = _dumps(user.decode())
            properties = _loads(text)
        except (Unusual, LookupError, ValueError):
            return otherwise(value, start)
        if not name or not user or not event_id.isascii() or not _are_plain(properties):
            return otherwise(value, start)
        seconds = time_ms // 1000
        milliseconds = _MILLISECONDS[time_ms - seconds * 1000]
        # Joined, not formatted: that takes a third less.
        body = b"".join(
            (
                length, event_id, b'{"external_id":', quoted_user, name, _second(seconds), milliseconds,
                app, b',"properties":' if properties else b"", text if properties else b"", b"}",
            )
        )  # fmt: skip
        if len(body) > OBJECT_BYTES_MAX:
            return otherwise(value, start)
        return DEFAULT, body, 0

    return encode


class _Heads:
    """What stands in the objects of one entry around what differs: by name and by platform, as bytes."""

    __slots__ = ("_entry", "apps", "names")

    def __init__(self, entry: DataKeys) -> None:
        self._entry = entry
        self.names: dict[bytes, bytes] = {}
        """From behind the user to the time, by the name as it came; empty where the event is not plain."""
        self.apps: dict[bytes | None, bytes] = {
            name.encode(): b',"app_id":' + orjson.dumps(one) for name, one in entry.app_ids.items()
        }
        """By platform; most have no app."""

    def of(self, given: bytes) -> bytes:
        """As `names` has it, which takes it in."""
        losses, name = Losses(), given.decode()
        target = name_of(self._entry.names.get(name, name), losses)
        head = b""
        if target is not None and target != ORDER_PLACED and not losses.found:
            only = b"" if self._entry.create_users else b',"_update_existing_only":true'
            head = b'%b,"name":%b,"time":"' % (only, orjson.dumps(target))
        if len(self.names) < NAMES_MAX:
            self.names[given] = head
        return head


def _is_plain(entry: DataKeys) -> bool:
    return entry.detect_types not in ("events", "both")


_plain_names: Final[set[str]] = set()


def _are_plain(properties: Any) -> bool:
    """Whether each property is sent as it is."""
    if type(properties) is not dict:
        return False
    for name, value in properties.items():
        kind = type(value)
        if (
            (kind is str and len(value) <= TEXT_CHARACTERS_MAX)
            or kind is int
            or kind is bool
            or (kind is float and isfinite(value))
        ) and (name in _plain_names or _is_plain_name(name)):
            continue
        return False
    return True


def _is_plain_name(name: str) -> bool:
    is_plain = name[:1] not in CHANGED_FIRST and len(name) <= TEXT_CHARACTERS_MAX and name not in RESERVED_OF_EVENTS
    if is_plain and len(_plain_names) < NAMES_MAX:
        _plain_names.add(name)
    return is_plain
