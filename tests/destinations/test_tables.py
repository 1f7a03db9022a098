"""The mapping tables against the facts they were arranged from, entry by entry, and against the shipped schemas."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from streams.destinations import REGISTRY
from streams.destinations.mparticle.mapping import CLASSIC, EVENTS
from streams.events.catalogue import CATALOGUE
from streams.events.schemas import shipped

FACTS = Path(__file__).resolve().parents[2].parent / "shared" / "facts" / "braze" / "partner_payloads.json"
needs_facts = pytest.mark.skipif(not FACTS.is_file(), reason="the documented payloads are not beside this repository")
DEVICE_KEYS = {"device_model": "model", "ios_idfv": "idfv", "platform": "platform", "limit_ad_tracking": "ads"}


CARD_SENT, SMS_FAILURE = "users.messages.contentcard.Send", "users.messages.sms.DeliveryFailure"
"""Braze's own pages list one more attribute of each than the documented payloads do: `app_id`, `from_phone_number`."""


@cache
def documented(destination: str) -> dict[str, Any]:
    """The documented mapping of each event type that has one."""
    facts = json.loads(FACTS.read_text())
    events = {**facts["events"], **facts["retired_events"]}
    return {event_type: event[destination] for event_type, event in events.items() if event[destination]}


@needs_facts
@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
def test_the_same_types_are_mapped_under_the_same_names_by_default_and_by_inference(destination: str) -> None:
    mapped = REGISTRY[destination].events
    facts = documented(destination)
    assert mapped.keys() == facts.keys()
    for event_type, fact in facts.items():
        event = mapped[event_type]
        if (destination, event_type) == ("mparticle", CARD_SENT):
            fact = {**fact, "feed_rule": "by app_id"}
        assert event.name == fact["event_name_default"], event_type
        assert event.is_default == bool(fact.get("default_selected")), event_type
        assert event.is_inferred == bool(fact.get("event_name_inferred")), event_type
        assert event.remark == fact.get("feed_rule", ""), event_type


@needs_facts
def test_mixpanel_gets_the_documented_properties_from_the_documented_fields() -> None:
    elsewhere = {"distinct_id", "$insert_id", "time", "event"}
    for event_type, fact in documented("mixpanel").items():
        expected = defaultdict(set)
        for attribute in fact["attributes"]:
            if attribute["name"] not in elsewhere and not attribute["name"].endswith("<key>"):
                expected[attribute["source"] or attribute["field"]].add(attribute["name"])
        fields = REGISTRY["mixpanel"].events[event_type].fields
        assert {field: set(keys) for field, keys in fields.items()} == expected, event_type


@needs_facts
def test_mparticle_gets_the_documented_attributes_in_the_documented_places() -> None:
    for event_type, fact in documented("mparticle").items():
        attributes: dict[str, set[str]] = defaultdict(set)
        moves: set[str] = set()
        mobile = None
        for attribute in fact["attributes"]:
            name, field = attribute["name"], attribute["source"] or attribute["field"]
            match attribute["at"]:
                case "custom_attributes" if name != "source_request_id":
                    attributes[field].add(name)
                case "device_info":
                    moves.add(DEVICE_KEYS.get(name, "ads"))
                case "user_identities" if name != "customerid":
                    moves.add(name)
                case "user_attributes":
                    assert name == "$mobile"
                    mobile = field
        event = EVENTS[event_type]
        if event_type == CARD_SENT:
            attributes["app_id"].add("app_id")
        elif event_type == SMS_FAILURE:
            attributes["from_phone_number"].add("from_phone_number")
        attributes.pop(mobile or "", None)  # whether the phone stays an attribute is a setting
        assert {field: set(keys) for field, keys in event.fields.items()} == attributes, event_type
        assert (set(event.moves), event.mobile) == (moves, mobile), event_type


@needs_facts
def test_the_classic_names_are_those_of_2021_with_what_was_listed_then() -> None:
    expected = {
        event_type: (fact["event_name_seed0_2021"], set(fact["seed0_listed_properties"]))
        for event_type, fact in documented("mparticle").items()
        if fact.get("event_name_seed0_2021")
    }
    assert {event_type: (event.name, set(event.keys)) for event_type, event in CLASSIC.items()} == expected


@pytest.mark.parametrize(("destination", "current", "retired"), [("mixpanel", 88, 6), ("mparticle", 77, 6)])
def test_every_mapped_type_is_in_the_catalogue(destination: str, current: int, retired: int) -> None:
    types = {event_type.name: event_type for event_type in CATALOGUE.values()}
    mapped = REGISTRY[destination].event_types
    assert mapped <= types.keys()
    assert sum(not types[name].retired for name in mapped) == current
    assert sum(types[name].retired for name in mapped) == retired


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
def test_no_two_fields_of_a_shipped_schema_share_a_key(destination: str) -> None:
    for event_type, event in REGISTRY[destination].events.items():
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        present = {field.name for field in schema.fields}
        keys = [key for field, keys in event.fields.items() if field in present for key in keys]
        assert len(keys) == len(set(keys)), event_type


def test_every_type_that_mixpanel_does_not_count_as_a_user_keeps_its_name() -> None:
    names = {event.name for event in REGISTRY["mixpanel"].events.values()}
    assert names >= {
        "Canvas Entry", "Email Send", "Email Delivery", "Email Bounce", "Email Soft Bounce", "Email Mark As Spam",
        "Email Unsubscribe", "Push Notification Send", "Push Notification Bounce", "Webhook Send", "SMS Send",
        "SMS Delivery", "SMS Delivery Failure", "SMS Rejection", "SMS Send to Carrier",
    }  # fmt: skip
