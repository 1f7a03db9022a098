"""Settings with made-up keys, and a record of each type that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.destinations.braze.settings import BrazeSettings

_COMMON: Mapping[str, Any] = {
    "id": "0a1b2c3d",
    "external_user_id": "user-0001",
    "time": 1_790_000_000,
    "time_ms": 1_790_000_000_123,
    "received_ms": 1_790_000_000_456,
}
_GROUP: Mapping[str, Any] = {"entry": "cohorts", "group_id": "7", "group_name": "Runners", "session": "1/2/1"}

SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "wayback.Attributes": {
        **_COMMON,
        "entry": "data",
        "changes": '{"plan":"gold","visits":7}',
        "message_type": "attributes",
        "platform": None,
    },
    "wayback.Event": {
        **_COMMON,
        "entry": "data",
        "name": "Played",
        "properties": '{"song":"Prelude"}',
        "platform": None,
    },
    "wayback.Malformed": {
        **_COMMON,
        "entry": "data",
        "external_user_id": None,
        "reason": "a member is not a JSON object",
        "body": "7",
    },
    "wayback.Membership": {
        **_COMMON,
        **_GROUP,
        "change": "add",
        "target": "attribute",
        "page": 1,
        "request": "request-1",
    },
    "wayback.Page": {
        **_COMMON,
        **_GROUP,
        "external_user_id": None,
        "purpose": "session",
        "page": 1,
        "pages": 1,
        "request": "request-1",
    },
    "wayback.Purchase": {
        **_COMMON,
        "entry": "data",
        "product_id": "sku-1",
        "currency": "EUR",
        "price": 9.99,
        "quantity": 1,
        "properties": "{}",
        "platform": None,
    },
}


def example() -> BrazeSettings:
    return BrazeSettings.model_validate(
        {
            "instance": "US-01",
            "rest_key": "00000000-0000-0000-0000-000000000000",
            "receive": {
                "cohorts": {"kind": "mixpanel_cohorts", "auth": {"passwords": ["made-up-password"]}},
                "data": {"kind": "mparticle_events", "keys": ["made-up-key-for-this"]},
            },
        }
    )
