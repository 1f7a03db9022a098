"""Schemas as an operation on a broker: who acts is an argument, and what comes back needs no terminal."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.assembly.installation import connected
from streams.config import loads
from streams.events.schemas import shipped
from streams.operations import schemas, topics
from streams.operations.errors import BadRequest, NothingMatched, OperationError
from streams.operations.installation import Installation
from streams.testing.brokers import Broker
from tests.cli.files import OPEN_SCHEMA
from tests.topics import claim
from tests.waiting import wait_until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Open.avsc"
    path.write_text(json.dumps(OPEN_SCHEMA))
    return path


@pytest.fixture
def installation(kafka: Broker) -> Iterator[Installation]:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    claim(kafka.bootstrap_servers, prefix)
    settings = loads(
        f"""
kafka: {{bootstrap_servers: "{kafka.bootstrap_servers}", topic_prefix: "{prefix}"}}
connectors:
  growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}
"""
    )
    with connected(settings, schemas.transactional_id(settings)) as installation:
        yield installation


@pytest.mark.kafka
def test_the_audit_names_who_the_caller_says_acts(installation: Installation, file: Path) -> None:
    topics.apply(installation, lambda _change: None)
    audit = installation.settings.topics.audit
    wait_until(lambda: audit in installation.cluster.topic_names(), "the new topics to be known to the broker")
    added = schemas.add(installation, schemas.read_files([file]), who="someone@console", reason="new field")
    assert [one.file for one in added.written] == [str(file)]
    # Readers see the end of a transaction, topic by topic, a moment after its commit was answered.
    latest: dict[bytes, bytes] = {}

    def is_readable() -> bool:
        latest.update(installation.read_latest(audit, b"source"))
        return bool(latest) and bool(installation.read_latest(installation.settings.topics.schemas, b""))

    wait_until(is_readable, "the audit and the schema to be readable")
    (line,) = latest.values()
    assert (json.loads(line)["who"], json.loads(line)["why"]) == ("someone@console", "new field")
    again = schemas.add(installation, schemas.read_files([file]), who="someone@console", reason="")
    assert (again.written, again.files[0].there_already) == ((), schemas.ON_TOPIC)


@pytest.mark.kafka
def test_without_topics_the_shipped_schemas_are_known_and_nothing_is_added(
    installation: Installation, file: Path
) -> None:
    found = schemas.known(installation)
    assert len(found.schemas) == len(shipped())
    (sentence,) = found.unused
    assert installation.settings.topics.schemas in sentence
    with pytest.raises(OperationError, match="streams topics apply"):
        schemas.add(installation, schemas.read_files([file]), who="someone@console", reason="")


def test_missing_files_match_nothing_and_one_that_is_no_schema_is_a_bad_request(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingMatched, match=r"gone\.avsc"):
        schemas.read_files([file, tmp_path / "gone.avsc"])
    broken = tmp_path / "broken.avsc"
    broken.write_text("{")
    with pytest.raises(BadRequest, match=r"broken\.avsc: is not JSON"):
        schemas.read_files([file, tmp_path / "gone.avsc", broken])
