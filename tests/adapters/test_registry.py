"""A schema registry over real HTTP, as Confluent's answers, and what stands before one when it is away."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streams.adapters.http import HttpTransport
from streams.adapters.schemas.registry import RegistrySchemas
from streams.adapters.schemas.sources import FolderSchemas
from streams.config.source import SchemaRegistry
from streams.events.encodings import confluent_header, single_object_header
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.ports.errors import SchemasUnavailable
from streams.ports.schemas import NoSchema
from streams.values import Secret
from tests.registry import KIND, Registry, Says, error


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.close()


@pytest.fixture
def schemas(registry: Registry) -> Iterator[RegistrySchemas]:
    transport = HttpTransport(request_seconds_max=30.0)
    yield RegistrySchemas(SchemaRegistry(url=registry.url), transport)
    transport.close()


def opened() -> WriterSchema:
    schema = shipped().by_event_type("users.messages.email.Open")
    assert schema is not None
    return schema


def split(schema: WriterSchema, *levels: str) -> dict[str, Any]:
    """The schema, with one more field whose type another subject holds."""
    definition = schema.definition
    return {
        **definition,
        "fields": [*definition["fields"], *({"name": f"f{level}", "type": level} for level in levels)],
    }


def test_a_schema_is_found_by_its_id(registry: Registry, schemas: RegistrySchemas) -> None:
    number = registry.register("open-value", opened().definition)
    found = schemas.find(confluent_header(number))
    assert isinstance(found, WriterSchema)
    assert found.fingerprint == opened().fingerprint


def test_references_are_asked_for_nested_ones_too_and_deleted_ones(
    registry: Registry, schemas: RegistrySchemas
) -> None:
    inner = {"type": "enum", "name": "com.acme.Os", "symbols": ["IOS"]}
    outer = {"type": "record", "name": "com.acme.Device", "fields": [{"name": "os", "type": "com.acme.Os"}]}
    registry.register("os/ü", inner)
    registry.register("device", outer, [("com.acme.Os", "os/ü", 1)])
    registry.delete("device", 1)
    number = registry.register("open-value", split(opened(), "com.acme.Device"), [("com.acme.Device", "device", 1)])
    found = schemas.find(confluent_header(number))
    assert isinstance(found, WriterSchema)
    assert found.event_type == "users.messages.email.Open"
    assert found.definition["fields"][-1]["type"]["fields"][0]["type"]["symbols"] == ["IOS"]


def test_references_three_deep_and_named_twice_read_what_was_written(
    registry: Registry, schemas: RegistrySchemas
) -> None:
    os_type = {"type": "enum", "name": "Os", "namespace": "com.acme", "symbols": ["IOS", "ANDROID"]}
    device = {"type": "record", "name": "com.acme.Device", "fields": [{"name": "os", "type": "Os"}]}
    visit = {
        "type": "record",
        "name": "com.acme.web.Visit",
        "fields": [{"name": "devices", "type": {"type": "array", "items": "com.acme.Device"}}],
    }
    event = {
        "type": "record",
        "name": "users.messages.email.Open",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "os", "type": ["null", "com.acme.Os"]},
            {"name": "visit", "type": "com.acme.web.Visit"},
            {"name": "first", "type": ["null", "com.acme.web.Visit"]},
        ],
    }
    registry.register("os", os_type)
    registry.register("device", device, [("com.acme.Os", "os", 1)])
    registry.register("visit", visit, [("com.acme.Device", "device", 1)])
    os_and_visit = [("com.acme.Os", "os", 1), ("com.acme.web.Visit", "visit", 1)]
    number = registry.register("open-value", event, os_and_visit)
    names: dict[str, Any] = {}
    *_, written = [fastavro.parse_schema(part, named_schemas=names) for part in (os_type, device, visit, event)]
    ios = {"devices": [{"os": "IOS"}, {"os": "ANDROID"}]}
    record = {"id": "1", "os": "IOS", "visit": ios, "first": ios}
    stream = BytesIO()
    fastavro.schemaless_writer(stream, written, record)
    found = schemas.find(confluent_header(number))
    assert isinstance(found, WriterSchema), found
    assert fastavro.schemaless_reader(BytesIO(stream.getvalue()), found.parsed, None) == record
    assert len(registry.asked) == len(set(registry.asked)) == 4, "nothing is asked for twice"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("PROTOBUF", "it is Protobuf, and only Avro is read"),
        ("JSON", "it is JSON Schema, and only Avro is read"),
        ("AVRO", "it is not JSON: unexpected character"),
    ],
)
def test_a_reference_that_cannot_be_read_is_named_with_the_reason(
    registry: Registry, schemas: RegistrySchemas, kind: str, why: str
) -> None:
    registry.register("part", 'syntax = "proto3";', kind=kind)
    number = registry.register("open-value", split(opened(), "a.B"), [("a.B", "part", 1)])
    found = schemas.find(confluent_header(number))
    assert isinstance(found, NoSchema)
    assert found.verdict == "unreadable"
    assert found.detail.startswith(f"its reference to version 1 of part: {why}")


def test_a_reference_that_is_gone_names_its_subject_with_the_registrys_words(
    registry: Registry, schemas: RegistrySchemas
) -> None:
    number = registry.register("open-value", split(opened(), "a.B"), [("a.B", "gone", 3)])
    found = schemas.find(confluent_header(number))
    assert found == NoSchema(
        "its reference to version 3 of gone: the registry answers 404: 40401 Subject 'gone' not found.", "not-yet"
    )


@pytest.mark.parametrize(("kind", "name"), [("JSON", "JSON Schema"), ("PROTOBUF", "Protobuf")])
def test_ids_of_other_kinds_of_schemas_are_named_as_such(
    registry: Registry, schemas: RegistrySchemas, kind: str, name: str
) -> None:
    number = registry.register("other-value", 'syntax = "proto3";', kind=kind)
    assert schemas.find(confluent_header(number)) == NoSchema(f"it is {name}, and only Avro is read", "unreadable")


def test_a_schema_that_is_no_record_is_known_and_unreadable(registry: Registry, schemas: RegistrySchemas) -> None:
    found = schemas.find(confluent_header(registry.register("key", "string")))
    assert isinstance(found, NoSchema)
    assert found.verdict == "unreadable"


@pytest.mark.parametrize(
    ("says", "verdict", "words"),
    [
        (error(404, 40403, "Schema 7 not found"), "not-yet", "404: 40403 Schema 7 not found"),
        (error(422, 42202, "The specified\nid is bad"), "never", "422: 42202 The specified id is bad"),
        (error(400, 400, "no number"), "never", "400: 400 no number"),
        ((410, "text/plain", b"gone"), "never", "410: gone"),
    ],
)
def test_the_registrys_own_no_is_told_in_its_words(
    registry: Registry, schemas: RegistrySchemas, says: Says, verdict: str, words: str
) -> None:
    registry.says = lambda _path: says
    assert schemas.find(confluent_header(7)) == NoSchema(f"the registry answers {words}", verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "says",
    [
        (404, "text/html", b"<html>default backend - 404</html>"),
        (404, "text/plain", b"default backend - 404"),
        error(404, 404, "HTTP 404 Not Found"),
        (404, KIND, b""),
        (400, "text/html", b"<html>plain HTTP to an HTTPS port"),
        (400, "text/plain", b"Client sent an HTTP request to an HTTPS server.\n"),
        (400, KIND, b""),
        (422, "text/plain", b"\n <!doctype html>"),
        (200, "text/html", b"<html>sign in</html>"),
        (200, "application/json", b'{"health": "ok"}'),
        (200, "application/json", b"[]"),
        (301, "text/html", b""),
        (401, KIND, b"{}"),
        (403, KIND, b"{}"),
        (405, KIND, b"{}"),
        (408, KIND, b"{}"),
        (429, KIND, b"{}"),
        error(500, 50001, "Error in the backend data store"),
        (503, "text/html", b"<html>"),
    ],
)
def test_whatever_is_not_the_registrys_own_no_is_an_outage(
    registry: Registry, schemas: RegistrySchemas, says: Says
) -> None:
    registry.says = lambda _path: says
    with pytest.raises(SchemasUnavailable, match=f"status {says[0]}"):
        schemas.find(confluent_header(7))


@pytest.mark.parametrize("kind", [None, "AVRO"])
def test_a_schema_without_a_kind_is_avro(registry: Registry, schemas: RegistrySchemas, kind: str | None) -> None:
    content = {"schema": json.dumps(opened().definition), "schemaType": kind}
    registry.says = lambda _path: (200, KIND, json.dumps(content).encode())
    assert isinstance(schemas.find(confluent_header(7)), WriterSchema)


@pytest.mark.parametrize("kind", [["AVRO"], {"name": "AVRO"}, 7])
def test_a_kind_that_is_no_text_is_another_kind(registry: Registry, schemas: RegistrySchemas, kind: Any) -> None:
    content = {"schema": json.dumps(opened().definition), "schemaType": kind}
    registry.says = lambda _path: (200, KIND, json.dumps(content).encode())
    found = schemas.find(confluent_header(7))
    assert found == NoSchema("it is of another kind, and only Avro is read", "unreadable")


@pytest.mark.parametrize("said", [b"\x15\x03\x01\x00\x02\x02F", b"220 mail.example ESMTP\r\n\r\n"])
def test_what_speaks_another_protocol_is_an_outage_in_words(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        transport = HttpTransport(request_seconds_max=30.0)
        schemas = RegistrySchemas(SchemaRegistry(url=f"http://127.0.0.1:{server.getsockname()[1]}"), transport)
        with pytest.raises(SchemasUnavailable, match="no answer: the answer cannot be read as HTTP"):
            schemas.find(confluent_header(7))
        transport.close()
        thread.join()


def test_silence_is_an_outage_and_is_not_asked_for_each_id() -> None:
    transport = HttpTransport(request_seconds_max=30.0)
    schemas = RegistrySchemas(SchemaRegistry(url="http://127.0.0.1:1"), transport)
    for number in range(100):
        with pytest.raises(SchemasUnavailable, match="no answer"):
            schemas.find(confluent_header(number))
    transport.close()


def test_a_password_file_that_is_away_is_an_outage_with_its_name(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "password"
    transport = HttpTransport(request_seconds_max=30.0)
    file.write_text("secret\n")
    schemas = RegistrySchemas(
        SchemaRegistry(url=registry.url, username="me", password=Secret(f"file:{file}")), transport
    )
    file.unlink()
    number = registry.register("open-value", opened().definition)
    with pytest.raises(SchemasUnavailable, match=r"source\.schema_registry\.password: cannot read secret file"):
        schemas.find(confluent_header(number))
    file.write_text("secret\n")
    assert isinstance(schemas.find(confluent_header(number)), WriterSchema)
    assert registry.authorizations == ["Basic bWU6c2VjcmV0"]
    transport.close()


def test_a_schema_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    schema = opened()
    (tmp_path / "Open.avsc").write_text(json.dumps(schema.definition))
    (tmp_path / ".#Open.avsc").symlink_to("someone@host.1:1")
    (tmp_path / "half.avsc").write_text('{"type": "record", "na')
    (tmp_path / "folder.avsc").mkdir()
    folder = FolderSchemas([tmp_path, tmp_path / "away"])
    assert folder.find(single_object_header(schema)) is not None
    (tmp_path / "Open.avsc").write_text("{")  # half written while an editor saves it
    assert folder.find(single_object_header(schema)) is not None


def test_a_schema_file_that_was_read_half_written_is_read_again_though_the_clock_did_not_tick(tmp_path: Path) -> None:
    schema, file, tick = opened(), tmp_path / "Open.avsc", (1, 1)
    file.write_text("")
    os.utime(file, ns=tick)
    folder = FolderSchemas([tmp_path])
    assert folder.find(single_object_header(schema)) is None
    file.write_text(json.dumps(schema.definition))
    os.utime(file, ns=tick)
    assert folder.find(single_object_header(schema)) is not None
