"""Sample events in the shape that Braze's Custom HTTP connector sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from streams.events.samples import sample_events

_USER = ("user_id", "external_user_id", "device_id", "timezone")
_OBJECTS = {"users.behaviors.CustomEvent": "custom_properties", "users.behaviors.Purchase": "purchase_properties"}
_STEP = "canvas_step_message_variation_id"


def sample_posts(count: int, *, seed: int, now_s: int) -> Iterator[dict[str, Any]]:
    """So many events of the usual mix; the same for the same seed and time."""
    for sample in sample_events(count, seed=seed, now_s=now_s):
        yield posted(sample.event_type, sample.record)


def posted(event_type: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a file as it comes over HTTP, by Braze's public samples. What is null is absent."""
    user: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in record.items():
        if value is None or name in ("id", "time"):
            continue
        if name in _USER:
            user[name] = value
        elif name == "properties" and event_type in _OBJECTS:
            properties[_OBJECTS[event_type]] = orjson.loads(value)
        elif name == _STEP and event_type.startswith("users.messages.banner."):
            properties["canvas_step_message_variation_api_id"] = value
        else:
            properties[name] = value
    return {
        "event_type": event_type,
        "id": record["id"],
        "time": record["time"],
        "user": user,
        "properties": properties,
    }
