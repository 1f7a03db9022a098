"""Schemas of several parts become one, which reads the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
import pytest

from streams.events.references import inlined
from streams.events.schemas import writer_schema

DEVICE: dict[str, Any] = {
    "type": "record",
    "name": "Device",
    "namespace": "com.acme",
    "fields": [
        {"name": "model", "type": "string"},
        {"name": "os", "type": {"type": "enum", "name": "Os", "symbols": ["IOS", "ANDROID"]}},
    ],
}
SESSION: dict[str, Any] = {
    "type": "record",
    "name": "com.acme.Session",
    "fields": [{"name": "device", "type": "Device"}, {"name": "last", "type": ["null", "com.acme.Os"]}],
}
EVENT: dict[str, Any] = {
    "type": "record",
    "name": "Open",
    "namespace": "users.messages.email",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "os", "type": ["null", "com.acme.Os"]},
        {"name": "session", "type": "com.acme.Session"},
        {"name": "devices", "type": {"type": "array", "items": "com.acme.Device"}},
        {"name": "by_name", "type": {"type": "map", "values": ["null", "com.acme.Device"]}},
    ],
}


def test_a_schema_with_nested_references_reads_what_its_writer_wrote() -> None:
    named: dict[str, Any] = {}
    for part in (DEVICE, SESSION):
        fastavro.parse_schema(part, named_schemas=named)
    parsed = fastavro.parse_schema(EVENT, named_schemas=named)
    device = {"model": "x", "os": "IOS"}
    record = {
        "id": "1",
        "os": "ANDROID",
        "session": {"device": device, "last": None},
        "devices": [device],
        "by_name": {"a": device, "b": None},
    }
    stream = BytesIO()
    fastavro.schemaless_writer(stream, parsed, record)
    stream.seek(0)
    schema = writer_schema(inlined(EVENT, [SESSION, DEVICE]))
    assert fastavro.schemaless_reader(stream, schema.parsed, None) == record


def test_a_schema_without_references_keeps_its_fingerprint() -> None:
    alone = {**EVENT, "fields": EVENT["fields"][:1]}
    assert writer_schema(inlined(alone, [])).fingerprint == writer_schema(alone).fingerprint


def test_a_name_that_nobody_defines_is_told_by_whoever_parses() -> None:
    with pytest.raises(ValueError, match=r"com\.acme\.Device"):
        writer_schema(inlined({**EVENT, "fields": EVENT["fields"][3:4]}, []))


def test_references_that_name_each_other_come_to_an_end() -> None:
    one = {"type": "record", "name": "a.One", "fields": [{"name": "two", "type": ["null", "a.Two"]}]}
    two = {"type": "record", "name": "a.Two", "fields": [{"name": "one", "type": ["null", "a.One"]}]}
    assert "a.Two" in str(inlined(one, [two, one]))


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    nested: Any = "string"
    for _ in range(500):
        nested = {"type": "array", "items": nested}
    with pytest.raises(ValueError, match="too deeply"):
        inlined(nested, [])
