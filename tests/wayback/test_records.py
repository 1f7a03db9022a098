"""Records of the way back: what is written is read again, by any version of their schemas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from streams.destinations import REGISTRY
from streams.events.catalogue import CATALOGUE, SelectionError, select
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, encode_single_object
from streams.events.presence import presence_reader
from streams.events.schema import WriterSchema
from streams.events.schemas import currents_schema, shipped, writer_schema
from streams.events.walker import MISSING, PRESENT
from streams.wayback.records import (
    RECORDS,
    Attributes,
    Event,
    Malformed,
    Membership,
    Page,
    Purchase,
    Record,
    encode,
    reader,
)

AVRO = Path(__file__).parents[2] / "avro" / "wayback"
START = SINGLE_OBJECT_HEADER_BYTES
EXAMPLES: tuple[Record, ...] = (
    Membership(
        id="s/7/ann",
        entry="cohorts",
        external_user_id="ann",
        time_ms=1_790_000_000_123,
        received_ms=1_790_000_000_456,
        group_id="7",
        group_name="Frühaufsteher",
        change="present",
        target="cohort",
        session="s",
        page=2,
    ),
    Page(
        id="s/2", entry="cohorts", time_ms=1, received_ms=2, group_id="7", group_name="x", session="s", page=2, pages=3
    ),
    Attributes(id="m", entry="data", external_user_id="ann", time_ms=1, received_ms=2, changes='{"$Age":null}'),
    Event(id="m/1", entry="data", external_user_id="ann", time_ms=1, received_ms=2, name="Played", platform="ios"),
    Purchase(
        id="m/2",
        entry="data",
        external_user_id="ann",
        time_ms=1,
        received_ms=2,
        product_id="sku",
        currency="EUR",
        price=9.99,
        quantity=3,
    ),
    Malformed(id="h", entry="data", time_ms=1, received_ms=2, reason="no product id", body="{}"),
)


def schema_of(record: Record) -> WriterSchema:
    schema = shipped().by_fingerprint(encode(record)[2:START])
    assert schema is not None
    return schema


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    read = reader(schema_of(record))
    assert read is not None
    assert read(encode(record), START) == record


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_the_time_in_seconds_and_the_user_stand_where_those_of_an_event_stand(record: Record) -> None:
    schema = schema_of(record)
    assert [field.name for field in schema.fields][:4] == ["id", "entry", "external_user_id", "time"]
    assert presence_reader(schema)(encode(record), START) == (PRESENT if record.external_user_id else MISSING)
    assert schema.is_walkable


def test_there_is_a_schema_for_every_record_and_a_record_for_every_schema() -> None:
    assert {f"wayback.{path.stem}" for path in AVRO.glob("*.avsc")} == set(RECORDS)


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_schema_holds_exactly_the_fields_of_its_record_and_the_time_in_seconds(name: str) -> None:
    schema = shipped().by_event_type(name)
    assert schema is not None
    fields = {field.name for field in dataclasses.fields(RECORDS[name])}
    assert {field.name for field in schema.fields} == fields | {"time"}


def test_a_newer_writers_record_is_read_and_its_unknown_field_is_put_aside() -> None:
    record = EXAMPLES[3]
    definition = schema_of(record).definition
    newer = writer_schema({**definition, "fields": [*definition["fields"], {"name": "more", "type": "string"}]})
    datum = {**dataclasses.asdict(record), "time": 0, "more": "x"}
    read = reader(newer)
    assert read is not None
    assert read(encode_single_object(newer, datum), START) == record


def test_an_older_writers_record_without_a_field_takes_its_default_and_without_a_needed_one_is_refused() -> None:
    record = EXAMPLES[3]
    definition = schema_of(record).definition
    for lacking, is_needed in (("platform", False), ("name", True)):
        older = writer_schema(
            {**definition, "fields": [field for field in definition["fields"] if field["name"] != lacking]}
        )
        read = reader(older)
        assert read is not None
        value = encode_single_object(older, {**dataclasses.asdict(record), "time": 0})
        if is_needed:
            with pytest.raises(ValueError, match=r"lacks a field of wayback\.Event"):
                read(value, START)
        else:
            assert read(value, START) == dataclasses.replace(record, platform=None)  # type: ignore[call-arg]


def test_bytes_left_over_are_refused() -> None:
    read = reader(schema_of(EXAMPLES[0]))
    assert read is not None
    with pytest.raises(ValueError, match="does not fit its schema"):
        read(encode(EXAMPLES[0]) + b"\x00", START)


def test_a_field_that_does_not_fit_is_refused_without_its_value() -> None:
    record = dataclasses.replace(EXAMPLES[4], quantity="many")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"does not fit the schema of wayback\.Purchase") as caught:
        encode(record)
    assert "many" not in str(caught.value)


def test_a_currents_event_is_no_record_of_the_way_back() -> None:
    schema = shipped().by_event_type("users.messages.email.Open")
    assert schema is not None
    assert reader(schema) is None


def test_no_listing_of_event_types_and_no_selection_knows_them() -> None:
    assert not any(name.startswith("wayback") for name in CATALOGUE)
    for kind in REGISTRY.values():
        if kind.is_received:
            assert kind.event_types == frozenset()
            continue
        assert not any(name.startswith("wayback") for name in select(["all", "*"], kind.event_types))
        with pytest.raises(SelectionError):
            select(["wayback.*"], kind.event_types)


def test_nobody_can_add_one_by_hand() -> None:
    for path in AVRO.glob("*.avsc"):
        with pytest.raises(ValueError, match="a Currents event is named"):
            currents_schema(path.read_bytes())
