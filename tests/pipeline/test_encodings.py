"""Encodings and schemas of other writers, end to end: Confluent with a registry, bare, folders, the schemas topic."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.events.encodings import encode_bare, encode_confluent, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped, writer_schema
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running

OPEN = "users.messages.email.Open"


class Registry:
    """A server that answers as Confluent's public API does: `GET /schemas/ids/{id}`; it can fall silent."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.authorization = ""
        self.is_down = False
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                self._answer(*registry.answer(self.path, self.headers.get("Authorization", "")))

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """A test prints nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        if self.is_down:
            return 503, {"error_code": 50002, "message": "Operation timed out"}
        if authorization != self.authorization:
            return 401, {"error_code": 401, "message": "Unauthorized"}
        schema = self.schemas.get(int(path.rsplit("/", 1)[1]))
        if schema is None:
            return 404, {"error_code": 40403, "message": "Schema not found"}
        return 200, {"schema": json.dumps(schema)}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.close()


def newer(event_type: str = OPEN) -> WriterSchema:
    """A writer's schema that `avro/` does not hold: one more optional field."""
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    field = {"name": "send_time", "type": ["null", "int"], "default": None}
    return writer_schema({**schema.definition, "fields": [*schema.definition["fields"], field]})


def event(number: int) -> dict[str, Any]:
    record = sample_record(OPEN, Random(number), 1_790_000_000)
    return {**record, "id": f"event-{number}", "external_user_id": f"user-{number}", "send_time": 7}


def arrived(mixpanel: MixpanelEmulator) -> set[str]:
    return {row["properties"]["$insert_id"] for row in mixpanel.unique()}


def letters(line: Line) -> list[str]:
    """Causes of the source dead letters."""
    records = line.scene.read(line.scene.settings.topics.dead_letter_source)
    return [(record.header("streams-cause") or b"").decode() for record in records]


@pytest.mark.kafka
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_confluents_wire_format_is_decoded_by_a_registry_and_an_outage_parks_nothing(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, registry: Registry, kind: str
) -> None:
    access: dict[str, Any] = {"bearer_token": "token-of-registry"}
    registry.authorization = "Bearer token-of-registry"
    if kind == "basic":
        access = {"username": "reader", "password": "secret"}
        registry.authorization = "Basic " + base64.b64encode(b"reader:secret").decode()
    schema = newer()
    registry.schemas[41] = schema.definition
    registry.is_down = True
    source = {"schema_registry": {"url": registry.url, **access}, "unknown_schema_wait": "1s"}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, source) as line:
        for number in range(3):
            line.write(OPEN, encode_confluent(41, schema, event(number)))
        line.scene.wait_until(lambda: len(registry.asked) >= 3, "the registry to be asked in vain")
        assert line.scene.router_counts().read == 0
        registry.is_down = False
        line.settle()
        assert arrived(mixpanel) == {"event-0", "event-1", "event-2"}
        line.write(OPEN, encode_confluent(404, schema, event(3)))
        line.settle()
        assert letters(line) == ["unknown-schema"]
        assert line.scene.router_counts().undecodable == 1


@pytest.mark.kafka
def test_without_a_registry_confluents_wire_format_is_undecodable(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, encode_confluent(41, newer(), event(0)))
        line.settle()
        assert letters(line) == ["undecodable"]


@pytest.mark.kafka
def test_bare_avro_is_decoded_by_the_topics_event_type(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, {"encoding": "bare"}) as line:
        record = {key: item for key, item in event(0).items() if key != "send_time"}
        line.write(OPEN, encode_bare(schema, record))
        line.settle()
        routed = line.scene.read(line.scene.settings.topics.connector(ANALYTICS))
    assert routed[0].header("streams-event-type") == OPEN.encode()
    assert arrived(mixpanel) == {"event-0"}


@pytest.mark.kafka
@pytest.mark.parametrize("place", ["folder", "topic"])
def test_a_schema_that_comes_later_is_waited_for(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, place: str
) -> None:
    folder = tmp_path / "schemas"
    folder.mkdir()
    schema = newer()
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, {"schema_folders": [str(folder)]}) as line:
        line.write(OPEN, encode_single_object(schema, event(0)))
        line.write("users.canvas.Entry", encode_single_object(*entry()))
        line.scene.wait_until(lambda: line.scene.router_counts().read == 1, "the other partition to go on")
        if place == "folder":
            (folder / "Open.avsc").write_text(json.dumps(schema.definition))
        else:
            producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
            key = schema.fingerprint.hex().encode()
            producer.produce(line.scene.settings.topics.schemas, json.dumps(schema.definition).encode(), key)
            producer.flush(60)
        line.settle()
        assert letters(line) == []
        assert line.scene.account(ANALYTICS).delivered == 2
    assert "event-0" in arrived(mixpanel)


def entry() -> tuple[WriterSchema, dict[str, Any]]:
    schema = shipped().by_event_type("users.canvas.Entry")
    assert schema is not None
    return schema, {**sample_record("users.canvas.Entry", Random(9), 1_790_000_000), "external_user_id": "someone"}


@pytest.mark.kafka
def test_a_schema_that_never_comes_parks_the_record_and_the_stream_goes_on(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    known = shipped().by_event_type(OPEN)
    assert known is not None
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, {"unknown_schema_wait": "2s"}) as line:
        line.write(OPEN, encode_single_object(newer(), event(0)))
        line.write(OPEN, encode_single_object(known, {k: v for k, v in event(1).items() if k != "send_time"}))
        line.settle()
        assert letters(line) == ["unknown-schema"]
    assert arrived(mixpanel) == {"event-1"}


@pytest.mark.kafka
def test_records_of_many_unknown_schemas_hold_those_behind_them_for_one_wait(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    """One after the other they would wait for ten minutes, and nobody waits for so long here."""
    known, wait_seconds, unknown = shipped().by_event_type(OPEN), 20, 30
    assert known is not None
    source = {"unknown_schema_wait": f"{wait_seconds}s"}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, source) as line:
        for number in range(unknown):
            line.write(OPEN, b"\xc3\x01" + number.to_bytes(8, "big") + b"nobody knows it")
        line.write(OPEN, encode_single_object(known, {k: v for k, v in event(1).items() if k != "send_time"}))
        line.settle()
        assert letters(line) == ["unknown-schema"] * unknown
    assert arrived(mixpanel) == {"event-1"}
