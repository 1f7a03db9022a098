"""Any valid event of any mapped type gives a payload that the vendor's rules accept, or a named reason why not.

The rules are written here anew from the vendors' pages; mParticle's own JSON Schema judges too where it is at hand.
"""

from __future__ import annotations

import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.delivery.contract import Destination, Encoder, Rejected, Skipped
from streams.destinations import REGISTRY
from streams.destinations.wire import json_array
from streams.events.encodings import encode_single_object
from streams.events.schema import Kind, WriterSchema
from streams.events.schemas import shipped, writer_schema

FACTS = Path(__file__).resolve().parents[2].parent / "shared" / "facts" / "mparticle"
FEEDS = {feed: {"key": f"{feed}-k", "secret": f"{feed}-s"} for feed in ("ios", "android", "web", "unbound")}
SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0123456789abcdef0123456789abcdef"},
    "mparticle": {"feeds": FEEDS},
    "mparticle in Braze's spelling": {"feeds": FEEDS, "wire": "braze", "event_names": "classic"},
}
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@cache
def built(name: str) -> Destination:
    kind = REGISTRY[name.split()[0]]
    return kind.build(kind.settings.model_validate(SETTINGS[name]))


@cache
def encoder_of(name: str, event_type: str) -> tuple[WriterSchema, Encoder]:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    encoder = built(name).encoder(schema)
    assert encoder is not None
    return schema, encoder


