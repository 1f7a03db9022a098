"""Braze's own sample files, one record an event type: every mapped field that the record has arrives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streams.destinations import REGISTRY
from streams.destinations.mparticle.mapping import EVENTS
from streams.events.encodings import encode_bare
from streams.events.schema import WriterSchema
from streams.events.schemas import writer_schema

FILES = sorted((Path(__file__).resolve().parents[2].parent / "shared" / "samples" / "currents-v10").glob("*.avro"))
pytestmark = pytest.mark.skipif(not FILES, reason="Braze's sample files are not beside this repository")

SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0123456789abcdef0123456789abcdef"},
    "mparticle": {"feeds": {"unbound": {"key": "k", "secret": "s"}}},
}
ARRAYS = {"media_urls", "suspected_bot_click_reason"}


def records() -> list[tuple[WriterSchema, dict[str, Any]]]:
    """Each file's schema and record, with a user."""
    found = []
    for path in FILES:
        with path.open("rb") as file:
            reader: Any = fastavro.reader(file)
            schema = writer_schema(json.loads(reader.metadata["avro.schema"]))
            found += [(schema, {**record, "external_user_id": "user-1"}) for record in reader]
    return found


def payload(name: str, schema: WriterSchema, record: dict[str, Any]) -> dict[str, Any] | None:
    """The payload of a record; None where the destination has no mapping for its type."""
    kind = REGISTRY[name]
    encode = kind.build(kind.settings.model_validate(SETTINGS[name])).encoder(schema)
    assert (encode is None) == (schema.event_type not in kind.event_types)
    if encode is None:
        return None
    encoding = encode(encode_bare(schema, record), 0)
    assert isinstance(encoding, tuple), (schema.event_type, encoding)
    content: dict[str, Any] = json.loads(encoding[1])
    return content


def present(record: dict[str, Any]) -> set[str]:
    return {field for field, item in record.items() if item is not None and item not in ("", [])}


def test_mixpanel_gets_every_mapped_field_of_every_real_file() -> None:
    sent = 0
    for schema, record in records():
        event = payload("mixpanel", schema, record)
        if event is None:
            continue
        sent += 1
        for field, keys in REGISTRY["mixpanel"].events[schema.event_type].fields.items():
            for key in keys:
                assert (key in event["properties"]) == (field in present(record)), (schema.event_type, field)
        properties = json.loads(record["properties"]) if "properties" in record else {}
        customers = {key.partition("] ")[2] for key in event["properties"] if key.startswith("[")}
        assert customers == {key for key, item in properties.items() if item not in (None, "")}
    assert sent == 88


def test_mparticle_gets_every_mapped_field_of_every_real_file() -> None:
    sent = 0
    for schema, record in records():
        batch = payload("mparticle", schema, record)
        if batch is None:
            continue
        sent += 1
        attributes = batch["events"][0]["data"]["custom_attributes"]
        event = EVENTS[schema.event_type]
        for field, keys in event.fields.items():
            assert all((key in attributes) == (field in present(record) - ARRAYS) for key in keys), schema.event_type
        if event.mobile is not None and event.mobile in present(record):
            assert batch["user_attributes"] == {"$mobile": record[event.mobile]}
    assert sent == 77


def test_floats_read_as_they_were_written() -> None:
    by_type = {schema.event_type: payload("mixpanel", schema, record) for schema, record in records()}
    purchase = by_type["users.behaviors.Purchase"]
    assert purchase is not None
    assert purchase["properties"]["price"] == 3.14
    assert purchase["properties"]["productId"] == purchase["properties"]["product_id"]
