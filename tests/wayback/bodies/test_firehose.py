"""mParticle's Firehose: each kind of request, its response, and what its events become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.bodies.firehose import take
from streams.wayback.bodies.taken import BadBody, Taken
from streams.wayback.entries import Entry
from streams.wayback.records import Attributes, Event, Malformed, Membership, Page, Purchase, encode

NOW = 1_790_000_000_123
SENT = 1_789_999_999_000
SAMPLES = Path(__file__).parents[3].parent / "shared" / "facts" / "mparticle" / "firehose"


def taken(content: Any, **given: Any) -> Taken:
    entry = TypeAdapter[Any](Entry).validate_python({"kind": "firehose", "keys": ["x" * 16], **given})
    found = Taken("audiences", NOW, "request-1")
    take(entry, content, found)
    for record in found.records:
        encode(record)
    return found


def request(*events: Any, **given: Any) -> dict[str, Any]:
    return {
        "type": "event_processing_request",
        "id": "r",
        "timestamp_ms": SENT,
        "firehose_version": "3.1.0",
        "user_identities": [{"type": "customer", "encoding": "raw", "value": "ann"}],
        "events": list(events),
        **given,
    }


def event(kind: str, **given: Any) -> dict[str, Any]:
    return {"type": kind, "id": "e", "timestamp_ms": SENT, "session_id": 5, **given}


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("event_processing_request", {"type": "event_processing_response"}),
        (
            "audience_membership_change_request",
            {"type": "audience_membership_change_response", "suspend_subscription": False},
        ),
        (
            "audience_subscription_request",
            {"type": "audience_subscription_response", "audience_subscription_settings": {}},
        ),
    ],
)
def test_each_request_gets_its_own_response_also_one_that_keeps_the_line_alive(kind: str, response: Any) -> None:
    found = taken({"type": kind, "id": "r", "firehose_version": "3.1.0"})
    assert found.answer == {**response, "id": "request-1", "timestamp_ms": NOW, "firehose_version": "3.1.0"}
    assert (found.records, found.skipped) == ([], {})


def subscription(**given: Any) -> dict[str, Any]:
    content = {"audience_id": 1234, "audience_name": "New Users", "action": "add", "timestamp_ms": SENT, "id": "s-1"}
    account = {"account_settings": {"streams_key": "key-of-sixteen-characters"}}
    return {"type": "audience_subscription_request", "account": account, **content, **given}


@pytest.mark.parametrize(
    ("action", "purpose"), [("add", "subscribe"), ("update", "subscribe"), ("remove", "unsubscribe")]
)
def test_a_subscription_is_a_word_about_its_audience(action: str, purpose: str) -> None:
    (page,) = taken(subscription(action=action)).records
    assert isinstance(page, Page)
    assert (page.purpose, page.group_id, page.group_name) == (purpose, "1234", "New Users")
    assert (page.id, page.time_ms, page.session) == ("s-1/1234", SENT, "s-1")


def test_a_subscription_to_an_audience_that_is_not_selected_is_counted() -> None:
    found = taken(subscription(), select=["Old*"])
    assert (found.records, found.skipped) == ([], {"not_selected": 1})


@pytest.mark.parametrize("given", [{"audience_id": None}, {"audience_id": [1]}, {"action": "more"}, {"action": None}])
def test_a_subscription_that_says_too_little_is_kept_for_a_person_without_its_key(given: dict[str, Any]) -> None:
    (record,) = taken(subscription(**given)).records
    assert isinstance(record, Malformed)
    assert "needs audience_id" in record.reason
    assert "key-of-sixteen-characters" not in record.body


@pytest.mark.parametrize(
    "content", [None, [], {}, {"type": 1}, {"type": "module_registration_request"}, {"type": "dsr_processing_request"}]
)
def test_other_requests_are_a_setup_fault(content: Any) -> None:
    with pytest.raises(BadBody, match="type is none of"):
        taken(content)


def test_events_in_firehoses_words_become_what_they_become_in_a_batchs() -> None:
    found = taken(
        request(
            event("custom_event", name="Played", attributes={"song": "x"}),
            event("screen_view", screen_name="Home"),
            event("session_start"),
            event("product_action", action="purchase", transaction_id="t", total_amount=11, currency_code="EUR",
                  products=[{"id": "sku", "price": 10, "quantity": 1, "total_amount": 10, "attributes": {"size": 42}}]),
            event("promotion_action", action="click", promotions=[{"id": "p"}]),
            event("privacy_setting_change", is_opted_out=True),
            event("error"),
            runtime_environment={"type": "android"},
        ),
        sessions=True,
    )  # fmt: skip
    names = [
        record.name if isinstance(record, Event) else getattr(record, "product_id", getattr(record, "message_type", ""))
        for record in found.records
    ]
    assert names == ["Played", "Viewed Home", "Session Start", "sku", "eCommerce - click - Item", "opt_out"]
    assert found.skipped == {"not_mapped": 1}
    purchase = found.records[3]
    assert isinstance(purchase, Purchase)
    assert (purchase.currency, purchase.price, purchase.platform, purchase.id) == ("EUR", 10.0, "android", "e/1")
    assert json.loads(purchase.properties) == {
        "Total Product Amount": 10, "Transaction Id": "t", "Total Amount": 11, "size": 42,
    }  # fmt: skip


def test_attributes_lists_and_consent_come_as_ever() -> None:
    found = taken(
        request(
            user_attributes={"plan": "gold"},
            user_attribute_lists={"colours": ["red"]},
            consent_state={"gdpr_consent_state": {"ads": {"consented": False}}},
        ),
        consent={"ads": "$google_ad_user_data"},
    )
    assert [json.loads(record.changes) for record in found.records if isinstance(record, Attributes)] == [
        {"plan": "gold", "colours": ["red"]},
        {"ads": False},
    ]


def test_memberships_come_by_the_same_line() -> None:
    profile = {
        "user_identities": [{"type": "customer", "encoding": "raw", "value": "ann"}],
        "audiences": [{"audience_id": 1, "action": "add"}],
    }
    found = taken({"type": "audience_membership_change_request", "id": "r", "user_profiles": [profile]})
    assert [type(record) for record in found.records] == [Membership]


@pytest.mark.parametrize("value", [{}, [], "x", 1, None, True, [1], {"a": 1}])
def test_no_shape_of_a_field_is_too_strange(value: Any) -> None:
    for name in (
        "events", "user_identities", "user_attributes", "user_attribute_lists", "consent_state", "runtime_environment",
        "timestamp_ms", "id", "mpid", "device_application_stamp",
    ):  # fmt: skip
        taken(request(event("custom_event", name="x"), **{name: value}))
    for kind in ("product_action", "promotion_action", "impression", "push_subscription", "user_attribute_change"):
        for name in ("products", "promotions", "impressions", "action", "attributes", "token", "name", "id"):
            taken(request(event(kind, **{name: value})), app_ids={"ios": "x"})


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="mParticle's samples are not beside this repository")
@pytest.mark.parametrize("name", ["android", "ios"])
def test_the_vendors_own_samples_are_taken(name: str) -> None:
    content = json.loads((SAMPLES / f"EventProcessingRequest_{name}.json").read_text())
    found = taken(content, external_identity="other", consent={"consentPurpose": "$google_ad_user_data"})
    assert not any(isinstance(record, Malformed) for record in found.records)
    assert {"customEvent", "eCommerce - add_to_cart - Item"} <= {
        getattr(record, "name", "") for record in found.records
    }


@pytest.mark.parametrize(
    "given",
    [
        {"events": 5},
        {"user_attributes": [1]},
        {"user_attribute_lists": "x"},
        {"consent_state": 7},
        {"events": [event("product_action", action="purchase", products=5)]},
        {"events": [event("product_action", action="purchase", products=[5])]},
        {"events": [event("impression", impressions=5)]},
        {"events": [event("impression", impressions=["x"])]},
    ],
)
def test_parts_of_another_shape_are_kept_for_a_person(given: dict[str, Any]) -> None:
    assert [type(record) for record in taken(request(**given)).records] == [Malformed]