TEXTS = st.text(max_size=60) | st.sampled_from(
    [
        *("ios", "android", "kindle", "roku", "web", "google_ad_id", "ios_idfa", "windows_ad_id", "roku_ad_id", "null"),
        *("8c61383f-2216-4713-8c1c-1cb0a5d7a4cc", "8C61383F22164713", " ", "x" * 4_096, "é" * 2_049, "😀" * 1_200),
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CUSTOMERS_JSON = st.dictionaries(st.text(max_size=12), JSON_VALUES, max_size=8).map(json.dumps) | st.sampled_from(
    ["", "null", "[]", '"text"', "{", '{"a":NaN}', '{"a":"\\ud800"}', "[" * 5000, '{"$ignore":true,"time":1,"":2}']
)


def values(kind: Kind, name: str) -> st.SearchStrategy[Any]:
    if name == "properties":
        return CUSTOMERS_JSON
    return {
        Kind.STRING: TEXTS,
        Kind.LONG: st.integers(-(2**31), 2**31 - 1),
        Kind.BOOLEAN: st.booleans(),
        Kind.FLOAT: st.floats(width=32),
        Kind.DOUBLE: st.floats(),
        Kind.STRINGS: st.lists(TEXTS, max_size=3),
        Kind.NULLABLE_STRINGS: st.lists(st.none() | TEXTS, max_size=3),
    }[kind]


@st.composite
def events(draw: st.DrawFn, name: str) -> tuple[str, dict[str, Any]]:
    event_type = draw(st.sampled_from(sorted(REGISTRY[name].event_types)))
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    record = {}
    for field in schema.fields:
        strategy = values(field.kind, field.name)
        record[field.name] = draw(st.none() | strategy if field.nullable else strategy)
    return event_type, record


def scalars_only(attributes: dict[str, Any]) -> None:
    for key, item in attributes.items():
        assert isinstance(item, str | int | float | bool), key
        assert item != ""
        assert not isinstance(item, str) or len(item.encode()) <= 4096


def breaks_a_rule_of_json(text: str) -> bool:
    """Whether Mixpanel would not take the customer's JSON: no object, too deep, too wide, or no JSON over the wire."""

    def depth(item: Any) -> int:
        if isinstance(item, dict):
            return 1 + max(map(depth, item.values()), default=0)
        return max(map(depth, item), default=0) if isinstance(item, list) else 0

    def is_sendable(item: Any) -> bool:
        if isinstance(item, dict):
            return len(item) < 255 and all(is_sendable(key) and is_sendable(child) for key, child in item.items())
        if isinstance(item, list):
            return len(item) < 255 and all(map(is_sendable, item))
        if isinstance(item, str):
            return not any("\ud800" <= letter <= "\udfff" for letter in item)
        if isinstance(item, int):
            return True
        return not isinstance(item, float) or math.isfinite(item)

    if not text.strip():
        return False
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return True
    if not isinstance(content, dict):
        return True
    sent = {key: item for key, item in content.items() if not isinstance(item, float) or math.isfinite(item)}
    # An object directly under a property is at level 1: Mixpanel's page of /import.
    return max(map(depth, sent.values()), default=0) > 3 or not is_sendable(sent)


def check_mixpanel(record: dict[str, Any], event: dict[str, Any]) -> None:
    properties = event["properties"]
    assert set(event) == {"event", "properties"}
    assert event["event"].strip()
    assert properties["distinct_id"] == properties["$user_id"] == record["external_user_id"]
    assert properties["time"] == record["time"] * 1000
    assert re.fullmatch(r"[A-Za-z0-9-]{1,36}", properties["$insert_id"])
    assert properties["$partner_id"] == "braze"
    assert properties["ip"] == 0
    assert len(properties) < 255
    reserved = {"$ignore", "$bucket", "bucket", "$event_name", "mp_lib", "$device_id", "alias"}
    assert not reserved & properties.keys()
    for key, item in properties.items():
        assert item is not None, key
        assert item != "" or key == "distinct_id", key
        assert not isinstance(item, float) or math.isfinite(item)


def check_mparticle(record: dict[str, Any], batch: dict[str, Any]) -> None:
    (event,) = batch["events"]
    data = event["data"]
    assert batch["user_identities"]["customer_id"] == record["external_user_id"]
    assert batch["source_request_id"] == data["source_message_id"] == data["custom_attributes"]["source_request_id"]
    assert data["timestamp_unixtime_ms"] == record["time"] * 1000
    assert batch.get("device_info") != {}
    assert batch.get("user_attributes") != {}
    scalars_only(data["custom_attributes"])
    device = batch.get("device_info", {})
    for key in ("ios_idfv", "ios_advertising_id", "android_advertising_id", "roku_advertising_id"):
        assert key not in device or UUID.fullmatch(device[key])
    assert device.get("platform", "iOS") in ("iOS", "Android", "web", "tvOS", "roku")
    if event["event_type"] == "custom_event":
        assert data["custom_event_type"] == "other"
        assert data["event_name"]
    else:
        assert event["event_type"] == "uninstall"


@cache
def vendor_schema() -> Any:
    """The schema of a bulk request, which refers to a batch's by its id."""
    from jsonschema import Draft7Validator, FormatChecker
    from referencing import Registry, Resource

    batch, bulk = (
        json.loads((FACTS / name).read_text())
        for name in ("mparticle-eventsapi-schema.json", "mparticle-eventsapi-bulk-schema.json")
    )
    registry: Any = Registry().with_resource(batch["$id"], Resource.from_contents(batch))
    return Draft7Validator(bulk, registry=registry, format_checker=FormatChecker())


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(events("mixpanel"))
def test_any_event_becomes_what_mixpanel_takes_or_has_a_named_reason(made: tuple[str, dict[str, Any]]) -> None:
    event_type, record = made
    schema, encode = encoder_of("mixpanel", event_type)
    encoding = encode(encode_single_object(schema, record), 10)
    text = record.get("properties", "")
    is_bad_json = breaks_a_rule_of_json(text)
    if isinstance(encoding, Rejected):
        user = record.get("external_user_id") or ""
        reasons = [
            not user.strip(),
            record["id"] == "",
            event_type == "users.behaviors.CustomEvent" and record["name"] == "",
            is_bad_json,
            # Beside a NaN, which only Python's reader takes, a number stays whole; elsewhere it becomes a float.
            "NaN" in text or "Infinity" in text,
        ]
        assert any(reasons), encoding.detail
        assert user not in encoding.detail or len(user) < 4
        return
    assert isinstance(encoding, tuple)
    assert not is_bad_json
    scope, body, cuts = encoding
    assert (scope, cuts) == ("default", 0)
    check_mixpanel(record, json.loads(body))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(events("mparticle"), st.booleans())
def test_any_event_becomes_what_mparticle_takes_or_has_a_named_reason(
    made: tuple[str, dict[str, Any]], is_brazes: bool
) -> None:
    event_type, record = made
    schema, encode = encoder_of("mparticle in Braze's spelling" if is_brazes else "mparticle", event_type)
    encoding = encode(encode_single_object(schema, record), 10)
    if isinstance(encoding, Rejected):
        assert not (record.get("external_user_id") or "").strip() or record["id"] == ""
        return
    assert isinstance(encoding, tuple)
    scope, body, _ = encoding
    assert scope in FEEDS
    batch = json.loads(body)
    if is_brazes:  # mParticle takes what its schema does not know: another spelling, a version, empty objects
        assert batch.pop("schema_version") == 2
        batch["user_identities"]["customer_id"] = batch["user_identities"].pop("customerid")
        batch = {key: item for key, item in batch.items() if item != {}}
    check_mparticle(record, batch)
    if FACTS.is_dir():
        errors = [error.message for error in vendor_schema().iter_errors([batch])]
        assert errors == []


@pytest.mark.skipif(not FACTS.is_dir(), reason="mParticle's JSON Schema is not beside this repository")
def test_the_vendors_schema_refuses_what_is_wrong() -> None:
    wrong = {"environment": "production", "device_info": {"platform": "ios"}, "events": []}
    assert list(vendor_schema().iter_errors([wrong]))


def rejected(text: str, event_type: str = "users.behaviors.CustomEvent") -> str:
    schema, encode = encoder_of("mixpanel", event_type)
    record = {"id": "a", "user_id": "u", "external_user_id": "x", "time": 1, "name": "n", "properties": text}
    encoding = encode(encode_single_object(schema, record), 10)
    assert isinstance(encoding, Rejected), encoding
    return encoding.detail


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("[]", "properties is not a JSON object"),
        ("7", "properties is not a JSON object"),
        ("{", "properties is not JSON"),
        ('{"a":[NaN]}', "a property holds a number that is not finite"),
        ('{"a":"\\ud800"}', "properties is not JSON"),
        ('{"a":NaN,"b":' + "9" * 20 + "}", "properties is not JSON"),
        ("[" * 100_000, "properties is not JSON"),
        (json.dumps({"a": {"b": {"c": {"d": {}}}}}), "a property is nested deeper than 3 levels"),
        ('{"a":' + "[" * 1000 + "]" * 1000 + "}", "a property is nested deeper than 50 levels of objects and arrays"),
        (json.dumps({"a": list(range(255))}), "a property has an array of 255 elements, and Mixpanel takes 254"),
        (
            json.dumps({"a": {str(n): n for n in range(255)}}),
            "a property has an object of 255 keys, and Mixpanel takes 254",
        ),
        (json.dumps({"a": "x" * 1_000_000}), "the event is"),
        (json.dumps({str(number): 1 for number in range(260)}), "the event has"),
    ],
)
def test_customers_json_that_breaks_a_rule_is_rejected_with_the_rule_and_no_value(text: str, detail: str) -> None:
    assert rejected(text).startswith(detail)


