"""A Currents event as Mixpanel takes it: a table-driven walk over the Avro bytes, then one `orjson.dumps`.

Rules are Mixpanel's (its pages on importing events and on property limits) where they say so, else the contract's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from streams.delivery.contract import Encoder, Encoding, Rejected
from streams.destinations.mixpanel.mapping import CUSTOM_EVENT, EVENTS, JSON_PREFIXES, NAME_PLACE
from streams.destinations.wire import UNDECODABLE_DETAIL, encoded_repaired, is_safe, safe_id
from streams.events.source import EventSource
from streams.events.walker import (
    CORRUPT,
    FIRST_FREE_SLOT,
    ID,
    NO_LIMIT,
    TIME,
    USER,
    pick,
    plan,
    walk,
)

SCOPE = "default"
RECORD_BYTES_MAX = 1_000_000
"""An event must stay under 1 MB of JSON."""
PROPERTIES_MAX = 254
KEYS_MAX = 254
ITEMS_MAX = 254
DEPTH_MAX = 3
"""Fewer than 255 properties, keys of an object and elements of an array; three levels of nesting."""
NESTING_MAX = 50
"""Arrays in arrays, which Mixpanel's rule does not count: bounds the recursion here."""
SECONDS_MAX = (2**63 - 1) // 1000
"""Beyond this a time in milliseconds is no 64-bit number."""

NAME, JSON = FIRST_FREE_SLOT, FIRST_FREE_SLOT + 1
SLOTS = FIRST_FREE_SLOT + 2


def encoder(
    source: EventSource, *, project_token: str, event_names: Mapping[str, str], device_properties: bool
) -> Encoder | None:
    """The encoder for events of this source; None where Mixpanel has no mapping for its event type."""
    mapped = EVENTS.get(source.event_type)
    if mapped is None:
        return None
    keys = {field: keys[0] for field, keys in mapped.fields.items()}
    copies = {keys[0]: keys[1:] for keys in mapped.fields.values() if len(keys) > 1}
    if device_properties:
        copies |= {
            field: (key,) for field, key in {"device_model": "$device", "os_version": "$os"}.items() if field in keys
        }
    slots = {"id": ID, "time": TIME, "external_user_id": USER}
    if source.event_type == CUSTOM_EVENT:
        slots["name"] = NAME
    if source.event_type in JSON_PREFIXES:
        slots["properties"] = JSON
    ops = plan(source, keys, slots)
    constants = {"token": project_token, "$partner_id": "braze", "ip": 0}
    name = event_names.get(source.event_type, mapped.name)
    takes_name = source.event_type == CUSTOM_EVENT and NAME_PLACE in name
    prefix = JSON_PREFIXES.get(source.event_type)
    is_walkable = source.is_walkable
    dumps = orjson.dumps

    def encode(value: bytes, start: int, /) -> Encoding:
        properties: dict[str, Any] = dict(constants)
        captured: list[Any] = [None] * SLOTS
        try:
            if is_walkable:
                walk(value, start, ops, properties, captured, NO_LIMIT)
            else:
                pick(source.decode(value, start), source, ops, properties, captured, NO_LIMIT)
        except (ValueError, *CORRUPT) as error:
            if is_walkable and isinstance(error, UnicodeDecodeError):
                return encoded_repaired(encode, ops, value, start)
            return Rejected(UNDECODABLE_DETAIL)
        user, time, event_id = captured[USER], captured[TIME], captured[ID]
        if not user or user.isspace():
            return Rejected("no external_user_id")
        if time is None or not -SECONDS_MAX <= time <= SECONDS_MAX:
            return Rejected("time is missing or out of range")
        if event_id is None:
            return Rejected("id is missing")
        properties["distinct_id"] = properties["$user_id"] = user
        properties["time"] = time * 1000
        properties["$insert_id"] = event_id if is_safe(event_id) else safe_id(event_id)
        if copies:
            _copy(properties, copies)
        event = name
        if takes_name:
            if captured[NAME] is None:
                return Rejected("name of the custom event is missing")
            event = name.replace(NAME_PLACE, captured[NAME])
        if prefix is not None:
            problem = _add_customers(properties, captured[JSON], prefix)
            if problem:
                return Rejected(problem)
        try:
            body = dumps({"event": event, "properties": properties})
        except TypeError:  # numbers and surrogates that Python reads and JSON over the wire cannot say
            return Rejected("properties is no JSON that can be sent")
        if len(body) >= RECORD_BYTES_MAX:
            return Rejected(f"the event is {len(body)} bytes of JSON, and Mixpanel takes less than {RECORD_BYTES_MAX}")
        return SCOPE, body, 0

    return encode


def _copy(properties: dict[str, Any], copies: Mapping[str, tuple[str, ...]]) -> None:
    """Send a property under other names too."""
    for key, more in copies.items():
        if key in properties:
            for copy in more:
                properties[copy] = properties[key]


def _add_customers(properties: dict[str, Any], text: str | None, prefix: str) -> str | None:
    """Add the customer's JSON under a prefix; a sentence where it breaks a rule of Mixpanel."""
    if text is None or text.isspace():
        return None
    try:
        content = _parsed(text)
    except (ValueError, RecursionError):
        return "properties is no JSON"
    if not isinstance(content, dict):
        return "properties is no JSON object"
    for key, item in content.items():
        if item is None or item == "" or (isinstance(item, float) and not math.isfinite(item)):
            continue
        problem = _problem(item, 1)
        if problem:
            return f"a property {problem}"
        properties[prefix + key] = item
    if len(properties) > PROPERTIES_MAX:
        return f"the event has {len(properties)} properties, and Mixpanel takes {PROPERTIES_MAX}"
    return None


def _parsed(text: str) -> Any:
    """The JSON, where NaN and infinities are numbers too: some writers of JSON know no better. Raises `ValueError`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def _problem(item: Any, depth: int, nesting: int = 1) -> str | None:
    """The limit that a nested value breaks. An object directly under a property is at depth 1; arrays add no depth."""
    if not isinstance(item, dict | list):
        return "holds a number that is not finite" if isinstance(item, float) and not math.isfinite(item) else None
    if nesting > NESTING_MAX:
        return f"is nested deeper than {NESTING_MAX} levels of objects and arrays"
    if isinstance(item, dict):
        if depth > DEPTH_MAX:
            return f"is nested deeper than {DEPTH_MAX} levels"
        if len(item) > KEYS_MAX:
            return f"has an object of {len(item)} keys, and Mixpanel takes {KEYS_MAX}"
        children, below = list(item.values()), depth + 1
    else:
        if len(item) > ITEMS_MAX:
            return f"has an array of {len(item)} elements, and Mixpanel takes {ITEMS_MAX}"
        children, below = item, depth
    return next((problem for child in children if (problem := _problem(child, below, nesting + 1))), None)
