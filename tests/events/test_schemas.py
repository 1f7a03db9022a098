"""Writers' schemas: fingerprints, fields, refusals, folders and the shipped ones."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.events.catalogue import CATALOGUE
from streams.events.schema import Field, Kind
from streams.events.schemas import SchemaBook, currents_schema, load_folder, shipped, writer_schema

REPOSITORY = Path(__file__).resolve().parents[2]
REAL_FILES = REPOSITORY.parent / "shared" / "samples" / "currents-v10"

EMPTY = 0xC15D213AA4D7A795
TABLE = [0] * 256
for _byte in range(256):
    _value = _byte
    for _ in range(8):
        _value = (_value >> 1) ^ (EMPTY if _value & 1 else 0)
    TABLE[_byte] = _value


def rabin(text: str) -> int:
    """CRC-64-AVRO as the Avro specification's pseudo-code has it."""
    value = EMPTY
    for byte in text.encode():
        value = (value >> 8) ^ TABLE[(value ^ byte) & 0xFF]
    return value


def canonical(schema: Any) -> str:
    """The Parsing Canonical Form of a record of primitives, unions and arrays, from the specification's rules."""
    match schema:
        case str():
            return json.dumps(schema)
        case list():
            return "[" + ",".join(canonical(branch) for branch in schema) + "]"
        case {"type": "array", "items": items}:
            return '{"type":"array","items":' + canonical(items) + "}"
        case {"type": "record", "name": name, "namespace": namespace, "fields": fields}:
            inner = ",".join(f'{{"name":"{field["name"]}","type":{canonical(field["type"])}}}' for field in fields)
            return f'{{"name":"{namespace}.{name}","type":"record","fields":[{inner}]}}'
        case _:
            raise AssertionError(schema)


def record(*fields: dict[str, Any], name: str = "Open", **more: Any) -> dict[str, Any]:
    namespace = "dataexport.S3.inner.users.messages.email"
    return {"type": "record", "name": name, "namespace": namespace, "fields": list(fields), **more}


def test_the_checksum_used_here_gives_the_value_published_for_int() -> None:
    assert f"{rabin(canonical('int')):x}" == "7275d51a3f395c8f"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "avro").rglob("*.avsc")), ids=lambda path: path.stem)
def test_the_fingerprint_of_each_file_is_crc_64_avro_of_its_canonical_form(path: Path) -> None:
    definition = json.loads(path.read_text(encoding="utf-8"))
    assert writer_schema(definition).fingerprint == rabin(canonical(definition)).to_bytes(8, "little")


@pytest.mark.skipif(not REAL_FILES.is_dir(), reason="needs the real Currents files, which are not ours to ship")
def test_each_real_file_is_read_with_the_shipped_schema_of_its_fingerprint() -> None:
    book = shipped()
    read = set()
    for path in sorted(REAL_FILES.glob("*.avro")):
        with path.open("rb") as stream:
            definition = json.loads(fastavro.reader(stream).metadata["avro.schema"])
        fingerprint = rabin(fastavro.schema.to_parsing_canonical_form(definition)).to_bytes(8, "little")
        schema = book.by_fingerprint(fingerprint)
        assert schema is not None, path.name
        assert schema.event_type == path.stem
        read.add(schema.event_type)
    assert read == {event_type.name for event_type in CATALOGUE.values() if not event_type.retired}


def test_there_is_one_schema_for_each_event_type_of_the_catalogue() -> None:
    schemas = [schema for schema in shipped() if not schema.event_type.startswith("wayback.")]
    assert len(schemas) == 100
    assert {schema.event_type for schema in schemas} == set(CATALOGUE)


def test_every_field_of_a_shipped_schema_can_be_walked() -> None:
    assert [schema.event_type for schema in shipped() if not schema.is_walkable] == []


