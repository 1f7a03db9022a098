"""Where an event's fields go in mParticle's batch, case by case, as the contract decides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.delivery.contract import Encoding, Rejected
from streams.destinations import REGISTRY
from streams.events.encodings import encode_single_object
from streams.events.schemas import shipped

PUSH = "users.messages.pushnotification.Open"
SMS = "users.messages.sms.Send"
UUID = "8c61383f-2216-4713-8c1c-1cb0a5d7a4cc"
FEEDS = {feed: {"key": f"{feed}-k", "secret": f"{feed}-s"} for feed in ("ios", "android", "web", "unbound")}
APPS = {"app-ios": "ios", "app-web": "web"}


def encoding_of(event_type: str, record: dict[str, Any], **settings: Any) -> Encoding:
    kind = REGISTRY["mparticle"]
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    keys = {"feeds": FEEDS, "apps": APPS, **settings}
    encode = kind.build(kind.settings.model_validate(keys)).encoder(schema)
    assert encode is not None
    full = {"id": "id-1", "user_id": "u", "external_user_id": "user-1", "time": 1_790_000_000, **record}
    return encode(encode_single_object(schema, full), 10)


def sent(event_type: str, record: dict[str, Any], **settings: Any) -> tuple[str, dict[str, Any], int]:
    encoding = encoding_of(event_type, record, **settings)
    assert isinstance(encoding, tuple), encoding
    return encoding[0], json.loads(encoding[1]), encoding[2]


def attributes_of(batch: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = batch["events"][0]["data"]["custom_attributes"]
    return attributes


@pytest.mark.parametrize(
    ("record", "feed", "device"),
    [
        ({"platform": "ios", "device_id": UUID}, "ios", {"platform": "iOS", "ios_idfv": UUID}),
        ({"platform": "ios", "device_id": "not-a-uuid"}, "ios", {"platform": "iOS"}),
        ({"platform": "tvos", "device_id": UUID}, "ios", {"platform": "tvOS"}),
        ({"platform": "android", "device_id": UUID}, "android", {"platform": "Android"}),
        ({"platform": "kindle"}, "android", {"platform": "Android"}),
        ({"platform": "web"}, "web", {"platform": "web"}),
        ({"platform": "roku"}, "unbound", {"platform": "roku"}),
        ({"platform": "fridge"}, "unbound", None),
        ({}, "unbound", None),
        ({"app_id": "app-ios", "device_id": UUID}, "ios", {"ios_idfv": UUID}),
        ({"app_id": "app-web", "device_id": UUID}, "web", None),
        ({"app_id": "app-web", "platform": "ios", "device_id": UUID}, "web", {"platform": "iOS", "ios_idfv": UUID}),
        ({"app_id": "another", "platform": "ios"}, "ios", {"platform": "iOS"}),
        ({"device_model": "Pixel 9"}, "unbound", {"device_model": "Pixel 9"}),
        ({"ad_id": UUID, "ad_id_type": "ios_idfa"}, "unbound", {"ios_advertising_id": UUID}),
        ({"ad_id": UUID, "ad_id_type": "google_ad_id"}, "unbound", {"android_advertising_id": UUID}),
        ({"ad_id": UUID, "ad_id_type": "roku_ad_id"}, "unbound", {"roku_advertising_id": UUID}),
        ({"ad_id": "any text", "ad_id_type": "windows_ad_id"}, "unbound", {"microsoft_advertising_id": "any text"}),
        ({"ad_id": "any text", "ad_id_type": "google_ad_id"}, "unbound", None),
        ({"ad_id": UUID, "ad_id_type": "new_kind"}, "unbound", None),
        ({"ad_id": UUID}, "unbound", None),
        ({"ad_tracking_enabled": True}, "unbound", {"limit_ad_tracking": False}),
        ({"ad_tracking_enabled": False}, "unbound", {"limit_ad_tracking": True}),
    ],
)
def test_platform_and_ids_decide_the_feed_and_the_device(
    record: dict[str, Any], feed: str, device: dict[str, Any] | None
) -> None:
    scope, batch, _ = sent(PUSH, {"app_id": "app-of-no-feed", **record})
    assert (scope, batch.get("device_info")) == (feed, device)
    assert not {"platform", "device_model", "ad_id", "ad_tracking_enabled"} & attributes_of(batch).keys()
    assert attributes_of(batch).get("device_id") == record.get("device_id")


def test_an_uninstall_is_an_event_type_of_its_own_and_goes_by_its_app() -> None:
    scope, batch, _ = sent("users.behaviors.Uninstall", {"app_id": "app-ios", "device_id": UUID})
    assert scope == "ios"
    assert batch == {
        "environment": "production",
        "source_request_id": "id-1",
        "user_identities": {"customer_id": "user-1"},
        "device_info": {"ios_idfv": UUID},
        "events": [
            {
                "event_type": "uninstall",
                "data": {
                    "timestamp_unixtime_ms": 1_790_000_000_000,
                    "source_message_id": "id-1",
                    "custom_attributes": {"app_id": "app-ios", "device_id": UUID, "source_request_id": "id-1"},
                },
            }
        ],
    }
    assert sent("users.behaviors.Uninstall", {"app_id": "another"})[0] == "unbound"


def test_an_email_event_is_unbound_and_its_address_an_identity_only() -> None:
    record = {"email_address": "a@example.com", "campaign_id": "c", "user_agent": ""}
    scope, batch, _ = sent("users.messages.email.Open", record)
    assert scope == "unbound"
    assert batch["user_identities"] == {"customer_id": "user-1", "email": "a@example.com"}
    assert attributes_of(batch) == {"campaign_id": "c", "source_request_id": "id-1"}


@pytest.mark.parametrize(("keeps", "attribute"), [(True, "+15550100"), (False, None)])
def test_a_phone_becomes_mobile_and_stays_an_attribute_unless_switched_off(keeps: bool, attribute: str | None) -> None:
    _, batch, _ = sent(SMS, {"to_phone_number": "+15550100"}, phone_attribute=keeps)
    assert batch["user_attributes"] == {"$mobile": "+15550100"}
    assert attributes_of(batch).get("to_phone_number") == attribute


def test_brazes_wire_form_has_its_spelling_and_its_empty_objects() -> None:
    _, batch, _ = sent(SMS, {}, wire="braze", environment="development")
    assert batch == {
        "environment": "development",
        "schema_version": 2,
        "source_request_id": "id-1",
        "user_identities": {"customerid": "user-1"},
        "device_info": {},
        "user_attributes": {},
        "events": [
            {
                "event_type": "custom_event",
                "data": {
                    "event_name": "SMS Sends",
                    "custom_event_type": "other",
                    "timestamp_unixtime_ms": 1_790_000_000_000,
                    "source_message_id": "id-1",
                    "custom_attributes": {"source_request_id": "id-1"},
                },
            }
        ],
    }


def test_another_identity_type_takes_the_external_user_id() -> None:
    _, batch, _ = sent(SMS, {}, identity="other_id_4")
    assert batch["user_identities"] == {"other_id_4": "user-1"}


def test_classic_changes_the_name_and_leaves_the_attributes_of_2021() -> None:
    record = {"app_id": "app", "campaign_id": "c", "campaign_name": "Spring", "dispatch_id": "d", "platform": "ios"}
    _, batch, _ = sent(PUSH, record, event_names="classic")
    assert batch["events"][0]["data"]["event_name"] == "Push Notification Open"
    assert attributes_of(batch) == {"app_id": "app", "campaign_id": "c", "source_request_id": "id-1"}
    assert batch["device_info"] == {"platform": "iOS"}


def test_types_without_a_name_of_2021_stay_as_they_are_now() -> None:
    record = {"to_phone_number": "+15550100", "campaign_name": "Spring"}
    event_type = "users.messages.whatsapp.Send"
    record["from_phone_number"] = "+15550199"
    assert sent(event_type, record, event_names="classic") == sent(event_type, record)


def test_a_name_of_ones_own_is_cut_at_256_bytes_and_counted() -> None:
    _, batch, cuts = sent(SMS, {}, event_names={SMS: "Text Message"})
    assert (batch["events"][0]["data"]["event_name"], cuts) == ("Text Message", 0)
    _, batch, cuts = sent(SMS, {}, event_names={SMS: "é" * 200})
    assert (batch["events"][0]["data"]["event_name"], cuts) == ("é" * 128, 1)


def test_attributes_over_4096_bytes_are_cut_on_a_character_boundary_and_counted() -> None:
    record = {"campaign_name": "x" + "é" * 3_000, "canvas_name": "x" * 4_096, "to_phone_number": "9" * 5_000}
    _, batch, cuts = sent(SMS, record)
    assert attributes_of(batch)["campaign_name"] == "x" + "é" * 2_047
    assert attributes_of(batch)["canvas_name"] == "x" * 4_096
    assert batch["user_attributes"]["$mobile"] == "9" * 4_096
    assert cuts == 3


def test_a_batch_over_128_kb_is_rejected_with_its_size_and_no_value() -> None:
    encoding = encoding_of(SMS, {"external_user_id": "u" * 130_000})
    assert isinstance(encoding, Rejected)
    assert "mParticle takes 128000" in encoding.detail
    assert "uuu" not in encoding.detail
