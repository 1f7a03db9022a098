"""Schemas with which a few corrupt bytes could stop a process are refused before any datum is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.events.schemas import shipped, writer_schema


def schema_of(avro_type: Any) -> dict[str, Any]:
    return {"type": "record", "name": "x.Event", "fields": [{"name": "field", "type": avro_type}]}


EMPTY = {"type": "record", "name": "Nothing", "fields": []}
HOLDS_EMPTY = {
    "type": "record",
    "name": "Outer",
    "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": EMPTY}],
}


@pytest.mark.parametrize(
    "items", ["null", {"type": "null"}, EMPTY, HOLDS_EMPTY, {"type": "fixed", "name": "F", "size": 0}]
)
def test_an_array_of_items_without_bytes_is_refused(items: Any) -> None:
    for avro_type in ({"type": "array", "items": items}, ["null", {"type": "array", "items": items}]):
        with pytest.raises(ValueError, match="an array's items take no bytes"):
            writer_schema(schema_of({"type": "map", "values": avro_type}))


@pytest.mark.parametrize(
    "avro_type",
    [
        ["null", "x.Event"],
        {"type": "array", "items": "x.Event"},
        {"type": "map", "values": "x.Event"},
        {"type": "record", "name": "Inner", "fields": [{"name": "back", "type": ["null", "x.Event"]}]},
    ],
)
def test_a_type_that_holds_itself_is_refused(avro_type: Any) -> None:
    with pytest.raises(ValueError, match=r"x\.Event contains itself"):
        writer_schema(schema_of(avro_type))


@pytest.mark.parametrize(
    "avro_type",
    [
        {"type": "array", "items": ["null", "string"]},
        {"type": "array", "items": {"type": "array", "items": "int"}},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 1}},
        {"type": "array", "items": {"type": "map", "values": "null"}},
        {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": EMPTY}]},
        "null",
    ],
)
def test_others_are_taken(avro_type: Any) -> None:
    assert writer_schema(schema_of(avro_type)).event_type == "x.Event"


def test_a_type_may_be_used_twice() -> None:
    inner = {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "string"}]}
    definition = schema_of(inner)
    definition["fields"].append({"name": "again", "type": {"type": "array", "items": "x.Inner"}})
    assert len(writer_schema(definition).fields) == 2


def test_every_shipped_schema_is_bounded() -> None:
    files = list((Path(__file__).parents[2] / "avro").rglob("*.avsc"))
    assert len(list(shipped())) == len(files) > 100
