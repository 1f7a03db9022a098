"""A destination that streams does not know: registered by entry point, configured in YAML, run on Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.delivery.contract import Refused, Rejected, Response
from streams.destinations.outside import GROUP, find
from streams.destinations.table import MappedEvent
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import NAMESPACE
from streams.events.schemas import shipped, writer_schema
from streams.testing.brokers import Broker
from streams.testing.conformance import CHECKS, Check, gives_a_verdict_on_any_answer_without_a_secret
from streams.testing.processes import Child
from tests.newline_destination.server import SECRET, Lines, serving
from tests.topics import claim
from tests.waiting import wait_until

OPEN = "users.messages.email.Open"
NAME = "lines"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_conforms(check: Check, installed: Path) -> None:
    check(find(()).kinds["newline"])


def test_the_suite_finds_a_detail_that_shows_a_secret(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = find(()).kinds["newline"]

    def unmasked(_self: object, response: Response, _request: object, _records: int) -> Refused:
        return Refused({0: response.body.decode(errors="replace")})

    monkeypatch.setattr("newline_destination.NewlineDestination._accepted", unmasked)
    with pytest.raises(AssertionError, match="shows a secret"):
        gives_a_verdict_on_any_answer_without_a_secret(kind)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"external_user_id": ""}, "no external_user_id"),
        ({"id": ""}, "id or time is missing"),
        ({"external_user_id": "u" * 20_000}, "the event is 20"),
    ],
)
def test_an_event_that_the_server_would_not_take_is_rejected(
    changed: dict[str, str], why: str, installed: Path
) -> None:
    kind, schema = find(()).kinds["newline"], shipped().by_event_type(OPEN)
    assert schema is not None
    encoder = kind.build(kind.example()).encoder(schema)
    assert encoder is not None
    value = encode_single_object(schema, {**sample_record(OPEN, Random(1), 1_790_000_000), **changed})
    encoding = encoder(value, SINGLE_OBJECT_HEADER_BYTES)
    assert isinstance(encoding, Rejected)
    assert encoding.detail.startswith(why)


def test_an_event_whose_schema_lacks_the_id_is_rejected_and_nothing_raises(installed: Path) -> None:
    kind = find(()).kinds["newline"]
    fields = [{"name": "time", "type": "int"}, {"name": "external_user_id", "type": "string"}]
    schema = writer_schema({"type": "record", "name": NAMESPACE + OPEN, "fields": fields})
    encoder = kind.build(kind.example()).encoder(schema)
    assert encoder is not None
    value = encode_single_object(schema, {"time": 1_790_000_000, "external_user_id": "ada"})
    assert encoder(value, SINGLE_OBJECT_HEADER_BYTES) == Rejected("id or time is missing")


def test_a_package_that_is_broken_or_takes_a_name_stops_no_other(installed: Path) -> None:
    entries = [
        EntryPoint("absent", "no_such_package:KIND", GROUP),
        EntryPoint("other", "newline_destination:NEWLINE", GROUP),
        EntryPoint("number", "math:pi", GROUP),
        EntryPoint("newline", "newline_destination:NEWLINE", GROUP),
    ]
    found = find((), entries)
    assert list(found.kinds) == ["newline"]
    assert "ModuleNotFoundError" in found.broken["absent"]
    assert "names itself newline" in found.broken["other"]
    assert "is not a DestinationKind" in found.broken["number"]
    assert "name of another destination" in find(("newline",), entries).broken["newline"]


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("settings", {"token": "t"}, "settings must be a pydantic model"),
        ("build", None, "build must be a class"),
        ("events", (MappedEvent(OPEN, "open"),), "events must be a mapping"),
        ("events", {OPEN: MappedEvent("users.messages.email.Click", "click")}, "under its own event_type"),
        ("example", {"token": "t"}, "example must be a function"),
    ],
)
def test_a_kind_with_a_wrong_member_cannot_be_used_and_says_which(
    member: str, value: Any, said: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(find(()).kinds["newline"], **{member: value})
    monkeypatch.setattr("newline_destination.WRONG", kind, raising=False)
    broken = find((), [EntryPoint("newline", "newline_destination:WRONG", GROUP)]).broken
    assert said in broken["newline"]
    assert "newline_destination:WRONG" in broken["newline"]


def event(event_id: str, user: str) -> bytes:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    record = sample_record(OPEN, Random(event_id), 1_790_000_000)
    return encode_single_object(schema, {**record, "id": event_id, "external_user_id": user})


class Installation:
    """`streams` with the package installed, as a person uses it: commands alone."""

    def __init__(self, site: Path, folder: Path, broker: Broker, lines: Lines) -> None:
        prefix = f"t{uuid4().hex[:8]}."
        claim(broker.bootstrap_servers, prefix)
        self.source_prefix = f"{prefix}currents."
        self.config = folder / "streams.yaml"
        self.log = folder / "run.log"
        content = {
            "kafka": {"bootstrap_servers": broker.bootstrap_servers, "topic_prefix": f"{prefix}streams."},
            "source": {"topics": [f"^{prefix}currents\\..+"], "topic_prefix": self.source_prefix},
            "connectors": {
                NAME: {
                    "destination": "newline",
                    "base_url": lines.base_url,
                    "client_id": "a-client",
                    "client_secret": f"file:{folder / 'secret'}",
                }
            },
        }
        (folder / "secret").write_text(SECRET)
        self.config.write_text(yaml.safe_dump(content))
        self._environment = {"PYTHONPATH": str(site), "STREAMS_CONFIG": str(self.config)}
        topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for created in topics.create_topics([NewTopic(self.source_prefix + OPEN, 1, 1)]).values():
            created.result(60)
        self._producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streams", *arguments],
            env={**os.environ, **self._environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self) -> Child:
        return Child([sys.executable, "-m", "streams", "run", "all"], self.log, self._environment)

    def write(self, *events: tuple[str, str]) -> None:
        for event_id, user in events:
            self._producer.produce(self.source_prefix + OPEN, event(event_id, user), user.encode())
        assert self._producer.flush(60) == 0

    def account(self) -> dict[str, Any]:
        shown = json.loads(self.command("connectors", "show", NAME, "--output", "json"))
        account: dict[str, Any] = shown["account"]
        return account


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_it_delivers_from_kafka_with_tokens_that_are_renewed_and_errors_by_line(
    kafka: Broker, installed: Path, tmp_path: Path
) -> None:
    with serving() as lines:
        lines.refused_users.add("nobody")
        installation = Installation(installed, tmp_path, kafka, lines)
        installation.command("config", "check")
        installation.command("topics", "apply")
        installation.write(*((f"one-{number}", "somebody") for number in range(20)), ("bad", "nobody"))
        process = installation.run()
        try:
            wait_until(taken(lines, 20), "the first events")
            lines.revoke()
            installation.write(*((f"two-{number}", "somebody") for number in range(20)))
            wait_until(taken(lines, 40), "the events after the token was revoked")
            wait_until(lambda: installation.account()["waiting"] == 0, "everything to settle")
        finally:
            process.stop()
        account = installation.account()
    assert (account["delivered"], account["parked"]["rejected"], account["waiting"]) == (40, 1, 0)
    assert len({line["id"] for line in lines.taken}) == len(lines.taken) == 40
    assert lines.tokens >= 2
    assert SECRET not in installation.log.read_text(errors="replace")


def taken(lines: Lines, count: int) -> Callable[[], bool]:
    return lambda: len(lines.taken) == count
