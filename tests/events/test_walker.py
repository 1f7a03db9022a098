"""The walker gives what fastavro gives, from any bytes, and never more than a named error."""

from __future__ import annotations

import io
import math
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events.catalogue import CATALOGUE
from streams.events.decoded_records import pick
from streams.events.encodings import encode_bare, encode_single_object
from streams.events.presence import presence_reader
from streams.events.samples import sample_record
from streams.events.schema import Undecodable, WriterSchema
from streams.events.schemas import shipped, writer_schema
from streams.events.walker import (
    CORRUPT,
    ID,
    MISSING,
    NO_LIMIT,
    PRESENT,
    TIME,
    UNDECODABLE,
    USER,
    repaired,
    shortest_float,
    walk,
)
from streams.events.walker_table import plan

SLOTS = {"id": ID, "time": TIME, "external_user_id": USER}
TYPES: list[Any] = ["string", "int", "long", "boolean", "float", "double"]
ARRAYS: list[Any] = [{"type": "array", "items": "string"}, {"type": "array", "items": ["null", "string"]}]


def of_type(avro_type: Any) -> st.SearchStrategy[Any]:
    if isinstance(avro_type, list):
        return st.none() | of_type(avro_type[1])
    if isinstance(avro_type, dict):
        return st.lists(of_type(avro_type["items"]), max_size=6)
    return {
        "string": st.text(max_size=400),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "float": st.floats(width=32),
        "double": st.floats(),
    }[avro_type]


@st.composite
def schemas_and_records(draw: st.DrawFn) -> tuple[WriterSchema, dict[str, Any]]:
    bare = st.sampled_from(TYPES + ARRAYS)
    types = draw(st.lists(bare | bare.map(lambda avro_type: ["null", avro_type]), min_size=1, max_size=12))
    fields = [{"name": f"field_{number}", "type": avro_type} for number, avro_type in enumerate(types)]
    schema = writer_schema({"type": "record", "name": "dataexport.S3.inner.made.Up", "fields": fields})
    return schema, {f"field_{number}": draw(of_type(avro_type)) for number, avro_type in enumerate(types)}


