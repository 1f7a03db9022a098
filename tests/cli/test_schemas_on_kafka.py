"""`streams schemas` against a broker: what is listed, what is added, and what is refused as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.schemas.sources import TopicSchemas
from streams.events.encodings import encode_single_object
from streams.events.schemas import shipped, writer_schema
from streams.testing.brokers import Broker
from tests.cli.files import OPEN_SCHEMA, opens
from tests.cli.test_on_kafka import Installation

pytestmark = pytest.mark.kafka

SCHEMA = writer_schema(OPEN_SCHEMA)
FINGERPRINT = encode_single_object(SCHEMA, opens(1)[0])[2:10].hex()


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Installation:
    installation = Installation(kafka.bootstrap_servers, tmp_path)
    installation.json("topics", "apply")
    return installation


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Open.avsc"
    path.write_text(json.dumps(OPEN_SCHEMA))
    return path


def on_topic(installation: Installation, name: str) -> list[tuple[str, Any]]:
    options: dict[str, Any] = {"bootstrap.servers": installation.bootstrap_servers}
    found = read_to_end(options, f"{installation.prefix}{name}", "test")
    return [(key.decode(), json.loads(value)) for key, value in found.items()]


@pytest.fixture
def reader(installation: Installation) -> Iterator[TopicSchemas]:
    options = {"bootstrap.servers": installation.bootstrap_servers}
    reader = TopicSchemas(options, f"{installation.prefix}schemas", "test-reader")
    yield reader
    reader.close()


def test_an_added_schema_is_found_by_the_header_of_a_value_and_the_audit_says_who_added_it(
    installation: Installation, file: Path, reader: TopicSchemas
) -> None:
    value = encode_single_object(SCHEMA, opens(1)[0])
    assert reader.find(value[:10]) is None
    added = installation.json("schemas", "add", str(file), "--reason", "new field")
    assert added["added"] == [
        {"fingerprint": FINGERPRINT, "event_type": "users.messages.email.Open", "file": str(file)}
    ]
    assert added["next_step"] == "streams dlq replay source --cause unknown-schema"
    found = reader.find(value[:10])
    assert found is not None
    assert found.definition == OPEN_SCHEMA
    ((key, line),) = on_topic(installation, "audit")
    assert (key, line["what"], line["why"]) == ("source", "schemas added", "new field")
    assert "@" in line["who"]
    assert line["schemas"][0]["fingerprint"] == FINGERPRINT
    assert line["schemas"][0]["file"] == "Open.avsc"


def test_what_is_there_already_is_not_written_again(installation: Installation, file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "Same.avsc"
    copy.parent.mkdir()
    copy.write_text(json.dumps({**OPEN_SCHEMA, "doc": "the same to a reader"}))
    known = tmp_path / "copy" / "Known.avsc"
    known.write_text(json.dumps(next(iter(shipped())).definition))
    assert len(installation.json("schemas", "add", str(file), str(copy.parent))["added"]) == 1
    again = installation.json("schemas", "add", str(file), str(known))
    assert again["added"] == []
    assert again["next_step"] is None
    assert [there["file"] for there in again["there_already"]] == [str(file), str(known)]
    assert [key for key, _ in on_topic(installation, "schemas")] == [FINGERPRINT]
    table = installation.streams("schemas", "add", str(file), str(known))
    assert "on the topic already" in table.stdout
    assert "shipped" in table.stdout


def test_one_file_that_is_nonsense_keeps_all_from_being_added_and_each_is_named(
    installation: Installation, file: Path, tmp_path: Path
) -> None:
    broken, other = tmp_path / "broken.avsc", tmp_path / "other.avsc"
    broken.write_text("{")
    other.write_text(json.dumps({**OPEN_SCHEMA, "name": "com.example.Order"}))
    result = installation.streams("schemas", "add", str(file), str(broken), str(other))
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{broken}: is not JSON" in result.stderr
    assert f"{other}: is named com.example.Order" in result.stderr
    assert on_topic(installation, "schemas") == []


@pytest.mark.parametrize("path", ["gone.avsc", "empty"])
def test_a_file_that_is_not_there_is_nothing_that_matched(
    installation: Installation, tmp_path: Path, path: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = installation.streams("schemas", "add", str(tmp_path / path))
    assert (result.returncode, result.stdout) == (3, "")
    assert path in result.stderr


def test_a_list_says_where_each_schema_comes_from(installation: Installation, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "Open.avsc").write_text(file.read_text())
    text = installation.config.read_text()
    registry = "schema_registry: {url: 'http://registry:8081'}"
    more = f"source: {{schema_folders: ['{folder}'], {registry}, "
    installation.config.write_text(text.replace("source: {", more))
    installation.json("schemas", "add", str(file))
    listed = {schema["fingerprint"]: schema for schema in installation.json("schemas", "list")["schemas"]}
    assert len(listed) == len(shipped()) + 1
    assert listed[FINGERPRINT] == {
        "fingerprint": FINGERPRINT,
        "event_type": "users.messages.email.Open",
        "from": [
            {"place": "folder", "name": str(folder)},
            {"place": "topic", "name": f"{installation.prefix}schemas"},
        ],
    }
    first = next(iter(shipped()))
    assert listed[first.fingerprint.hex()]["from"] == [{"place": "shipped", "name": None}]
    table = installation.streams("schemas", "list")
    assert f"{FINGERPRINT}  users.messages.email.Open" in table.stdout
    assert "http://registry:8081" in table.stderr


def test_before_any_topic_is_made_the_shipped_schemas_are_listed_and_none_can_be_added(
    kafka: Broker, tmp_path: Path, file: Path
) -> None:
    bare = Installation(kafka.bootstrap_servers, tmp_path)
    assert len(bare.json("schemas", "list")["schemas"]) == len(shipped())
    result = bare.streams("schemas", "add", str(file))
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{bare.prefix}schemas" in result.stderr
    assert "streams topics apply" in result.stderr
