"""A Currents event as Mixpanel takes it: a table-driven walk over the Avro bytes, then one `orjson.dumps`.

Rules are Mixpanel's (its pages on importing events and on property limits) where they say so, else the contract's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.delivery.contract import Encoder, Encoding, Rejected
from streams.destinations.event_encoder import event_encoder
from streams.destinations.mixpanel.mapping import CUSTOM_EVENT, EVENTS, JSON_PREFIXES, NAME_PLACE
from streams.destinations.privacy import EVERYTHING, Privacy, parsed
from streams.destinations.private_events import Finish
from streams.destinations.wire import is_safe, safe_id
from streams.events.schema import WriterSchema
from streams.events.walker import FIRST_FREE_SLOT, ID, NO_LIMIT, TIME, USER
from streams.events.walker_table import plan

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled, such a number is one of the machine; else it is an int

SCOPE: Final = "default"
RECORD_BYTES_MAX: Final = 1_000_000
"""An event must stay under 1 MB of JSON."""
PROPERTIES_MAX: Final = 254
KEYS_MAX: Final = 254
ITEMS_MAX: Final = 254
DEPTH_MAX: Final = 3
"""Fewer than 255 properties, keys of an object and elements of an array; three levels of nesting."""
NESTING_MAX: Final = 50
"""Arrays in arrays, which Mixpanel's rule does not count: bounds the recursion here."""

NAME: Final = FIRST_FREE_SLOT
JSON: Final = FIRST_FREE_SLOT + 1
SLOTS: Final = FIRST_FREE_SLOT + 2


def encoder(
    schema: WriterSchema,
    *,
    project_token: str,
    event_names: Mapping[str, str],
    device_properties: bool,
    privacy: Privacy = EVERYTHING,
) -> Encoder | None:
    """The encoder for events of this schema; None if Mixpanel has no mapping for its event type."""
    mapped = EVENTS.get(schema.event_type)
    if mapped is None:
        return None
    keys = {field: keys[0] for field, keys in mapped.fields.items()}
    copies = {keys[0]: keys[1:] for keys in mapped.fields.values() if len(keys) > 1}
    if device_properties:
        copies |= {
            field: (key,) for field, key in {"device_model": "$device", "os_version": "$os"}.items() if field in keys
        }
    slots = {"id": ID, "time": TIME, "external_user_id": USER}
    if schema.event_type == CUSTOM_EVENT:
        slots["name"] = NAME
    if schema.event_type in JSON_PREFIXES:
        slots["properties"] = JSON
    name = event_names.get(schema.event_type, mapped.name)
    if "name" in privacy.drop:  # the name of a custom event
        name = name.replace(NAME_PLACE, "").strip()
    return event_encoder(
        schema,
        plan(schema, keys, slots),
        slots=SLOTS,
        string_bytes_max=NO_LIMIT,
        constants={"token": project_token, "$partner_id": "braze", "ip": 0},
        finish=_finish(schema.event_type, name, copies),
        privacy=privacy,
    )


def _finish(event_type: str, name: str, copies: Mapping[str, tuple[str, ...]]) -> Finish:
    """Makes Mixpanel's event of the properties."""
    takes_name = event_type == CUSTOM_EVENT and NAME_PLACE in name
    prefix = JSON_PREFIXES.get(event_type)
    dumps = orjson.dumps

    def finish(properties: dict[str, Any], captured: list[Any], cuts: int) -> Encoding:
        event_id: str = captured[ID]
        time: i64 = captured[TIME]
        properties["distinct_id"] = properties["$user_id"] = captured[USER]
        properties["time"] = time * 1000
        properties["$insert_id"] = event_id if is_safe(event_id) else safe_id(event_id)
        if copies:
            _copy(properties, copies)
        event = name
        if takes_name:
            custom: str | None = captured[NAME]
            if custom is None:
                return Rejected("name of the custom event is missing")
            event = name.replace(NAME_PLACE, custom)
        if prefix is not None:
            problem = _add_customers(properties, captured[JSON], prefix)
            if problem:
                return Rejected(problem)
        try:
            body = dumps({"event": event, "properties": properties})
        except TypeError:  # numbers and surrogates that Python reads and JSON over the wire cannot say
            return Rejected("properties is not JSON that can be sent")
        if len(body) >= RECORD_BYTES_MAX:
            return Rejected(f"the event is {len(body)} bytes of JSON, and Mixpanel takes less than {RECORD_BYTES_MAX}")
        return SCOPE, body, cuts

    return finish


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
        content = parsed(text)
    except (ValueError, RecursionError):
        return "properties is not JSON"
    if not isinstance(content, dict):
        return "properties is not a JSON object"
    for key, item in content.items():
        if item is None or item == "" or (isinstance(item, float) and not math.isfinite(item)):
            continue
        if isinstance(item, (dict, list)):
            problem = _problem(item, 1)
            if problem:
                return f"a property {problem}"
        properties[prefix + key] = item
    if len(properties) > PROPERTIES_MAX:
        return f"the event has {len(properties)} properties, and Mixpanel takes {PROPERTIES_MAX}"
    return None


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
