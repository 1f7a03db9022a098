"""What mParticle refuses about a batch, and what it drops or cuts without telling. Pure functions."""

from __future__ import annotations

import re
from typing import Any

import orjson

from streams.emulators.mparticle.batch import wrong_with
from streams.emulators.mparticle.options import Limits
from streams.emulators.mparticle.shapes import MISSING

HISTORICAL_AGE_MS_MIN = 72 * 3_600_000
"""The historical path takes only events that are older."""
PLATFORMS_OF_FEED = {"ios": {"iOS", "tvOS"}, "android": {"Android", "fire_tv"}, "web": {"web"}}
"""The `device_info.platform` that an input of a platform expects."""

_FIELD_OF_EVENT = re.compile(r"\.events\[\d+\]\.(?:data\.)?(\w+)")


def problem(batch: object, limits: Limits, *, is_measured: bool) -> str | None:
    """Why this batch is refused, or None. In the words of the API if they are known.

    `is_measured`: check the batch's size. This is needed only if the whole request is larger than one batch may be.
    """
    wrong = wrong_with(batch)
    if wrong is None:
        assert isinstance(batch, dict)
        for place, event in enumerate(batch.get("events") or ()):
            if event["event_type"] == "custom_event" and not event["data"]["event_name"]:
                return _missing(f".events[{place}].data.event_name")
        if is_measured and len(orjson.dumps(batch)) > limits.batch_bytes_max:
            return f"Batch must not exceed {limits.batch_bytes_max} bytes."
        return None
    if wrong.reason == MISSING:
        return _missing(wrong.path)
    return f'Field "{wrong.path.removeprefix(".")}" {wrong.reason}.' if wrong.path else f"Batch {wrong.reason}."


def _missing(path: str) -> str:
    of_event = _FIELD_OF_EVENT.fullmatch(path)
    if of_event:
        return f'Required event field "{of_event[1]}" {MISSING}.'
    return f'Required field "{path.removeprefix(".")}" {MISSING}.'


def historical_problem(batch: dict[str, Any], now_ms: int) -> str | None:
    """Why the historical path does not process this batch, or None."""
    events = batch.get("events")
    if not events:
        return "historical batch without events"
    for event in events:
        at_ms = event["data"].get("timestamp_unixtime_ms")
        if at_ms is None:
            return "historical event without timestamp_unixtime_ms"
        if at_ms > now_ms - HISTORICAL_AGE_MS_MIN:
            return "historical event less than 72 hours old"
    return None


def taken(batch: dict[str, Any], limits: Limits, now_ms: int) -> tuple[dict[str, Any], list[str]]:
    """The batch as mParticle stores it, and what it lost: each loss names a field, never a value."""
    losses: list[str] = []
    kept = {"environment": "production", **batch}
    if batch.get("user_attributes"):
        kept["user_attributes"] = _attributes(batch["user_attributes"], "user_attributes", limits, losses)
    if batch.get("events"):
        kept["events"] = [_event(event, limits, now_ms, losses) for event in batch["events"]]
    return kept, losses


def _event(event: dict[str, Any], limits: Limits, now_ms: int, losses: list[str]) -> dict[str, Any]:
    data = dict(event["data"])
    if data.get("timestamp_unixtime_ms") is None:
        data["timestamp_unixtime_ms"] = now_ms
    name = data.get("event_name")
    if isinstance(name, str) and len(name) > limits.name_characters_max:
        data["event_name"] = name[: limits.name_characters_max]
        losses.append("event_name cut")
    if data.get("custom_attributes"):
        data["custom_attributes"] = _attributes(data["custom_attributes"], "custom_attributes", limits, losses)
    return event | {"data": data}


def _attributes(attributes: dict[str, Any], place: str, limits: Limits, losses: list[str]) -> dict[str, Any]:
    if len(attributes) > limits.attributes_max:
        losses.append(f"{place} dropped: more than {limits.attributes_max}")
        return {}
    kept: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, str) and len(value) > limits.value_characters_max:
            losses.append(f"{place}.{name} dropped: too long")
            continue
        if len(name) > limits.name_characters_max:
            losses.append(f"{place}: a name cut")
        kept[name[: limits.name_characters_max]] = value
    return kept


def has_other_platform(batch: dict[str, Any], feed: str) -> bool:
    """Whether the batch names another platform than that of its input."""
    platform = (batch.get("device_info") or {}).get("platform")
    return platform is not None and feed in PLATFORMS_OF_FEED and platform not in PLATFORMS_OF_FEED[feed]