def test_customers_keys_are_prefixed_so_that_none_is_a_reserved_name() -> None:
    schema, encode = encoder_of("mixpanel", "users.behaviors.CustomEvent")
    text = '{"$ignore":true,"time":5,"nested":{"deep":[null,""]},"none":null,"empty":"","zero":0,"no":false,'
    text += '"nan":NaN,"infinite":-Infinity,"huge":1e400}'
    record = {"id": "a", "user_id": "u", "external_user_id": "x", "time": 1, "name": "viewed", "properties": text}
    encoding = encode(encode_single_object(schema, record), 10)
    assert isinstance(encoding, tuple)
    event = json.loads(encoding[1])
    assert event["event"] == "[Braze Custom Event] viewed"
    prefix = "[Custom event property] "
    assert {key: item for key, item in event["properties"].items() if key.startswith(prefix)} == {
        prefix + "$ignore": True,
        prefix + "time": 5,
        prefix + "nested": {"deep": [None, ""]},
        prefix + "zero": 0,
        prefix + "no": False,
    }


def test_times_beyond_64_bits_of_milliseconds_are_rejected_not_raised() -> None:
    for name in ("mixpanel", "mparticle"):
        event_type = "users.messages.whatsapp.Send"
        schema, encode = encoder_of(name, event_type)
        for time in (2**62, -(2**62)):
            record = {"id": "a", "user_id": "u", "external_user_id": "x", "time": time, "from_phone_number": "+1"}
            assert encode(encode_single_object(schema, record), 10) == Rejected("time is missing or out of range")


