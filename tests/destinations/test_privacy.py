"""What a connector's `privacy` hides does not leave, in no payload of no event type; all else leaves as before."""

from __future__ import annotations

import hashlib
import hmac
import json
from random import Random
from typing import Any

import orjson
import pytest

from streams.delivery.contract import Destination, Encoding, Rejected
from streams.destinations import REGISTRY, ROUTED
from streams.destinations.privacy import Privacy
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import Kind
from streams.events.schemas import shipped, writer_schema

SALT = b"a salt of a test"
FEEDS = {feed: {"key": f"{feed}-k", "secret": f"{feed}-s"} for feed in ("ios", "android", "web", "unbound")}
SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0123456789abcdef0123456789abcdef", "device_properties": True},
    "mparticle": {"feeds": FEEDS, "apps": {"the-app": "android"}, "phone_attribute": True},
}
EVERY = [(name, event_type) for name, kind in ROUTED.items() if name in SETTINGS for event_type in kind.events]
CUSTOM = "users.behaviors.CustomEvent"
PUSH = "users.messages.pushnotification.Open"


def hashed(text: str) -> str:
    return hmac.new(SALT, text.encode(), hashlib.sha256).hexdigest()


def private(name: str, privacy: Privacy | None) -> Destination:
    kind = REGISTRY[name]
    settings = kind.settings.model_validate(SETTINGS[name])
    assert kind.private is not None
    return kind.build(settings) if privacy is None else kind.private(settings, privacy)


def encoded(name: str, event_type: str, record: dict[str, Any], privacy: Privacy | None) -> Encoding:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    encoder = private(name, privacy).encoder(schema)
    assert encoder is not None
    return encoder(encode_single_object(schema, record), SINGLE_OBJECT_HEADER_BYTES)


def body_of(name: str, event_type: str, record: dict[str, Any], privacy: Privacy | None) -> dict[str, Any]:
    encoding = encoded(name, event_type, record, privacy)
    assert isinstance(encoding, tuple), encoding
    found: dict[str, Any] = orjson.loads(encoding[1])
    return found


