"""A Currents event as mParticle takes it: one batch with one event, as Braze sends it.

The payload is valid against mParticle's Events API schema; Braze's own spelling is `wire: braze`. Sources: Braze's
glossary of events for partners, mParticle's pages on the Events API and on service limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams.delivery.contract import Encoder, Encoding, Rejected, Skipped
from streams.destinations.event_encoder import event_encoder
from streams.destinations.mparticle.feed_event import FeedEvent
from streams.destinations.mparticle.mapping import CLASSIC, EVENTS, UNINSTALL
from streams.destinations.mparticle.settings import MParticleSettings
from streams.destinations.privacy import EVERYTHING, Privacy
from streams.destinations.private_events import Finish
from streams.destinations.wire import is_safe, safe_id
from streams.events.schema import Kind, WriterSchema
from streams.events.walker import FIRST_FREE_SLOT, ID, TIME, USER, cut
from streams.events.walker_table import plan

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled, such a number is one of the machine; else it is an int

RECORD_BYTES_MAX: Final = 128_000
"""One batch must not exceed 128 kB; a kB is taken as 1,000 bytes."""
VALUE_BYTES_MAX: Final = 4_096
NAME_BYTES_MAX: Final = 256
"""Attribute values and event names beyond these are cut here, where it is counted, not there, where it is not."""
UTF8_BYTES_MAX: Final = 4

APP: Final = FIRST_FREE_SLOT
PLATFORM: Final = FIRST_FREE_SLOT + 1
DEVICE: Final = FIRST_FREE_SLOT + 2
MODEL: Final = FIRST_FREE_SLOT + 3
AD_ID: Final = FIRST_FREE_SLOT + 4
AD_TYPE: Final = FIRST_FREE_SLOT + 5
AD_TRACKING: Final = FIRST_FREE_SLOT + 6
EMAIL: Final = FIRST_FREE_SLOT + 7
PHONE: Final = FIRST_FREE_SLOT + 8
ROUTED_APP: Final = FIRST_FREE_SLOT + 9
ROUTED_PLATFORM: Final = FIRST_FREE_SLOT + 10
"""These two choose the feed, where what tells it must not leave as it is."""
SLOTS: Final = FIRST_FREE_SLOT + 11
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
ANY_TEXT_AD_ID: Final = "microsoft_advertising_id"
DEVICE_MOVES = frozenset({"platform", "idfv", "model", "ads"})
"""What of a type's fields moves into `device_info`."""
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

Captured = list[Any]


def encoder(
    schema: WriterSchema, settings: MParticleSettings, scopes: Mapping[str, str], privacy: Privacy = EVERYTHING
) -> Encoder | None:
    """The encoder for events of this schema; None if mParticle has no mapping for its event type."""
    mapped = EVENTS.get(schema.event_type)
    if mapped is None:
        return None
    name, keys = _name_and_keys(mapped, settings)
    for field in schema.fields:  # attributes are scalars, and a writer may have made an array of one
        if field.kind in (Kind.STRINGS, Kind.NULLABLE_STRINGS):
            keys.pop(field.name, None)
    finish = _finish(mapped, name, settings, scopes, privacy)
    return event_encoder(
        schema,
        plan(schema, keys, _slots(mapped), SLOT_KINDS),
        slots=SLOTS,
        string_bytes_max=VALUE_BYTES_MAX,
        constants={},
        finish=finish if schema.is_walkable else _without_arrays(finish),
        privacy=privacy,
        kept={APP: ROUTED_APP, PLATFORM: ROUTED_PLATFORM},
    )


def _without_arrays(finish: Finish) -> Finish:
    def without_arrays(attributes: dict[str, Any], captured: Captured, cuts: int) -> Encoding:
        return finish({key: item for key, item in attributes.items() if not isinstance(item, list)}, captured, cuts)

    return without_arrays


