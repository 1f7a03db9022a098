"""What doctor says of inlets: tokens, the address that Braze was told, and topics that two of them feed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.config import Settings, loads
from streams.delivery.contract import NoResponse, Request, Response
from streams.operations.doctor.findings import Finding
from streams.operations.doctor.inlets import inlet_findings
from streams.operations.doctor.storage import storage_findings
from streams.ports.errors import StoreForbidden, StoreUnreachable
from streams.testing.ports import FakeObjects

TOKEN = "a-token-of-24-characters"
HTTP = {"kind": "http", "tokens": [TOKEN]}
STORAGE = {"kind": "storage", "url": "s3://bucket/prefix"}


class Answers:
    """Gives one answer to whatever is asked."""

    def __init__(self, answer: Response | NoResponse) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def fetch(self, request: Request) -> Response | NoResponse:
        self.asked.append(request)
        return self.answer


def settings(inlets: Any, **receiver: Any) -> Settings:
    content = {"kafka": {"bootstrap_servers": "k:1"}, "inlets": inlets, "receiver": receiver}
    return loads(yaml.safe_dump(content), {}, reads_secrets=False)


def found(of: Settings, answer: Response | NoResponse | None = None) -> list[Finding]:
    return list(inlet_findings(of, Answers(answer or Response(405, {}, b""))))


def test_nothing_is_said_where_there_are_no_inlets() -> None:
    content = {
        "kafka": {"bootstrap_servers": "k:1"},
        "connectors": {"a": {"destination": "mixpanel", "project_token": "0" * 32}},
    }
    assert found(loads(yaml.safe_dump(content), {})) == []


def test_two_inlets_that_feed_one_topic_are_remarked() -> None:
    both = found(settings({"bucket": STORAGE, "feed": HTTP}))
    assert [one.outcome for one in both] == ["warning", "ok"]
    assert "bucket, feed write the same topics" in both[0].detail
    apart = found(settings({"bucket": STORAGE, "feed": {**HTTP, "topic_prefix": "test-currents."}}))
    assert [one.outcome for one in apart] == ["ok"]


def test_a_token_that_cannot_be_read_is_a_problem_and_no_token_is_shown(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    inlet = {"kind": "http", "tokens": [f"file:{token}", f"file:{tmp_path / 'away'}"]}
    first, second = found(settings({"feed": inlet}))
    assert (first.outcome, second.outcome) == ("ok", "problem")
    assert str(tmp_path / "away") in second.detail
    assert TOKEN not in f"{first}{second}"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Response(405, {}, b""), "ok"),
        (Response(404, {}, b""), "problem"),
        (Response(403, {}, b""), "problem"),
        (Response(503, {}, b""), "problem"),
        (Response(200, {}, b""), "warning"),
        (NoResponse("connection refused"), "problem"),
    ],
)
def test_the_address_is_asked_without_sending_anything(answer: Response | NoResponse, outcome: str) -> None:
    answers = Answers(answer)
    public = settings({"feed": HTTP}, public_url="https://streams.example.com")
    findings = list(inlet_findings(public, answers))
    assert [one.outcome for one in findings] == ["ok", outcome]
    ((method, url),) = [(request.method, request.url) for request in answers.asked]
    assert (method, url) == ("GET", "https://streams.example.com/currents/feed")


def looked(store: FakeObjects) -> Finding:
    (one,) = storage_findings(settings({"bucket": STORAGE}), lambda _inlet: store)
    return one


def test_doctor_lists_the_bucket_and_reads_a_file_on_trial() -> None:
    store = FakeObjects()
    assert (looked(store).outcome, "reading was not tried" in looked(store).detail) == ("warning", True)
    store.put("notes.txt", b"")
    store.put("a.avro", b"Obj")
    assert (looked(store).outcome, looked(store).detail) == ("ok", "s3://bucket/prefix can be listed and read")


def test_doctor_tells_a_right_to_list_or_to_get_that_is_missing_from_a_store_that_is_away() -> None:
    store = FakeObjects()
    store.put("a.avro", b"Obj")
    store.refused["a.avro"] = StoreForbidden("s3://bucket: AccessDenied")
    cannot_get = looked(store)
    store.failing = StoreForbidden("s3://bucket: AccessDenied")
    cannot_list = looked(store)
    for one in (cannot_get, cannot_list):
        assert (one.outcome, "AccessDenied" in one.detail) == ("problem", True)
        assert "rights to list the bucket and to get its objects" in one.fix
    store.failing = StoreUnreachable("s3://bucket: connection refused")
    assert "url and options right" in looked(store).fix