def test_an_id_of_another_form_becomes_36_digits_of_its_hash() -> None:
    import hashlib

    schema, encode = encoder_of("mixpanel", "users.messages.email.Open")
    for event_id, sent in (
        ("3F2B1c9e-0000-4a4a-9c9c-1234567890ab", "3F2B1c9e-0000-4a4a-9c9c-1234567890ab"),
        ("under_score", hashlib.sha256(b"under_score").hexdigest()[:36]),
        ("x" * 37, hashlib.sha256(b"x" * 37).hexdigest()[:36]),
    ):
        record = {"id": event_id, "user_id": "u", "external_user_id": "x", "time": 1, "email_address": "a@example.com"}
        encoding = encode(encode_single_object(schema, record), 10)
        assert isinstance(encoding, tuple)
        assert json.loads(encoding[1])["properties"]["$insert_id"] == sent


def test_a_schema_with_fields_that_the_walker_does_not_read_goes_by_fastavro() -> None:
    schema = writer_schema(
        {
            "type": "record",
            "name": "dataexport.S3.inner.users.messages.email.Open",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "extra", "type": {"type": "map", "values": "int"}},
                {"name": "external_user_id", "type": ["null", "string"], "default": None},
                {"name": "time", "type": "long"},
                {"name": "campaign_id", "type": ["string", "null"]},
            ],
        }
    )
    encode = built("mixpanel").encoder(schema)
    assert encode is not None
    record = {"id": "a", "extra": {"b": 1}, "external_user_id": "x", "time": 7, "campaign_id": "c"}
    encoding = encode(encode_single_object(schema, record), 10)
    assert isinstance(encoding, tuple)
    properties = json.loads(encoding[1])["properties"]
    assert (properties["campaign_id"], properties["time"]) == ("c", 7000)


def test_feeds_without_credentials_fall_back_or_are_skipped_by_name() -> None:
    kind = REGISTRY["mparticle"]
    schema = shipped().by_event_type("users.messages.pushnotification.Open")
    assert schema is not None
    record = {"id": "a", "user_id": "u", "external_user_id": "x", "time": 1, "app_id": "app", "platform": "web"}
    value = encode_single_object(schema, record)
    outcomes = []
    for settings_ in (
        {"feeds": {"unbound": FEEDS["unbound"]}},
        {"feeds": {"ios": FEEDS["ios"]}, "feed_fallback": "skip"},
        {"feeds": {"ios": FEEDS["ios"], "unbound": FEEDS["unbound"]}, "apps": {"app": "ios"}},
    ):
        encode = kind.build(kind.settings.model_validate(settings_)).encoder(schema)
        assert encode is not None
        encoding = encode(value, 10)
        outcomes.append(encoding[0] if isinstance(encoding, tuple) else encoding)
    assert outcomes == ["unbound", Skipped("no_credentials_for_feed"), "ios"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100])
def test_the_events_of_a_request_are_one_array_in_their_order(count: int) -> None:
    items = [b'{"number":%d}' % number for number in range(count)]
    assert json_array(items) == b"[" + b",".join(items) + b"]"
