"""A writer's schema may be anything, and bytes too: an encoder answers, it never raises and never hangs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.contract import Encoding, Rejected, Skipped
from streams.destinations import REGISTRY
from streams.events.encodings import encode_bare
from streams.events.presence import presence_reader
from streams.events.schema import NAMESPACE
from streams.events.schemas import writer_schema
from streams.events.walker import MISSING, PRESENT, UNDECODABLE

SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0123456789abcdef0123456789abcdef", "device_properties": True},
    "mparticle": {"feeds": {"unbound": {"key": "k", "secret": "s"}}, "apps": {"a": "ios"}, "wire": "braze"},
}
EVENT_TYPES = ["users.messages.pushnotification.Open", "users.messages.email.Click", "users.behaviors.Uninstall"]
FIELDS = [
    "id", "time", "external_user_id", "app_id", "platform", "device_id", "device_model", "ad_id", "ad_id_type",
    "ad_tracking_enabled", "email_address", "campaign_id", "os_version", "url",
]  # fmt: skip
SOUND = {"id": "string", "time": "int", "external_user_id": ["null", "string"]}
ENUM = {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}
NESTED = {"type": "record", "name": "Inner", "fields": [{"name": "inner", "type": ["null", "string"]}]}
AVRO_TYPES: list[Any] = [
    "string", "int", "long", "boolean", "float", "double", "bytes", "null", ENUM, NESTED,
    {"type": "array", "items": "string"}, {"type": "array", "items": "bytes"}, {"type": "map", "values": "long"},
    {"type": "fixed", "name": "Four", "size": 4}, {"type": "long", "logicalType": "timestamp-millis"},
    ["null", "string"], ["string", "null"], ["null", "string", "long"], ["null", "boolean"], ["null", "long"],
    ["null", {"type": "array", "items": ["null", "string"]}], {"type": "array", "items": "double"},
]  # fmt: skip

WALKED_TYPES: list[Any] = [
    "string", "int", "boolean", "float", "double", ["null", "string"], ["null", "long"], ["null", "boolean"],
    {"type": "array", "items": "string"}, ["null", {"type": "array", "items": ["null", "string"]}],
]  # fmt: skip
"""Kinds that the walker reads itself, if no field is of another."""


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
    """Three in four have what every event has, so that the odd fields beside it come to be sent."""
    names = draw(st.lists(st.sampled_from(FIELDS), unique=True, max_size=len(FIELDS)))
    sound = SOUND if draw(st.integers(0, 3)) else {}
    avro_types = st.sampled_from(draw(st.sampled_from([AVRO_TYPES, WALKED_TYPES])))
    names = [*names, *(name for name in sound if name not in names)]
    fields: list[dict[str, Any]] = []
    named = set()
    for name in names:
        avro_type = sound.get(name) or draw(avro_types)
        if isinstance(avro_type, dict) and "name" in avro_type:
            if avro_type["name"] in named:  # Avro defines a name once
                avro_type = "string"
            else:
                named.add(avro_type["name"])
        fields.append({"name": name, "type": avro_type})
    record = {field["name"]: draw(of_type(field["type"])) for field in fields}
    record |= {"id": "id-1", "time": 1_790_000_000, "external_user_id": "user-1"} if sound else {}
    event_type = draw(st.sampled_from(EVENT_TYPES))
    return {"type": "record", "name": NAMESPACE + event_type, "fields": fields}, record


def encoded(destination: str, definition: dict[str, Any], value: bytes) -> Encoding:
    kind = REGISTRY[destination]
    encode = kind.build(kind.settings.model_validate(SETTINGS[destination])).encoder(writer_schema(definition))
    assert encode is not None
    return encode(value, 0)


def check(encoding: Encoding) -> None:
    if isinstance(encoding, tuple):
        assert isinstance(json.loads(encoding[1]), dict)
    else:
        assert isinstance(encoding, Rejected | Skipped)


EXAMPLES: dict[str, Any] = {
    "string": "text", "int": 5, "long": 2**40, "boolean": True, "float": 1.5, "double": 2.5, "bytes": b"bytes",
    "null": None, "enum": "RED", "record": {"inner": "a"}, "map": {"a": 1}, "fixed": b"four",
}  # fmt: skip


def example(avro_type: Any) -> Any:
    """A value that is neither null nor empty, if the type has one."""
    if isinstance(avro_type, list):
        return example(next(branch for branch in avro_type if branch != "null"))
    if isinstance(avro_type, str):
        return EXAMPLES[avro_type]
    if avro_type["type"] == "array":
        return [example(avro_type["items"])]
    return EXAMPLES[avro_type["type"]]


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
@pytest.mark.parametrize("name", [name for name in FIELDS if name not in SOUND])
def test_every_field_may_be_of_every_kind(destination: str, name: str) -> None:
    for avro_type in AVRO_TYPES:
        for event_type in EVENT_TYPES:
            fields = [{"name": field, "type": of} for field, of in {**SOUND, name: avro_type}.items()]
            definition = {"type": "record", "name": NAMESPACE + event_type, "fields": fields}
            record = {"id": "id-1", "time": 1_790_000_000, "external_user_id": "user-1", name: example(avro_type)}
            encoding = encoded(destination, definition, encode_bare(writer_schema(definition), record))
            assert isinstance(encoding, tuple), (avro_type, encoding)
            if destination == "mparticle":
                attributes = json.loads(encoding[1])["events"][0]["data"]["custom_attributes"]
                assert all(isinstance(item, str | int | float | bool) for item in attributes.values()), avro_type


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
    elif SOUND.items() <= {field["name"]: field["type"] for field in definition["fields"]}.items():
        assert isinstance(encoding, tuple), encoding
    if destination == "mparticle" and isinstance(encoding, tuple):
        attributes = json.loads(encoding[1])["events"][0]["data"]["custom_attributes"]
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
