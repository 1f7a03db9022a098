"""Records of the way back as objects of `/users/track`: an attributes, events or purchases object of one user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from time import gmtime
from typing import Any, Final, Literal, get_args

import orjson

from streams.delivery.contract import Rejected
from streams.destinations.braze.attributes import braze_attributes
from streams.destinations.braze.values import (
    CHANGED_FIRST,
    SENT_AS_IT_IS,
    TEXT_CHARACTERS_MAX,
    Losses,
    PropertyTypes,
    detected,
    name_of,
    property_value,
)
from streams.wayback.entries import DataKeys
from streams.wayback.records import Attributes, AttributesMessage, Event, Purchase, Record

Array = Literal["attributes", "events", "purchases"]
ARRAYS: tuple[Array, ...] = get_args(Array)
"""In the order in which Braze applies them."""

OBJECT_BYTES_MAX: Final = 100_000
ORDER_PLACED: Final = "ecommerce.order_placed"
"""The one event whose properties are nested whatever the configuration says: Braze prescribes them."""
RESERVED_OF_EVENTS: Final = frozenset({"time", "event_name"})
RESERVED_OF_PURCHASES = RESERVED_OF_EVENTS | {"product_id", "quantity", "price", "currency"}


@dataclass(frozen=True, slots=True)
class BrazeObject:
    """One object: its array, whom it is about, and what it says beside that. `json` is its body as it is sent."""

    array: Array
    external_id: str
    only_existing: bool
    content: Mapping[str, Any]
    json: bytes = field(default=b"", compare=False, repr=False)

    def body(self) -> dict[str, Any]:
        """As it stands in the array."""
        return _content(self.external_id, self.only_existing, self.content)


Made = tuple[BrazeObject | Rejected | None, Losses]
"""None: nothing is left to send."""


def of_attributes(record: Attributes, entry: DataKeys, types: PropertyTypes) -> Made:
    """Raises nothing: what cannot be read is rejected."""
    losses = Losses()
    changes = _parsed(record.changes)
    if changes is None:
        return Rejected("changes: not a JSON object"), losses
    if record.message_type not in get_args(AttributesMessage):
        return Rejected("message_type: not known here; a newer version of streams wrote it"), losses
    message: AttributesMessage = record.message_type  # type: ignore[assignment]
    found = braze_attributes(changes, message, entry, types, record.time_ms, record.platform, losses)
    if not found:
        return None, losses
    return _sized("attributes", record, entry, found), losses


def of_event(record: Event, entry: DataKeys, types: PropertyTypes) -> Made:
    losses = Losses()
    name = name_of(entry.names.get(record.name, record.name), losses)
    properties = _parsed(record.properties)
    if name is None:
        return Rejected("name: empty"), losses
    if properties is None:
        return Rejected("properties: not a JSON object"), losses
    if name == ORDER_PLACED:
        types = "nested"
    kept = _properties(properties, RESERVED_OF_EVENTS, entry, types, losses)
    content: dict[str, Any] = {"name": name, "time": iso(record.time_ms), **_app(record.platform, entry)}
    if kept:
        content["properties"] = kept
    return _sized("events", record, entry, content), losses


def of_purchase(record: Purchase, entry: DataKeys, types: PropertyTypes) -> Made:
    losses = Losses()
    product_id = property_value("product_id", record.product_id, "scalar", losses)
    properties = _parsed(record.properties)
    if not product_id:
        return Rejected("product_id: empty"), losses
    if properties is None:
        return Rejected("properties: not a JSON object"), losses
    kept = _properties(properties, RESERVED_OF_PURCHASES, entry, types, losses)
    content: dict[str, Any] = {
        "product_id": product_id,
        "currency": record.currency,
        "price": record.price,
        "quantity": record.quantity,
        "time": iso(record.time_ms),
        **_app(record.platform, entry),
    }
    if kept:
        content["properties"] = kept
    return _sized("purchases", record, entry, content), losses


def iso(time_ms: int) -> str:
    """ISO 8601, UTC, with milliseconds."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{second(seconds).decode()}.{milliseconds:03}Z"


@lru_cache(maxsize=1_024)
def second(epoch_s: int) -> bytes:
    """A moment without its milliseconds. Records that come one after the other are of the same few seconds."""
    year, month, day, hour, minute, seconds, *_ = gmtime(epoch_s)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{seconds:02}".encode()


def _properties(
    properties: Mapping[str, Any], reserved: frozenset[str], entry: DataKeys, types: PropertyTypes, losses: Losses
) -> dict[str, Any]:
    detects = entry.detect_types in ("events", "both")
    found: dict[str, Any] = {}
    for given, value in properties.items():
        # Nearly all names are sent as they are: no call for these.
        is_plain = given[:1] not in CHANGED_FIRST and len(given) <= TEXT_CHARACTERS_MAX
        name = given if is_plain else name_of(given, losses)
        if name is None:
            continue
        if name in reserved:
            losses.add("reserved", name)
            continue
        if not detects and type(value) in SENT_AS_IT_IS:
            found[name] = value
            continue
        good = property_value(name, detected(value) if detects else value, types, losses)
        if good is not None:
            found[name] = good
    return found


def _app(platform: str | None, entry: DataKeys) -> dict[str, str]:
    app_ids: Mapping[str, str] = entry.app_ids  # type: ignore[assignment]
    return {"app_id": app_ids[platform]} if platform is not None and platform in app_ids else {}


def _sized(array: Array, record: Record, entry: DataKeys, content: Mapping[str, Any]) -> BrazeObject | Rejected:
    only_existing, user = not entry.create_users, record.external_user_id
    body = orjson.dumps(_content(user, only_existing, content))
    if len(body) > OBJECT_BYTES_MAX:
        return Rejected(f"the object has {len(body)} bytes, Braze takes 100,000")
    return BrazeObject(array, user, only_existing, content, body)


def _content(external_id: str, only_existing: bool, content: Mapping[str, Any]) -> dict[str, Any]:
    if only_existing:
        return {"external_id": external_id, "_update_existing_only": True, **content}
    return {"external_id": external_id, **content}


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
