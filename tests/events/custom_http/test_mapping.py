"""What an event over HTTP becomes: a record of the relaxed schema, in which nothing is lost."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streams.events.catalogue import CATALOGUE
from streams.events.custom_http.mapping import TYPES_MAX, EventMappings, Mapped, Unmapped
from streams.events.custom_http.schemas import HTTP_ONLY, UNKNOWN, catalogue_schemas
from streams.events.encodings import encode_single_object
from streams.events.schemas import shipped

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "custom-http"
EMAIL = "users.messages.email.Send"


def event(event_type: str = EMAIL, **more: Any) -> dict[str, Any]:
    return {"event_type": event_type, "id": "e-1", "time": 1_790_000_000, **more}


def mapped(content: dict[str, Any]) -> Mapped:
    return EventMappings().record(content)


def read(found: Mapped) -> dict[str, Any]:
    """What fastavro reads, which knows nothing of how the bytes were made."""
    stream = BytesIO(found.value[10:])
    record: Any = fastavro.schemaless_reader(stream, found.schema.parsed, None)
    assert stream.read() == b""
    return {name: value for name, value in record.items() if value is not None}


def unknown(found: Mapped) -> Any:
    return json.loads(read(found)[UNKNOWN])


# The schemas.


def test_every_type_has_a_relaxed_schema_by_rule() -> None:
    relaxed = catalogue_schemas()
    assert relaxed.keys() == CATALOGUE.keys()
    wider = {"int": "long", "float": "double"}
    for name, schema in relaxed.items():
        stored = shipped().by_event_type(name)
        assert stored is not None
        fields = {field["name"]: field["type"] for field in schema.definition["fields"]}
        assert schema.event_type == name
        assert schema.is_walkable
        assert schema.fingerprint != stored.fingerprint
        for field in stored.definition["fields"]:
            kind = field["type"][-1] if isinstance(field["type"], list) else field["type"]
            kind = wider.get(kind, kind) if isinstance(kind, str) else kind
            assert fields[field["name"]] == (kind if field["name"] in ("id", "time") else ["null", kind])
        assert {UNKNOWN, *HTTP_ONLY} <= fields.keys()
        assert list(fields)[-1] == UNKNOWN


def test_an_unknown_type_has_the_generic_schema() -> None:
    found = mapped(event("users.messages.pigeon.Send", user={"external_user_id": "ada"}, properties={"coop": 7}))
    assert found.schema.event_type == "users.messages.pigeon.Send"
    assert found.schema.parsed["name"] == "dataexport.S3.inner.users.messages.pigeon.Send"
    assert read(found) == {
        "id": "e-1", "time": 1_790_000_000, "external_user_id": "ada", UNKNOWN: '{"properties.coop":7}',
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["users.messages.e-mail.Send", "1st.Type", "users..Send", "", "a" * 201, "übung", "a b"]
)
def test_a_type_that_is_no_name_in_avro_is_not_mapped(name: str) -> None:
    with pytest.raises(Unmapped, match="event_type"):
        mapped(event(name))


def test_a_process_learns_a_limited_number_of_unknown_types() -> None:
    mappings = EventMappings()
    for number in range(TYPES_MAX):
        mappings.record(event(f"users.new.Type{number}"))
    with pytest.raises(Unmapped, match="unknown event types"):
        mappings.record(event("users.new.OneMore"))
    assert mappings.record(event("users.new.Type0"))
    assert mappings.record(event())


# Fields.


def test_user_and_properties_are_flattened() -> None:
    found = mapped(
        event(
            user={"user_id": "u", "external_user_id": "ada", "device_id": "d", "timezone": "UTC"},
            properties={"campaign_name": "Spring", "dispatch_id": "x"},
        )
    )
    assert found.key == b"ada"
    assert read(found) == {
        "id": "e-1", "time": 1_790_000_000, "user_id": "u", "external_user_id": "ada", "device_id": "d",
        "timezone": "UTC", "campaign_name": "Spring", "dispatch_id": "x",
    }  # fmt: skip


def test_without_an_external_id_the_key_is_brazes_id_and_without_both_there_is_none() -> None:
    assert mapped(event(user={"user_id": "u"})).key == b"u"
    assert mapped(event(user={})).key is None
    assert mapped(event()).key is None


@pytest.mark.parametrize(
    ("event_type", "sent", "stored", "value", "expected"),
    [
        ("users.behaviors.CustomEvent", "custom_properties", "properties", {"a": [1, 2.5]}, '{"a":[1,2.5]}'),
        ("users.behaviors.Purchase", "purchase_properties", "properties", {}, "{}"),
        (
            "users.messages.banner.Click",
            "canvas_step_message_variation_api_id",
            "canvas_step_message_variation_id",
            "x",
            "x",
        ),
    ],
)
def test_fields_with_other_names(event_type: str, sent: str, stored: str, value: Any, expected: str) -> None:
    found = mapped(event(event_type, properties={sent: value}))
    assert read(found)[stored] == expected
    assert UNKNOWN not in read(found)


def test_numbers_are_as_wide_as_json_has_them() -> None:
    purchase = mapped(event("users.behaviors.Purchase", properties={"price": 3.14}))
    assert read(purchase)["price"] == 3.14
    whole = mapped(event("users.behaviors.Purchase", properties={"price": 3}))
    assert read(whole)["price"] == 3.0
    bucket = mapped(event("users.RandomBucketNumberUpdate", properties={"random_bucket_number": 2**40}))
    assert read(bucket)["random_bucket_number"] == 2**40
    assert mapped(event(time=2**40)).value == encode_single_object(
        catalogue_schemas()[EMAIL], {"id": "e-1", "time": 2**40}
    )


def test_lists_of_text() -> None:
    received = "users.messages.whatsapp.InboundReceive"
    assert read(mapped(event(received, properties={"media_urls": ["a", "b"]})))["media_urls"] == ["a", "b"]
    assert read(mapped(event(received, properties={"media_urls": []})))["media_urls"] == []
    assert unknown(mapped(event(received, properties={"media_urls": ["a", 7]}))) == {"properties.media_urls": ["a", 7]}


def test_what_no_field_holds_is_kept_by_place_and_name() -> None:
    found = mapped(
        event(
            user={"shoe_size": 43, "user_id": 7},
            properties={"new": {"deep": [None]}, "campaign_name": 9, "id": "other", "time": 5},
            trace="t",
            nothing=None,
        )
    )
    assert unknown(found) == {
        "user.shoe_size": 43, "user.user_id": 7, "properties.new": {"deep": [None]}, "properties.campaign_name": 9,
        "properties.id": "other", "properties.time": 5, "trace": "t",
    }  # fmt: skip
    assert read(found)["id"] == "e-1"


def test_places_that_are_no_objects_are_kept() -> None:
    assert unknown(mapped(event(user="ada", properties=[1]))) == {"user": "ada", "properties": [1]}
    assert UNKNOWN not in read(mapped(event(user=None, properties=None)))


def test_a_field_in_two_places_is_taken_once_and_the_other_value_is_kept() -> None:
    same = mapped(event(user={"device_id": "d"}, properties={"device_id": "d"}))
    assert read(same)["device_id"] == "d"
    assert UNKNOWN not in read(same)
    other = mapped(event(user={"device_id": "d"}, properties={"device_id": "e"}))
    assert read(other)["device_id"] == "d"
    assert unknown(other) == {"properties.device_id": "e"}


def test_a_number_that_a_double_cannot_hold_is_kept_exactly() -> None:
    found = mapped(event("users.behaviors.Purchase", properties={"price": 2**53 + 1}))
    assert unknown(found) == {"properties.price": 2**53 + 1}


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_no_number_and_no_text(flag: bool) -> None:
    found = mapped(event("users.behaviors.Purchase", properties={"price": flag, "ad_tracking_enabled": flag}))
    assert read(found)["ad_tracking_enabled"] is flag
    assert unknown(found) == {"properties.price": flag}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "not a JSON object"),
        ("event", "not a JSON object"),
        (event(id=""), "no id"),
        (event(id=7), "no id"),
        (event(id=None), "no id"),
        (event(time="1790000000"), "no time"),
        (event(time=1.5), "no time"),
        (event(time=True), "no time"),
        (event(time=2**63), "no time"),
        ({"id": "e", "time": 1}, "no event_type"),
        ({**event(), "event_type": 7}, "no event_type"),
    ],
)
def test_an_event_without_id_time_or_type_is_not_mapped(content: Any, words: str) -> None:
    with pytest.raises(Unmapped, match=words):
        mapped(content)


def test_text_of_any_length_and_script_comes_out_as_it_went_in() -> None:
    for text in ("", "ä", "日本" * 700, "x" * 127, "x" * 128, "x" * 1023, "x" * 1024, "x" * 70_000):
        assert read(mapped(event(properties={"campaign_name": text})))["campaign_name"] == text


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="Braze's 93 public samples of Custom HTTP are not beside this repository"
)
def test_every_public_sample_comes_through_without_loss() -> None:
    paths = sorted(SAMPLES.rglob("*.json"))
    assert len(paths) >= 93
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = read(mapped(content))
        kept = [*record.values(), *map(_parsed, record.values()), *json.loads(record.get(UNKNOWN, "{}")).values()]
        lost = {
            name
            for place in ("user", "properties")
            for name, value in content.get(place, {}).items()
            if value not in kept
        }
        assert lost == set(), path.name


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None
