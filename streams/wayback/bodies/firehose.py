"""mParticle's Firehose: requests by their `type`, each with the response that it waits for.

Events come under other names than in batches, so they are put into the batch's words and read as such. Source:
mParticle's samples and schemas of Firehose 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streams.wayback.bodies import events
from streams.wayback.bodies.audiences import MEMBERSHIP_REQUEST, take_memberships, take_subscription
from streams.wayback.bodies.taken import BadBody, Taken, text_of
from streams.wayback.entries import Firehose

VERSION = "3.2.0"
SUBSCRIPTION_REQUEST = "audience_subscription_request"
_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "event_processing_request": {"type": "event_processing_response"},
    MEMBERSHIP_REQUEST: {"type": "audience_membership_change_response", "suspend_subscription": False},
    SUBSCRIPTION_REQUEST: {"type": "audience_subscription_response", "audience_subscription_settings": {}},
}
_SAME_NAME = frozenset({"custom_event", "screen_view", "session_start", "session_end"})


def take(entry: Firehose, content: object, taken: Taken) -> None:
    """Adds the request's records to `taken`. Raises `BadBody`.

    The answer never asks mParticle to suspend a subscription: a connector that cannot deliver still receives.
    """
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(kind, str) or kind not in _RESPONSES:
        raise BadBody(f"type is none of {', '.join(sorted(_RESPONSES))}")
    taken.answer = {
        **_RESPONSES[kind],
        "id": taken.request,
        "timestamp_ms": taken.received_ms,
        "firehose_version": text_of(content.get("firehose_version")) or VERSION,
    }
    if kind == MEMBERSHIP_REQUEST:
        take_memberships(entry, content, taken)
    elif kind == SUBSCRIPTION_REQUEST:
        take_subscription(entry, content, taken)
    elif not _keeps_alive(content):
        events.take(entry, _batch(content), taken)


def _keeps_alive(request: Mapping[str, Any]) -> bool:
    """A request without a user and without events only asks whether somebody is there."""
    return not request.get("events") and not request.get("user_identities")


def _batch(request: Mapping[str, Any]) -> dict[str, Any]:
    lists = request.get("user_attribute_lists")
    attributes = request.get("user_attributes")
    environment = request.get("runtime_environment")
    consent = request.get("consent_state")
    found = request.get("events")
    gdpr = consent.get("gdpr_consent_state", consent.get("gdpr")) if isinstance(consent, dict) else None
    device = environment if isinstance(environment, dict) else {}
    return {
        "batch_id": request.get("id"),
        "timestamp_unixtime_ms": request.get("timestamp_ms"),
        "mpid": request.get("mpid"),
        "user_identities": request.get("user_identities"),
        "user_attributes": _joined(attributes, lists),
        "consent_state": {"gdpr": gdpr} if isinstance(consent, dict | None) else consent,
        "device_info": {"platform": device.get("type")},
        "mp_deviceid": request.get("device_application_stamp"),
        "events": [_event(event) for event in found] if isinstance(found, list) else found,
    }


def _joined(attributes: object, lists: object) -> object:
    """Both as one object; the one that is none where there is such, which is found so later."""
    match attributes, lists:
        case (dict() | None, dict() | None):
            return {**(attributes or {}), **(lists or {})}
        case (dict() | None, _):
            return lists
        case _:
            return attributes


def _event(event: object) -> object:
    """One event in the words of a batch; what cannot be read is left as it is, and found so later."""
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return event
    data = {
        "message_id": event.get("id"),
        "timestamp_unixtime_ms": event.get("timestamp_ms"),
        "session_id": event.get("session_id"),
        "custom_attributes": event.get("attributes"),
    }
    match event["type"]:
        case "product_action":
            action = {name: event.get(name) for name in ("action", "transaction_id", "total_amount", "tax_amount")}
            action |= {"shipping_amount": event.get("shipping_amount"), "products": _products(event.get("products"))}
            return _told("commerce_event", data, product_action=action, currency_code=event.get("currency_code"))
        case "promotion_action":
            action = {"action": event.get("action"), "promotions": event.get("promotions")}
            return _told("commerce_event", data, promotion_action=action)
        case "impression":
            given = event.get("impressions", event.get("product_impressions"))
            return _told("commerce_event", data, product_impressions=_each(given, _impression))
        case "privacy_setting_change":
            return _told("opt_out", data, is_opted_out=event.get("is_opted_out", event.get("opt_out")))
        case "push_subscription":
            is_registered = event.get("action") != "unsubscribe"
            return _told("push_registration", data, register=is_registered, registration_token=event.get("token"))
        case "user_attribute_change":
            name, is_deleted = event.get("user_attribute_name", event.get("name")), event.get("deleted")
            return _told("user_attribute_change", data, user_attribute_name=name, deleted=is_deleted)
        case kind if kind in _SAME_NAME:
            return _told(
                kind, data, event_name=event.get("name"), screen_name=event.get("screen_name", event.get("name"))
            )
        case kind:
            return _told(kind, data)


def _impression(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"product_impression_list": found.get("name"), "products": _products(found.get("products"))}


def _products(found: object) -> object:
    return _each(found, _product)


def _product(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "total_product_amount": found.get("total_amount"), "custom_attributes": found.get("attributes")}


def _each(found: object, told: Callable[[Mapping[str, Any]], object]) -> object:
    """Objects of a list in the words of a batch; what is none is left as it is, and found so later."""
    if not isinstance(found, list):
        return found
    return [told(each) if isinstance(each, dict) else each for each in found]


def _told(kind: str, data: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"event_type": kind, "data": {**data, **more}}