def test_retired_types_lie_in_their_own_folder() -> None:
    retired = {schema.event_type for schema in load_folder(REPOSITORY / "avro" / "retired")}
    assert retired == {event_type.name for event_type in CATALOGUE.values() if event_type.retired}


@pytest.mark.parametrize(
    ("avro_type", "kind", "nullable"),
    [
        ("string", Kind.STRING, False),
        ("int", Kind.LONG, False),
        ("long", Kind.LONG, False),
        ("boolean", Kind.BOOLEAN, False),
        ("float", Kind.FLOAT, False),
        ("double", Kind.DOUBLE, False),
        (["null", "string"], Kind.STRING, True),
        (["null", "double"], Kind.DOUBLE, True),
        ({"type": "string"}, Kind.STRING, False),
        ({"type": "long", "logicalType": "timestamp-millis"}, Kind.LONG, False),
        (["null", {"type": "string", "avro.java.string": "String"}], Kind.STRING, True),
        ({"type": "array", "items": "string"}, Kind.STRINGS, False),
        (["null", {"type": "array", "items": "string"}], Kind.STRINGS, True),
        (["null", {"type": "array", "items": ["null", "string"]}], Kind.NULLABLE_STRINGS, True),
        (["string", "null"], Kind.OTHER, False),
        (["null", "string", "int"], Kind.OTHER, False),
        ({"type": "array", "items": "long"}, Kind.OTHER, False),
        ({"type": "array", "items": ["string", "null"]}, Kind.OTHER, False),
        ({"type": "map", "values": "string"}, Kind.OTHER, False),
        ({"type": "enum", "name": "colour", "symbols": ["red"]}, Kind.OTHER, False),
        ("bytes", Kind.OTHER, False),
        ("null", Kind.OTHER, False),
        (["null", "bytes"], Kind.OTHER, True),
    ],
)
def test_an_avro_type_becomes_the_kind_the_walker_reads(avro_type: Any, kind: Kind, nullable: bool) -> None:
    schema = writer_schema(record({"name": "x", "type": avro_type}))
    assert schema.fields == (Field("x", kind, nullable),)


def test_a_logical_type_leaves_the_number_that_was_written() -> None:
    logical = {"type": "long", "logicalType": "timestamp-millis"}
    schema = writer_schema(record({"name": "at", "type": logical}))
    assert fastavro.schemaless_reader(BytesIO(b"\x02"), schema.parsed, None) == {"at": 1}


def test_the_event_type_is_what_follows_the_namespace_of_braze() -> None:
    assert writer_schema(record()).event_type == "users.messages.email.Open"
    assert writer_schema({"type": "record", "name": "dataexport.S3.inner.a.B", "fields": []}).event_type == "a.B"
    assert writer_schema({"type": "record", "name": "com.example.B", "fields": []}).event_type == "com.example.B"


def test_documentation_does_not_change_the_fingerprint_and_a_type_does() -> None:
    plain = writer_schema(record({"name": "x", "type": "int"}))
    documented = writer_schema(record({"name": "x", "type": "int", "doc": "seconds"}, doc="an e-mail was opened"))
    other = writer_schema(record({"name": "x", "type": "long"}))
    assert plain.fingerprint == documented.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "string",
        [],
        {},
        {"type": "enum", "name": "e", "symbols": ["a"]},
        {"type": "record"},
        {"type": "record", "name": "a.B"},
        {"type": "record", "name": "a.B", "fields": 1},
        {"type": "record", "name": "a.B", "fields": [{"name": "x"}]},
        {"type": "record", "name": "a.B", "fields": [{"name": "x", "type": "elsewhere.Defined"}]},
        {"type": "record", "name": "a.B", "fields": [{"name": "x", "type": "int", "default": "one"}]},
        {"type": "record", "name": 7, "fields": []},
    ],
)
def test_what_is_no_record_schema_is_refused_in_a_sentence(definition: Any) -> None:
    with pytest.raises(ValueError, match=r"^not an? (valid )?Avro"):
        writer_schema(definition)


