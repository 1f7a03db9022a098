"""A writer's schema may be anything, and bytes too: an encoder answers, it never raises and never hangs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.contract import Encoding, Rejected, Skipped
from streams.destinations import REGISTRY
from streams.events.encoding import encode_bare
from streams.events.schema import NAMESPACE
from streams.events.schemas import writer_schema
from streams.events.walker import MISSING, PRESENT, UNDECODABLE, presence_reader

SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0123456789abcdef0123456789abcdef", "device_properties": True},
    "mparticle": {"feeds": {"unbound": {"key": "k", "secret": "s"}}, "apps": {"a": "ios"}, "wire": "braze"},
}
EVENT_TYPES = ["users.messages.pushnotification.Open", "users.messages.email.Click", "users.behaviors.Uninstall"]
FIELDS = [
    "id", "time", "external_user_id", "app_id", "platform", "device_id", "device_model", "ad_id", "ad_id_type",
    "ad_tracking_enabled", "email_address", "campaign_id", "os_version", "url",
]  # fmt: skip
ENUM = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
NESTED = {"type": "record", "name": "Inner", "fields": [{"name": "inner", "type": ["null", "string"]}]}
AVRO_TYPES: list[Any] = [
    "string", "int", "long", "boolean", "float", "double", "bytes", "null", ENUM, NESTED,
    {"type": "array", "items": "string"}, {"type": "array", "items": "bytes"}, {"type": "map", "values": "long"},
    {"type": "fixed", "name": "Four", "size": 4}, {"type": "long", "logicalType": "timestamp-millis"},
    ["null", "string"], ["string", "null"], ["null", "string", "long"], ["null", "boolean"], ["null", "long"],
    ["null", {"type": "array", "items": ["null", "string"]}], {"type": "array", "items": "double"},
]  # fmt: skip


def of_type(avro_type: Any) -> st.SearchStrategy[Any]:
    if isinstance(avro_type, list):
        return st.one_of(*(of_type(branch) for branch in avro_type))
    if isinstance(avro_type, str):
        return {
            "null": st.none(),
            "string": st.sampled_from(["ios", "a", "", " ", "6fa2b1c0-0000-4000-8000-00000000000a"]) | st.text(),
            "int": st.integers(-(2**31), 2**31 - 1),
            "long": st.integers(-(2**63), 2**63 - 1),
            "boolean": st.booleans(),
            "float": st.floats(width=32),
            "double": st.floats(),
            "bytes": st.binary(max_size=8),
        }[avro_type]
    match avro_type["type"]:
        case "array":
            return st.lists(of_type(avro_type["items"]), max_size=3)
        case "map":
            return st.dictionaries(st.text(max_size=3), of_type(avro_type["values"]), max_size=3)
        case "enum":
            return st.sampled_from(avro_type["symbols"])
        case "fixed":
            return st.binary(min_size=4, max_size=4)
        case "record":
            return st.fixed_dictionaries({"inner": st.none() | st.text(max_size=5)})
        case _:
            return of_type(avro_type["type"])


@st.composite
def data_of_odd_schemas(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=len(FIELDS)))
    fields, named = [], set()
    for name in names:
        avro_type = draw(st.sampled_from(AVRO_TYPES))
        if isinstance(avro_type, dict) and "name" in avro_type:
            if avro_type["name"] in named:  # Avro defines a name once
                avro_type = "string"
            else:
                named.add(avro_type["name"])
        fields.append({"name": name, "type": avro_type})
    record = {field["name"]: draw(of_type(field["type"])) for field in fields}
    event_type = draw(st.sampled_from(EVENT_TYPES))
    return {"type": "record", "name": NAMESPACE + event_type, "fields": fields}, record


def encoded(destination: str, definition: dict[str, Any], value: bytes) -> Encoding:
    kind = REGISTRY[destination]
    encode = kind.build(kind.settings.model_validate(SETTINGS[destination])).encoder(writer_schema(definition))
    assert encode is not None
    return encode(value, 0)


def check(encoding: Encoding) -> None:
    if isinstance(encoding, tuple):
        assert isinstance(json.loads(encoding[2]), dict)
    else:
        assert isinstance(encoding, Rejected | Skipped)


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
@given(made=data_of_odd_schemas(), data=st.data())
def test_fields_of_other_kinds_than_braze_writes_are_sent_or_missing_never_a_crash(
    destination: str, made: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject
) -> None:
    definition, record = made
    value = encode_bare(writer_schema(definition), record)
    encoding = encoded(destination, definition, value)
    check(encoding)
    user = record.get("external_user_id")
    if not isinstance(user, str) or not user.strip():
        assert encoding == Rejected("no external_user_id")
    elif destination == "mparticle" and isinstance(encoding, tuple):
        attributes = json.loads(encoding[2])["events"][0]["data"]["custom_attributes"]
        assert all(isinstance(item, str | int | float | bool) for item in attributes.values())
    corrupt = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4)) if value else 0):
        corrupt[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    check(encoded(destination, definition, bytes(corrupt) + data.draw(st.binary(max_size=4))))


@given(made=data_of_odd_schemas())
def test_the_router_sees_the_user_that_the_sink_will_see(made: tuple[dict[str, Any], dict[str, Any]]) -> None:
    definition, record = made
    schema = writer_schema(definition)
    value = encode_bare(schema, record)
    user = record.get("external_user_id")
    has_user = isinstance(user, str) and bool(user.strip())
    assert presence_reader(schema)(value, 0) == (PRESENT if has_user else MISSING)
    for end in range(len(value)):
        assert presence_reader(schema)(value[:end], 0) in (PRESENT, MISSING, UNDECODABLE)


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
@given(value=st.binary(max_size=200), start=st.integers(0, 220))
def test_any_bytes_from_any_start_are_survived(destination: str, value: bytes, start: int) -> None:
    fields = [{"name": "id", "type": "string"}, {"name": "time", "type": "int"}]
    definition = {"type": "record", "name": NAMESPACE + EVENT_TYPES[0], "fields": fields}
    kind = REGISTRY[destination]
    encode = kind.build(kind.settings.model_validate(SETTINGS[destination])).encoder(writer_schema(definition))
    assert encode is not None
    assert isinstance(encode(value, start), Rejected)