def _finish(
    mapped: FeedEvent, name: str, settings: MParticleSettings, scopes: Mapping[str, str], privacy: Privacy
) -> Finish:
    """Makes mParticle's batch of the attributes. What is the same for every event of this type is JSON already."""
    feed_of = _feed_rule(mapped, settings.apps, privacy)
    fallback = None if settings.feed_fallback == "skip" else scopes["unbound"]
    only_scope = scopes.get("unbound", fallback) if mapped.feed_rule == "unbound" else None
    is_braze = settings.wire == "braze"
    identity = "customerid" if is_braze and settings.identity == "customer_id" else settings.identity
    takes_email = identity != "email"
    tells_device = bool(mapped.moves & DEVICE_MOVES)
    moves, apps, dumps = mapped.moves, settings.apps, orjson.dumps
    constants: dict[str, Any] = {"environment": settings.environment}
    if is_braze:
        constants["schema_version"] = 2
    event_type, described, name_cuts = _description(mapped, name)
    head = dumps(constants)[:-1] + b',"source_request_id":"'
    user_head = b'","user_identities":{' + dumps(identity) + b":"
    event_head = b',"events":[{"event_type":' + dumps(event_type) + b',"data":{'
    if described:
        event_head += dumps(described)[1:-1] + b","
    event_head += b'"timestamp_unixtime_ms":'
    no_device = b',"device_info":{}' if is_braze else b""
    no_user_attributes = b',"user_attributes":{}' if is_braze else b""

    def finish(attributes: dict[str, Any], captured: Captured, cuts: int) -> Encoding:
        scope = only_scope
        if scope is None:
            scope = scopes.get(feed_of(captured), fallback)
        if scope is None:
            return Skipped("no_credentials_for_feed")
        event_id: str = captured[ID]
        time: i64 = captured[TIME]
        safe = event_id if is_safe(event_id) else safe_id(event_id)
        safe_bytes = safe.encode()
        attributes["source_request_id"] = safe
        email = b""
        if takes_email and captured[EMAIL] is not None:
            email = b',"email":' + dumps(captured[EMAIL])
        device_info = no_device
        if tells_device:
            device = _device(captured, moves, apps)
            if device:
                device_info = b',"device_info":' + dumps(device)
        user_attributes = no_user_attributes
        if captured[PHONE] is not None:
            phone, phone_cuts = _phone(captured[PHONE])
            cuts += phone_cuts
            user_attributes = b',"user_attributes":{"$mobile":' + dumps(phone) + b"}"
        body = b"".join(
            [
                head,
                safe_bytes,
                user_head,
                dumps(captured[USER]),
                email,
                b"}",
                device_info,
                user_attributes,
                event_head,
                str(time * 1000).encode(),
                b',"source_message_id":"',
                safe_bytes,
                b'","custom_attributes":',
                dumps(attributes),
                b"}}]}",
            ]
        )
        if len(body) > RECORD_BYTES_MAX:
            return Rejected(f"the batch is {len(body)} bytes of JSON, and mParticle takes {RECORD_BYTES_MAX}")
        return scope, body, cuts + name_cuts

    return finish


def _description(mapped: FeedEvent, name: str) -> tuple[str, dict[str, str], int]:
    """The event's type, what says which event it is, and how many strings of that were cut."""
    if mapped.event_type == UNINSTALL:
        return "uninstall", {}, int(len(name.encode()) > NAME_BYTES_MAX)
    described = {"event_name": cut(name, NAME_BYTES_MAX), "custom_event_type": "other"}
    return "custom_event", described, int(len(name.encode()) > NAME_BYTES_MAX)


def _phone(text: str) -> tuple[str, int]:
    """The phone number, and whether it was cut."""
    if len(text) * UTF8_BYTES_MAX > VALUE_BYTES_MAX and len(text.encode()) > VALUE_BYTES_MAX:
        return cut(text, VALUE_BYTES_MAX), 1
    return text, 0


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


def _feed_rule(mapped: FeedEvent, apps: Mapping[str, str], privacy: Privacy) -> Callable[[Captured], str]:
    """Which feed an event belongs to, by the type's rule, also where what it is told by must not leave."""
    app = ROUTED_APP if privacy.hides("app_id") else APP
    platform = ROUTED_PLATFORM if privacy.hides("platform") else PLATFORM

    def unbound(_captured: Captured) -> str:
        return "unbound"

    def by_app(captured: Captured) -> str:
        return apps.get(captured[app], "unbound")

    def by_platform(captured: Captured) -> str:
        return apps.get(captured[app]) or FEED_OF_PLATFORM.get(captured[platform], "unbound")

    return {"unbound": unbound, "by app_id": by_app, "platform": by_platform}[mapped.feed_rule]


def _device(captured: Captured, moves: frozenset[str], apps: Mapping[str, str]) -> dict[str, Any]:
    """`device_info`: only ids that mParticle's schema accepts (UUIDs), under the platform's own names."""
    device: dict[str, Any] = {}
    platform: str | None = captured[PLATFORM]
    if platform is not None and "platform" in moves and platform in PLATFORMS:
        device["platform"] = PLATFORMS[platform]
    if captured[MODEL] is not None:
        device["device_model"] = captured[MODEL]
    device_id: str | None = captured[DEVICE]
    if device_id is not None:
        is_ios = platform == "ios" or (platform is None and apps.get(captured[APP]) == "ios")
        if is_ios and _UUID.fullmatch(device_id):
            device["ios_idfv"] = device_id
    if captured[AD_ID] is not None:
        key = AD_ID_KEYS.get(captured[AD_TYPE])
        if key is not None and (key == ANY_TEXT_AD_ID or _UUID.fullmatch(captured[AD_ID])):
            device[key] = captured[AD_ID]
    if captured[AD_TRACKING] is not None:
        device["limit_ad_tracking"] = not captured[AD_TRACKING]
    return device
