"""A Currents event as mParticle takes it: one batch with one event, as Braze sends it.

The payload is valid against mParticle's Events API schema; Braze's own spelling is `wire: braze`. Sources: Braze's
glossary of events for partners, mParticle's pages on the Events API and on service limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from streams.delivery.contract import Encoder, Encoding, Rejected, Skipped
from streams.destinations.mparticle.feed_event import FeedEvent
from streams.destinations.mparticle.mapping import CLASSIC, EVENTS, UNINSTALL
from streams.destinations.mparticle.settings import MParticleSettings
from streams.destinations.wire import UNDECODABLE_DETAIL, encoded_repaired, is_safe, safe_id
from streams.events.schema import Kind
from streams.events.source import EventSource
from streams.events.walker import CORRUPT, FIRST_FREE_SLOT, ID, TIME, USER, cut, pick, plan, walk

RECORD_BYTES_MAX = 128_000
"""One batch must not exceed 128 kB; a kB is taken as 1,000 bytes."""
VALUE_BYTES_MAX = 4_096
NAME_BYTES_MAX = 256
"""Attribute values and event names beyond these are cut here, where it is counted, not there, where it is not."""
UTF8_BYTES_MAX = 4
SECONDS_MAX = (2**63 - 1) // 1000
"""Beyond this a time in milliseconds is no 64-bit number."""

APP, PLATFORM, DEVICE, MODEL, AD_ID, AD_TYPE, AD_TRACKING, EMAIL, PHONE = range(FIRST_FREE_SLOT, FIRST_FREE_SLOT + 9)
SLOTS = FIRST_FREE_SLOT + 9
SLOT_KINDS = {"time": Kind.LONG, "ad_tracking_enabled": Kind.BOOLEAN}

PLATFORMS = {
    "ios": "iOS", "android": "Android", "web": "web", "tvos": "tvOS", "roku": "roku", "kindle": "Android",
}  # fmt: skip
FEED_OF_PLATFORM = {"ios": "ios", "tvos": "ios", "android": "android", "kindle": "android", "web": "web"}
AD_ID_KEYS = {
    "ios_idfa": "ios_advertising_id",
    "google_ad_id": "android_advertising_id",
    "windows_ad_id": "microsoft_advertising_id",
    "roku_ad_id": "roku_advertising_id",
}
ANY_TEXT_AD_ID = "microsoft_advertising_id"
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

Captured = list[Any]


def encoder(source: EventSource, settings: MParticleSettings, scopes: Mapping[str, str]) -> Encoder | None:
    """The encoder for events of this source; None where mParticle has no mapping for its event type."""
    mapped = EVENTS.get(source.event_type)
    if mapped is None:
        return None
    name, keys = _name_and_keys(mapped, settings)
    name_cuts = int(len(name.encode()) > NAME_BYTES_MAX)
    name = cut(name, NAME_BYTES_MAX)
    for field in source.fields:  # attributes are scalars, and a writer may have made an array of one
        if field.kind in (Kind.STRINGS, Kind.NULLABLE_STRINGS):
            keys.pop(field.name, None)
    ops = plan(source, keys, _slots(mapped), SLOT_KINDS)
    feed_of = _feed_rule(mapped, settings.apps)
    skips_without_feed = settings.feed_fallback == "skip"
    is_braze = settings.wire == "braze"
    identity = "customerid" if is_braze and settings.identity == "customer_id" else settings.identity
    constants: dict[str, Any] = {"environment": settings.environment}
    if is_braze:
        constants["schema_version"] = 2
    is_uninstall = source.event_type == UNINSTALL
    event_type = "uninstall" if is_uninstall else "custom_event"
    described = {} if is_uninstall else {"event_name": name, "custom_event_type": "other"}
    moves, apps, is_walkable, dumps = mapped.moves, settings.apps, source.is_walkable, orjson.dumps

    def encode(value: bytes, start: int, /) -> Encoding:
        attributes: dict[str, Any] = {}
        captured: Captured = [None] * SLOTS
        try:
            if is_walkable:
                cuts = walk(value, start, ops, attributes, captured, VALUE_BYTES_MAX)
            else:
                cuts = pick(source.decode(value, start), source, ops, attributes, captured, VALUE_BYTES_MAX)
                attributes = {key: item for key, item in attributes.items() if not isinstance(item, list)}
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
        feed = feed_of(captured)
        scope = scopes.get(feed)
        if scope is None:
            if skips_without_feed:
                return Skipped("no_credentials_for_feed")
            scope = scopes["unbound"]
        safe = event_id if is_safe(event_id) else safe_id(event_id)
        attributes["source_request_id"] = safe
        identities: dict[str, str] = {identity: user}
        if captured[EMAIL] is not None and identity != "email":
            identities["email"] = captured[EMAIL]
        batch = {**constants, "source_request_id": safe, "user_identities": identities}
        device = _device(captured, moves, apps)
        if device or is_braze:
            batch["device_info"] = device
        phone = captured[PHONE]
        if phone is not None:
            if len(phone) * UTF8_BYTES_MAX > VALUE_BYTES_MAX and len(phone.encode()) > VALUE_BYTES_MAX:
                phone = cut(phone, VALUE_BYTES_MAX)
                cuts += 1
            batch["user_attributes"] = {"$mobile": phone}
        elif is_braze:
            batch["user_attributes"] = {}
        batch["events"] = [
            {
                "event_type": event_type,
                "data": {
                    **described,
                    "timestamp_unixtime_ms": time * 1000,
                    "source_message_id": safe,
                    "custom_attributes": attributes,
                },
            }
        ]
        body = dumps(batch)
        if len(body) > RECORD_BYTES_MAX:
            return Rejected(f"the batch is {len(body)} bytes of JSON, and mParticle takes {RECORD_BYTES_MAX}")
        return scope, body, cuts + name_cuts

    return encode


def _name_and_keys(mapped: FeedEvent, settings: MParticleSettings) -> tuple[str, dict[str, str]]:
    """The event's name, and the key of each Avro field that becomes a custom attribute.

    Arrays are in no attribute of the table: mParticle takes scalars only.
    """
    keys = {field: keys[0] for field, keys in mapped.fields.items()}
    if mapped.mobile is not None and settings.phone_attribute:
        keys[mapped.mobile] = mapped.mobile
    name = mapped.name
    if isinstance(settings.event_names, dict):
        name = settings.event_names.get(mapped.event_type, name)
    elif settings.event_names == "classic" and mapped.event_type in CLASSIC:
        classic = CLASSIC[mapped.event_type]
        name = classic.name
        keys = {field: key for field, key in keys.items() if key in classic.keys}
    return name, keys


def _slots(mapped: FeedEvent) -> dict[str, int]:
    slots = {"id": ID, "time": TIME, "external_user_id": USER}
    if mapped.feed_rule != "unbound" or "idfv" in mapped.moves:
        slots["app_id"] = APP
        slots["platform"] = PLATFORM
    if "platform" in mapped.moves:
        slots["platform"] = PLATFORM
    if "idfv" in mapped.moves:
        slots["device_id"] = DEVICE
    if "model" in mapped.moves:
        slots["device_model"] = MODEL
    if "ads" in mapped.moves:
        slots |= {"ad_id": AD_ID, "ad_id_type": AD_TYPE, "ad_tracking_enabled": AD_TRACKING}
    if "email" in mapped.moves:
        slots["email_address"] = EMAIL
    if mapped.mobile is not None:
        slots[mapped.mobile] = PHONE
    return slots


def _feed_rule(mapped: FeedEvent, apps: Mapping[str, str]) -> Callable[[Captured], str]:
    """Which feed an event belongs to, by the type's rule."""

    def unbound(_captured: Captured) -> str:
        return "unbound"

    def by_app(captured: Captured) -> str:
        return apps.get(captured[APP], "unbound")

    def by_platform(captured: Captured) -> str:
        return apps.get(captured[APP]) or FEED_OF_PLATFORM.get(captured[PLATFORM], "unbound")

    return {"unbound": unbound, "by app_id": by_app, "platform": by_platform}[mapped.feed_rule]


def _device(captured: Captured, moves: frozenset[str], apps: Mapping[str, str]) -> dict[str, Any]:
    """`device_info`: only ids that mParticle's schema accepts (UUIDs), under the platform's own names."""
    device: dict[str, Any] = {}
    if "platform" in moves and captured[PLATFORM] in PLATFORMS:
        device["platform"] = PLATFORMS[captured[PLATFORM]]
    if captured[MODEL] is not None:
        device["device_model"] = captured[MODEL]
    platform, device_id = captured[PLATFORM], captured[DEVICE]
    is_ios = platform == "ios" or (platform is None and apps.get(captured[APP]) == "ios")
    if device_id is not None and is_ios and _UUID.fullmatch(device_id):
        device["ios_idfv"] = device_id
    if captured[AD_ID] is not None:
        key = AD_ID_KEYS.get(captured[AD_TYPE])
        if key is not None and (key == ANY_TEXT_AD_ID or _UUID.fullmatch(captured[AD_ID])):
            device[key] = captured[AD_ID]
    if captured[AD_TRACKING] is not None:
        device["limit_ad_tracking"] = not captured[AD_TRACKING]
    return device