def test_a_schema_nested_without_end_is_refused() -> None:
    nested: Any = "string"
    for _ in range(5_000):
        nested = {"type": "array", "items": nested}
    with pytest.raises(ValueError, match="nested too deeply"):
        writer_schema(record({"name": "x", "type": nested}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["record", "string", "null", "array", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "fields", "items", "default"]), inner, max_size=4)
    ),
)


@given(st.lists(json_values, max_size=3), json_values)
def test_no_json_makes_it_raise_anything_else(fields: list[Any], name: Any) -> None:
    try:
        schema = writer_schema({"type": "record", "name": name, "fields": fields})
    except ValueError:
        return
    assert len(schema.fingerprint) == 8


def test_a_book_keeps_the_first_schema_of_an_event_type_for_bare_values() -> None:
    first = writer_schema(record({"name": "x", "type": "int"}))
    second = writer_schema(record({"name": "x", "type": "int"}, {"name": "y", "type": "int"}))
    book = SchemaBook([first])
    book.add(second)
    assert book.by_event_type("users.messages.email.Open") is first
    assert book.by_fingerprint(second.fingerprint) is second
    assert book.by_fingerprint(bytes(8)) is None
    assert book.by_event_type("users.messages.email.Close") is None


def test_what_one_book_learns_no_other_knows() -> None:
    schema = writer_schema(record({"name": "x", "type": "int"}))
    shipped().add(schema)
    assert shipped().by_fingerprint(schema.fingerprint) is None


def test_a_folder_is_read_with_the_folders_below(tmp_path: Path) -> None:
    (tmp_path / "email").mkdir()
    (tmp_path / "Send.avsc").write_text(json.dumps(record(name="Send")), encoding="utf-8")
    (tmp_path / "email" / "Open.avsc").write_text(json.dumps(record(name="Open")), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no schema", encoding="utf-8")
    names = {schema.event_type for schema in load_folder(tmp_path)}
    assert names == {"users.messages.email.Send", "users.messages.email.Open"}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'"string"', b'{"type": "record"}'])
def test_a_file_that_holds_no_schema_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "Broken.avsc").write_bytes(content)
    with pytest.raises(ValueError, match=r"Broken\.avsc: "):
        load_folder(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        load_folder(tmp_path / "nowhere")


ID = {"name": "id", "type": "string"}
TIME = {"name": "time", "type": "int"}


def test_a_schema_in_the_spelling_of_brazes_pages_is_of_the_type_that_the_catalogue_names() -> None:
    named = {"type": "record", "name": "users_campaigns_abort", "fields": [ID, TIME]}
    assert writer_schema(named).event_type == "users.campaigns.Abort"
    assert currents_schema(json.dumps(named).encode()).event_type == "users.campaigns.Abort"


def test_a_schema_of_an_event_type_that_is_newer_than_the_catalogue_may_be_added() -> None:
    assert currents_schema(json.dumps(record(ID, TIME, name="Forwarded")).encode()).event_type == (
        "users.messages.email.Forwarded"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"Obj\x01rest", "streams ingest"),
        (b"[]", "not an Avro record schema"),
        (b'"string"', "not an Avro record schema"),
        (b'{"type": "enum", "name": "a", "symbols": []}', "not an Avro record schema"),
        (json.dumps(record({"name": "id"})).encode(), "not a valid Avro schema"),
        (json.dumps({**record(ID, TIME), "namespace": "com.example"}).encode(), "is named com.example.Open"),
        (json.dumps(record(TIME)).encode(), "has no field id of type string"),
        (json.dumps(record(ID)).encode(), "has no field time of type int or long"),
        (json.dumps(record(ID, {"name": "time", "type": "string"})).encode(), "has no field time"),
    ],
)
def test_what_is_no_schema_of_currents_events_is_refused_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        currents_schema(content)