def planted(event_type: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A record whose every text is of a person, and the text of each field."""
    record = sample_record(event_type, Random(3), 1_767_225_600)
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    texts = {field.name: f"planted {field.name}" for field in schema.fields if field.kind is Kind.STRING}
    texts |= {field.name: f"planted {field.name}" for field in schema.fields if "STRINGS" in field.kind.name}
    del texts["id"]
    texts.pop("properties", None)
    for field in schema.fields:
        if field.name in texts:
            record[field.name] = texts[field.name] if field.kind is Kind.STRING else [texts[field.name], "other"]
    return record, texts


@pytest.mark.parametrize(("name", "event_type"), EVERY)
def test_what_is_dropped_is_in_no_payload(name: str, event_type: str) -> None:
    record, texts = planted(event_type)
    drop = frozenset(texts.keys() - {"external_user_id"})
    body = body_of(name, event_type, record, Privacy(drop=drop))
    text = json.dumps(body)
    assert [field for field in drop if f"planted {field}" in text] == []
    assert "planted external_user_id" in text


@pytest.mark.parametrize(("name", "event_type"), EVERY)
def test_what_is_hashed_leaves_as_its_hash_where_it_would_leave_else(name: str, event_type: str) -> None:
    """Where the vendor takes any text; what it takes in one form alone (an advertising id) may be missing."""
    record, texts = planted(event_type)
    plain = json.dumps(body_of(name, event_type, record, None))
    text = json.dumps(body_of(name, event_type, record, Privacy(hashed=frozenset(texts), salt=SALT)))
    sent = {field for field, value in texts.items() if f'"{value}"' in plain}
    assert "external_user_id" in sent
    assert "planted" not in text
    assert {field for field in sent if hashed(texts[field]) not in text} == set()


@pytest.mark.parametrize(("name", "event_type"), EVERY)
def test_rules_for_other_fields_change_no_byte(name: str, event_type: str) -> None:
    record, _ = planted(event_type)
    privacy = Privacy(drop=frozenset({"no_such_field"}), hashed=frozenset({"nor_this"}), salt=SALT)
    assert encoded(name, event_type, record, privacy) == encoded(name, event_type, record, None)


def test_the_feed_is_chosen_by_what_does_not_leave() -> None:
    record = {**planted(PUSH)[0], "app_id": "the-app", "platform": "ios"}
    for privacy in (
        Privacy(drop=frozenset({"app_id", "platform"})),
        Privacy(hashed=frozenset({"app_id", "platform"}), salt=SALT),
    ):
        encoding = encoded("mparticle", PUSH, record, privacy)
        assert isinstance(encoding, tuple)
        assert encoding[0] == "android"
        assert b"the-app" not in encoding[1]


def test_a_long_text_is_hashed_whole_and_not_counted_as_cut() -> None:
    record = {**planted(PUSH)[0], "campaign_name": "x" * 9_000}
    encoding = encoded("mparticle", PUSH, record, Privacy(hashed=frozenset({"campaign_name"}), salt=SALT))
    assert isinstance(encoding, tuple)
    assert encoding[2] == 0
    assert hashed("x" * 9_000).encode() in encoding[1]


@pytest.mark.parametrize("privacy", [Privacy(drop=frozenset({"number"})), Privacy(hashed=frozenset({"number"}))])
def test_a_field_that_is_no_text_for_this_writer_does_not_leave(privacy: Privacy) -> None:
    """A rule holds for a writer whose field has another type, also one that only fastavro reads."""
    for avro_type in ("long", "double", "boolean", {"type": "map", "values": "string"}):
        definition = {
            "type": "record",
            "name": "dataexport.S3.inner.users.behaviors.CustomEvent",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "external_user_id", "type": ["null", "string"]},
                {"name": "time", "type": "int"},
                {"name": "name", "type": "string"},
                {"name": "device_id", "type": avro_type},
            ],
        }
        schema = writer_schema(definition)
        value = {"long": 4711, "double": 4711.5, "boolean": True}.get(str(avro_type), {"a": "4711"})
        record = {"id": "i", "external_user_id": "u", "time": 5, "name": "n", "device_id": value}
        rules = Privacy(
            drop=frozenset({"device_id"} if privacy.drop else ()),
            hashed=frozenset({"device_id", "external_user_id"} if privacy.hashed else ()),
            salt=SALT,
        )
        encoder = private("mixpanel", rules).encoder(schema)
        assert encoder is not None
        encoding = encoder(encode_single_object(schema, record), SINGLE_OBJECT_HEADER_BYTES)
        assert isinstance(encoding, tuple), encoding
        properties = orjson.loads(encoding[1])["properties"]
        assert "device_id" not in properties
        assert properties["distinct_id"] == (hashed("u") if privacy.hashed else "u")


CUSTOMERS = {"plan": "gold", "email": "ada@example.com", "work email": "a@example.com", "age": 41, "tags": ["a", None]}


def properties_of(privacy: Privacy, properties: str) -> dict[str, Any]:
    body = body_of("mixpanel", CUSTOM, {**planted(CUSTOM)[0], "properties": properties}, privacy)
    prefix = "[Custom event property] "
    return {key.removeprefix(prefix): value for key, value in body["properties"].items() if key.startswith(prefix)}


def test_keys_of_the_customers_json_are_dropped_and_hashed_by_name_and_glob() -> None:
    privacy = Privacy(properties_drop=("*email",), properties_hash=("age", "tags"), salt=SALT)
    assert properties_of(privacy, json.dumps(CUSTOMERS)) == {
        "plan": "gold",
        "age": hashed("41"),
        "tags": [hashed("a"), None],
    }


def test_a_key_that_is_dropped_and_hashed_is_dropped() -> None:
    privacy = Privacy(properties_drop=("plan",), properties_hash=("*",), salt=SALT)
    assert properties_of(privacy, '{"plan": "gold", "b": {"y": 1, "x": 2}}') == {"b": hashed('{"x":2,"y":1}')}


def test_customers_json_that_cannot_be_read_is_parked_and_not_sent_whole() -> None:
    privacy = Privacy(properties_drop=("email",))
    for text in ('["email"]', '{"email": "ada@example.com"', "ada@example.com"):
        encoding = encoded("mixpanel", CUSTOM, {**planted(CUSTOM)[0], "properties": text}, privacy)
        assert isinstance(encoding, Rejected)
        assert "ada" not in encoding.detail


def test_a_custom_event_whose_name_is_dropped_is_sent_without_it() -> None:
    body = body_of("mixpanel", CUSTOM, planted(CUSTOM)[0], Privacy(drop=frozenset({"name"})))
    assert body["event"] == "[Braze Custom Event]"


def test_the_salt_is_not_shown() -> None:
    assert SALT.decode() not in repr(Privacy(salt=SALT))


def braze_objects(record_type: str, record: dict[str, Any], privacy: Privacy) -> dict[str, Any]:
    kind = REGISTRY["braze"]
    assert kind.private is not None
    schema = shipped().by_event_type(record_type)
    assert schema is not None
    destination = kind.private(kind.example(), privacy)
    encoder = destination.encoder(schema)
    assert encoder is not None
    encoding = encoder(
        encode_single_object(schema, {**kind.received[record_type], **record}), SINGLE_OBJECT_HEADER_BYTES
    )
    assert isinstance(encoding, tuple), encoding
    found: dict[str, Any] = orjson.loads(destination.request(encoding[0], [encoding[1]]).body)
    return found


def test_attributes_for_braze_are_dropped_and_hashed_by_the_names_that_braze_gets() -> None:
    changes = json.dumps({"$FirstName": "Ada", "email": "ada@example.com", "plan": "gold", "visits": 7, "gone": None})
    privacy = Privacy(
        drop=frozenset({"first_name"}), hashed=frozenset({"external_user_id", "email", "visits", "gone"}), salt=SALT
    )
    assert braze_objects("wayback.Attributes", {"changes": changes}, privacy)["attributes"] == [
        {
            "external_id": hashed("user-0001"),
            "email": hashed("ada@example.com"),
            "plan": "gold",
            "visits": hashed("7"),
            "gone": None,
        }
    ]


@pytest.mark.parametrize(("record_type", "array"), [("wayback.Event", "events"), ("wayback.Purchase", "purchases")])
def test_properties_of_events_and_purchases_for_braze_are_hidden_by_their_keys(record_type: str, array: str) -> None:
    privacy = Privacy(
        hashed=frozenset({"external_user_id"}), properties_drop=("e*",), properties_hash=("card",), salt=SALT
    )
    record = {"properties": '{"email": "ada@example.com", "card": "41", "kept": "yes"}'}
    sent = braze_objects(record_type, record, privacy)[array][0]
    assert sent["external_id"] == hashed("user-0001")
    assert sent["properties"] == {"card": hashed("41"), "kept": "yes"}


def test_who_joins_an_audience_is_hashed_once_also_where_the_word_follows_from_what_is_remembered() -> None:
    privacy = Privacy(hashed=frozenset({"external_user_id"}), salt=SALT)
    raw = braze_objects("wayback.Membership", {}, privacy)["attributes"][0]
    assert raw["external_id"] == hashed("user-0001")
    remembered = {"id": "1/2/1/7/x/derived", "external_user_id": hashed("user-0001")}
    assert (
        braze_objects("wayback.Membership", remembered, privacy)["attributes"][0]["external_id"] == raw["external_id"]
    )
    older = {"id": "1/2/1/7/user-0001/derived"}  # remembered before hashing was wanted
    assert braze_objects("wayback.Membership", older, privacy)["attributes"][0]["external_id"] == raw["external_id"]
