"""Bodies that mParticle sends: a batch of the webhook output, and Firehose's requests.

Sources: mParticle's JSON reference and its pages on the webhook; samples and schemas of Firehose 3.2. Pure.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

FIREHOSE_VERSION = "3.2.0"
ACCOUNT_ID = 123456
SubscriptionAction = Literal["add", "update", "remove"]
_FIREHOSE_IDENTITIES: Mapping[str, str] = {
    "customer_id": "customer",
    **{f"other_id_{number}": f"other{number}" for number in range(2, 11)},
}
"""Firehose's names of identities where they are not those of the Events API."""


def webhook_batch(batch: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """A batch as it came, with identities as an array and what mParticle adds."""
    return {
        **batch,
        "events": [_with_ids(event, now_ms) for event in batch.get("events") or ()],
        "user_identities": [
            {"identity_type": kind, "identity": value, "timestamp_unixtime_ms": now_ms}
            for kind, value in _identities(batch)
        ],
        "batch_id": uuid.uuid4().int >> 66,
        "message_id": str(uuid.uuid4()),
        "message_type": "events",
        "timestamp_unixtime_ms": now_ms,
        "source_info": {"channel": "server_to_server", "is_historical": False},
    }


def single_messages(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An outgoing batch as one message for each event: its user stands beside its data."""
    around = {name: value for name, value in batch.items() if name != "events"}
    return [{**around, **event} for event in batch["events"]]


def firehose_events(batch: Mapping[str, Any], settings: Mapping[str, str], now_ms: int) -> dict[str, Any]:
    """`event_processing_request`. Lists among the attributes stand apart."""
    attributes = batch.get("user_attributes") or {}
    consent = (batch.get("consent_state") or {}).get("gdpr")
    return {
        **_request("event_processing_request", settings, now_ms),
        "source_id": str(uuid.uuid4()),
        "source_channel": "server_to_server",
        "user_identities": [_identity(kind, value) for kind, value in _identities(batch)],
        "user_attributes": {name: value for name, value in attributes.items() if not isinstance(value, list)},
        "user_attribute_lists": {name: value for name, value in attributes.items() if isinstance(value, list)},
        "events": [_firehose_event(_with_ids(event, now_ms)) for event in batch.get("events") or ()],
        **({"consent_state": {"gdpr_consent_state": consent}} if consent else {}),
        **({"mpid": str(batch["mpid"])} if batch.get("mpid") is not None else {}),
    }


def membership_change(
    audience: Mapping[str, Any], changes: Iterable[tuple[str, str]], settings: Mapping[str, str], now_ms: int
) -> dict[str, Any]:
    """`audience_membership_change_request`. `changes` are customer ids, each with `add` or `delete`."""
    return {
        **_request("audience_membership_change_request", settings, now_ms),
        "user_profiles": [
            {"user_identities": [_identity("customer_id", user)], "audiences": [{**audience, "action": action}]}
            for user, action in changes
        ],
    }


def subscription(
    audience: Mapping[str, Any], action: SubscriptionAction, settings: Mapping[str, str], now_ms: int
) -> dict[str, Any]:
    """`audience_subscription_request`: the audience is connected to the output, has another name, or leaves it."""
    return {**_request("audience_subscription_request", settings, now_ms), **audience, "action": action}


def _request(kind: str, settings: Mapping[str, str], now_ms: int) -> dict[str, Any]:
    return {
        "type": kind,
        "id": str(uuid.uuid4()),
        "timestamp_ms": now_ms,
        "firehose_version": FIREHOSE_VERSION,
        "account": {"account_id": ACCOUNT_ID, "account_settings": dict(settings)},
    }


def _identities(batch: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = batch.get("user_identities") or {}
    if isinstance(found, list):
        return [(each["identity_type"], each["identity"]) for each in found]
    return [(kind, value) for kind, value in found.items() if value is not None]


def _identity(kind: str, value: object) -> dict[str, str]:
    return {"type": _FIREHOSE_IDENTITIES.get(kind, kind), "encoding": "raw", "value": str(value)}


def _with_ids(event: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    data = event["data"]
    made = {"timestamp_unixtime_ms": now_ms, "message_id": data.get("source_message_id") or str(uuid.uuid4())}
    return {**event, "data": {**made, **{name: value for name, value in data.items() if value is not None}}}


def _firehose_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event in Firehose's words; what a purchase holds stands on the event itself."""
    data = event["data"]
    common = {
        "type": event["event_type"],
        "id": data["message_id"],
        "timestamp_ms": data["timestamp_unixtime_ms"],
        "attributes": data.get("custom_attributes") or {},
    }
    action = data.get("product_action")
    if event["event_type"] == "commerce_event" and action:
        products = [_product(each) for each in action.get("products") or ()]
        return {**common, **action, "type": "product_action", "products": products,
                "currency_code": data.get("currency_code")}  # fmt: skip
    name = data.get("event_name") or data.get("screen_name")
    return {**common, "name": name, "custom_event_type": data.get("custom_event_type")}


def _product(product: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"total_product_amount": "total_amount", "custom_attributes": "attributes"}
    return {renamed.get(name, name): value for name, value in product.items()}