def expected(record: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """What is sent of a decoded record: no null, no empty string, no NaN, no null item."""
    sent = {}
    for name, item in record.items():
        if isinstance(item, list):
            item = [element for element in item if element is not None]
        if item is None or item in ("", []) or (isinstance(item, float) and not math.isfinite(item)):
            continue
        if isinstance(item, float) and kinds[name] in ("float", ["null", "float"]):
            assert struct.pack("<f", item) == struct.pack("<f", float(repr(item)))
        sent[name] = item
    return sent


def walked(schema: WriterSchema, value: bytes, start: int = 0) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    names = {field.name: field.name for field in schema.fields}
    walk(value, start, plan(schema, names, {}), properties, [], NO_LIMIT)
    return properties


@given(schemas_and_records())
def test_the_walker_gives_what_fastavro_gives(made: tuple[WriterSchema, dict[str, Any]]) -> None:
    schema, record = made
    value = encode_bare(schema, record)
    decoded: Any = fastavro.schemaless_reader(io.BytesIO(value), schema.parsed, None)
    kinds = {field["name"]: field["type"] for field in schema.definition["fields"]}
    properties = walked(schema, value)
    sent = expected(decoded, kinds)
    assert properties.keys() == sent.keys()
    for name, item in properties.items():
        if kinds[name] in ("float", ["null", "float"]):
            assert struct.pack("<f", item) == struct.pack("<f", sent[name])
        else:
            assert item == sent[name]


@given(schemas_and_records())
def test_schemas_that_go_by_fastavro_give_the_same(made: tuple[WriterSchema, dict[str, Any]]) -> None:
    schema, record = made
    value = encode_bare(schema, record)
    decoded: Any = fastavro.schemaless_reader(io.BytesIO(value), schema.parsed, None)
    names = {field.name: field.name for field in schema.fields}
    picked: dict[str, Any] = {}
    pick(decoded, schema, plan(schema, names, {}), picked, [], NO_LIMIT)
    assert picked == walked(schema, value)


def spoiled(value: bytes, data: st.DataObject) -> bytes:
    """With one to four bytes that are others."""
    bytes_now = bytearray(value)
    for _ in range(data.draw(st.integers(1, 4))):
        if bytes_now:
            bytes_now[data.draw(st.integers(0, len(bytes_now) - 1))] = data.draw(st.integers(0, 255))
    return bytes(bytes_now)


@given(schemas_and_records(), st.data())
def test_corrupt_bytes_give_a_named_error_or_values_never_anything_else(
    made: tuple[WriterSchema, dict[str, Any]], data: st.DataObject
) -> None:
    schema, record = made
    value = spoiled(encode_bare(schema, record), data)
    cut = (value[: data.draw(st.integers(0, len(value)))]) + data.draw(st.binary(max_size=12))
    try:
        properties = walked(schema, cut)
    except (Undecodable, *CORRUPT):
        return
    decoded: Any = fastavro.schemaless_reader(io.BytesIO(cut), schema.parsed, None)
    assert properties.keys() <= decoded.keys()


@given(st.binary(max_size=300))
def test_any_bytes_are_survived_by_every_shipped_schema(value: bytes) -> None:
    for event_type in ("users.messages.email.Click", "users.behaviors.Purchase", "users.messages.sms.InboundReceive"):
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        assert presence_reader(schema)(value, 0) in (PRESENT, MISSING, UNDECODABLE)
        try:
            walked(schema, value)
        except (Undecodable, *CORRUPT):
            pass


def test_a_datum_that_is_cut_off_anywhere_or_too_long_is_refused() -> None:
    import random

    for schema in map(shipped().by_event_type, CATALOGUE):
        assert schema is not None
        value = encode_single_object(schema, sample_record(schema.event_type, random.Random(3), 1_790_000_000))
        walked(schema, value, 10)
        for wrong in (value + b"\x00", *(value[:end] for end in range(10, len(value)))):
            with pytest.raises((Undecodable, *CORRUPT)):
                walked(schema, wrong, 10)


@pytest.mark.parametrize(
    "value",
    [
        b"\xff" * 11,  # a varint longer than ten bytes
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"a",  # more than 64 bits
        b"\x01",  # a negative length
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2^63 - 1
        b"\x04\xc3\x28",  # no UTF-8
        b"\x06\xed\xa0\x80",  # a lone surrogate
    ],
)
def test_lengths_and_texts_that_cannot_be_are_refused(value: bytes) -> None:
    schema = writer_schema({"type": "record", "name": "Made", "fields": [{"name": "text", "type": "string"}]})
    with pytest.raises((Undecodable, *CORRUPT)):
        walked(schema, value)


@pytest.mark.parametrize("branch", [1, 3, 4, 6, 127, 128, 255])
def test_a_branch_that_the_union_does_not_have_is_refused(branch: int) -> None:
    for avro_type in (["null", "string"], ["null", "long"], ARRAYS[1]):
        schema = writer_schema({"type": "record", "name": "Made", "fields": [{"name": "field", "type": avro_type}]})
        value = bytes([branch]) + b"\x02a" if isinstance(avro_type, list) else b"\x02" + bytes([branch]) + b"\x02a\x00"
        with pytest.raises((Undecodable, *CORRUPT)):
            walked(schema, value)


def test_a_huge_array_count_costs_nothing() -> None:
    schema = writer_schema({"type": "record", "name": "Made", "fields": [{"name": "items", "type": ARRAYS[0]}]})
    with pytest.raises((Undecodable, *CORRUPT)):
        walked(schema, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00")


@given(st.text(min_size=1, max_size=80), st.integers(1, 60))
def test_a_string_over_the_limit_is_cut_on_a_character_boundary_and_counted(text: str, limit: int) -> None:
    schema = writer_schema({"type": "record", "name": "Made", "fields": [{"name": "text", "type": "string"}]})
    properties: dict[str, Any] = {}
    cuts = walk(encode_bare(schema, {"text": text}), 0, plan(schema, {"text": "text"}, {}), properties, [], limit)
    encoded = text.encode()
    if len(encoded) <= limit:
        assert (cuts, properties["text"]) == (0, text)
    else:
        assert cuts == 1
        assert text.startswith(properties["text"])
        assert limit - 3 <= len(properties["text"].encode()) <= limit


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_becomes_the_shortest_number_that_is_it(real: float) -> None:
    packed = struct.pack("<f", real)
    short = shortest_float(packed)
    assert struct.pack("<f", short) == packed
    assert len(repr(short)) <= len(repr(real))


def test_prices_read_as_people_wrote_them() -> None:
    for text in ("3.14", "0.1", "19.99", "1e-05", "123456.7", "16777216.0", "-0.5"):
        assert repr(shortest_float(struct.pack("<f", float(text)))) == text


@settings(max_examples=50)
@given(user=st.none() | st.text(max_size=5), seed=st.integers(0, 1000))
def test_presence_tells_whether_there_is_a_user_that_is_not_blank(user: str | None, seed: int) -> None:
    import random

    for event_type in (
        "users.messages.email.Open",
        "users.messages.whatsapp.Send",
        "users.messages.rcs.InboundReceive",
    ):
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        record = {**sample_record(event_type, random.Random(seed), 1_790_000_000), "external_user_id": user}
        value = encode_single_object(schema, record)
        assert presence_reader(schema)(value, 10) == (PRESENT if user and user.strip() else MISSING)


def test_a_type_without_the_field_has_no_user() -> None:
    schema = shipped().by_event_type("agentconsole.ToolInvocation")
    assert schema is not None
    assert presence_reader(schema)(b"anything", 0) == MISSING


@given(schemas_and_records())
def test_repairing_good_bytes_changes_nothing_that_is_sent(made: tuple[WriterSchema, dict[str, Any]]) -> None:
    schema, record = made
    value = encode_bare(schema, record)
    names = {field.name: field.name for field in schema.fields}
    datum, changed = repaired(plan(schema, names, {}), b"header" + value, 6)
    assert changed == 0
    assert walked(schema, datum) == walked(schema, value)


@given(schemas_and_records(), st.data())
def test_repairing_corrupt_bytes_gives_a_named_error_or_what_can_be_walked(
    made: tuple[WriterSchema, dict[str, Any]], data: st.DataObject
) -> None:
    schema, record = made
    value = spoiled(encode_bare(schema, record), data)
    names = {field.name: field.name for field in schema.fields}
    try:
        datum, _ = repaired(plan(schema, names, {}), value, 0)
        walked(schema, datum)
    except UnicodeDecodeError:
        raise
    except (Undecodable, *CORRUPT):
        pass
