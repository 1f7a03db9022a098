"""Records of the way back as objects of `/users/track`: an attributes, events or purchases object of one user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import orjson

from streams.delivery.contract import Rejected
from streams.destinations.braze.attributes import braze_attributes
from streams.destinations.braze.values import Losses, PropertyTypes, detected, name_of, property_value
from streams.wayback.entries import DataKeys
from streams.wayback.records import Attributes, AttributesMessage, Event, Purchase

Array = Literal["attributes", "events", "purchases"]
ARRAYS: tuple[Array, ...] = get_args(Array)
"""In the order in which Braze applies them."""

OBJECT_BYTES_MAX = 100_000
ORDER_PLACED = "ecommerce.order_placed"
"""The one event whose properties are nested whatever the configuration says: Braze prescribes them."""
RESERVED_OF_EVENTS = frozenset({"time", "event_name"})
RESERVED_OF_PURCHASES = RESERVED_OF_EVENTS | {"product_id", "quantity", "price", "currency"}


@dataclass(frozen=True, slots=True)
class BrazeObject:
    """One object: its array, whom it is about, and what it says beside that."""

    array: Array
    external_id: str
    only_existing: bool
    content: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """As it stands in the array."""
        only = {"_update_existing_only": True} if self.only_existing else {}
        return {"external_id": self.external_id, **only, **self.content}


Made = tuple[BrazeObject | Rejected | None, Losses]
"""None: nothing is left to send."""


def of_attributes(record: Attributes, entry: DataKeys, types: PropertyTypes) -> Made:
    """Raises nothing: what cannot be read is rejected."""
    losses = Losses()
    changes = _parsed(record.changes)
    if changes is None:
        return Rejected("changes: no JSON object"), losses
    if record.message_type not in get_args(AttributesMessage):
        return Rejected("message_type: not known here; a newer version of streams wrote it"), losses
    message: AttributesMessage = record.message_type  # type: ignore[assignment]
    found = braze_attributes(changes, message, entry, types, record.time_ms, record.platform, losses)
    if not found:
        return None, losses
    return _sized(BrazeObject("attributes", record.external_user_id, not entry.create_users, found)), losses


def of_event(record: Event, entry: DataKeys, types: PropertyTypes) -> Made:
    losses = Losses()
    name = name_of(entry.names.get(record.name, record.name), losses)
    properties = _parsed(record.properties)
    if name is None:
        return Rejected("name: empty"), losses
    if properties is None:
        return Rejected("properties: no JSON object"), losses
    if name == ORDER_PLACED:
        types = "nested"
    kept = _properties(properties, RESERVED_OF_EVENTS, entry, types, losses)
    content: dict[str, Any] = {"name": name, "time": iso(record.time_ms), **_app(record.platform, entry)}
    if kept:
        content["properties"] = kept
    return _sized(BrazeObject("events", record.external_user_id, not entry.create_users, content)), losses


def of_purchase(record: Purchase, entry: DataKeys, types: PropertyTypes) -> Made:
    losses = Losses()
    product_id = property_value("product_id", record.product_id, "scalar", losses)
    properties = _parsed(record.properties)
    if not product_id:
        return Rejected("product_id: empty"), losses
    if properties is None:
        return Rejected("properties: no JSON object"), losses
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
    return _sized(BrazeObject("purchases", record.external_user_id, not entry.create_users, content)), losses


def iso(time_ms: int) -> str:
    """ISO 8601, UTC, with milliseconds."""
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def _properties(
    properties: Mapping[str, Any], reserved: frozenset[str], entry: DataKeys, types: PropertyTypes, losses: Losses
) -> dict[str, Any]:
    detects = entry.detect_types in ("events", "both")
    found: dict[str, Any] = {}
    for given, value in properties.items():
        name = name_of(given, losses)
        if name is None:
            continue
        if name in reserved:
            losses.add("reserved", name)
            continue
        good = property_value(name, detected(value) if detects else value, types, losses)
        if good is not None:
            found[name] = good
    return found


def _app(platform: str | None, entry: DataKeys) -> dict[str, str]:
    app_ids: Mapping[str, str] = entry.app_ids  # type: ignore[assignment]
    return {"app_id": app_ids[platform]} if platform is not None and platform in app_ids else {}


def _sized(made: BrazeObject) -> BrazeObject | Rejected:
    size = len(orjson.dumps(made.body()))
    return made if size <= OBJECT_BYTES_MAX else Rejected(f"the object has {size} bytes, Braze takes 100,000")


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
