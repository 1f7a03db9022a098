"""What the configuration of a receiver may say, what is remarked, and what doctor asks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.config import ConfigurationError, Settings, loads
from streams.config.access import roles
from streams.config.topology import wanted_topics
from streams.config.warnings import warnings
from streams.delivery.contract import NoResponse, Response
from streams.operations.doctor.receiver import receiver_findings
from streams.wayback.entries import Firehose
from tests.operations.test_doctor import Answers
from tests.receiver.scene import CONNECTOR, entries

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
FEEDS = {"unbound": {"key": "k" * 20, "secret": "s" * 20}}


def document(receiver: dict[str, Any] | None = None, **connectors: Any) -> str:
    braze = {"destination": "braze", "instance": "US-01", "rest_key": "a-rest-key", "receive": entries()}
    content = {
        "kafka": {"bootstrap_servers": "kafka:9092"},
        "receiver": receiver or {},
        "connectors": {CONNECTOR: braze, **connectors},
    }
    return yaml.safe_dump(content)


def settings(receiver: dict[str, Any] | None = None, **connectors: Any) -> Settings:
    return loads(document(receiver, **connectors))


def test_without_a_section_there_are_the_defaults() -> None:
    receiver = settings().receiver
    assert (receiver.port, receiver.body_max, receiver.memory) == (8088, 4_000_000, 12_000_000)
    assert (receiver.connections_max, receiver.answer_within, receiver.tls) == (64, 10.0, None)


@pytest.mark.parametrize(
    ("receiver", "path", "words"),
    [
        ({"body_max": "255kB"}, "receiver.body_max", "256kB to 16MB"),
        ({"body_max": "17MB", "memory": "20MB"}, "receiver.body_max", "256kB to 16MB"),
        ({"body_max": "8MB", "memory": "4MB"}, "receiver", "memory must be at least body_max"),
        ({"body_max": "4 MB"}, "receiver.body_max", "a whole number with a unit"),
        ({"answer_within": "31s"}, "receiver.answer_within", "1s to 30s"),
        ({"answer_within": "500ms"}, "receiver.answer_within", "1s to 30s"),
        ({"connections_max": 0}, "receiver.connections_max", "1"),
        ({"port": 70_000}, "receiver.port", "65535"),
        ({"public_url": "streams.example.com"}, "receiver.public_url", "http://host:port or https://host:port"),
        (
            {"tls": {"certificate": "/tls/tls.crt", "key": "file:/tls/tls.key"}},
            "receiver.tls.certificate",
            "file:/path",
        ),
        ({"tls": {"certificate": "file:/tls/tls.crt"}}, "receiver.tls.key", "missing"),
        ({"ports": 1}, "receiver.ports", "port"),
    ],
)
def test_a_wrong_key_is_named_with_what_would_be_right(receiver: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings(receiver)
    (problem,) = error.value.problems
    assert problem.path == path
    assert words in str(problem)


def test_one_password_that_is_too_short_is_named_without_its_text() -> None:
    short = {"kind": "mparticle_events", "keys": ["fifteen-letters"]}
    with pytest.raises(ConfigurationError) as error:
        settings(other={"destination": "braze", "instance": "US-01", "rest_key": "other", "receive": {"x": short}})
    assert "16 characters" in str(error.value)
    assert "fifteen-letters" not in str(error.value)


def test_an_address_without_https_is_remarked() -> None:
    paths = {remark.path for remark in warnings(settings({"public_url": "http://streams.example.com"}))}
    assert "receiver.public_url" in paths
    assert not [one for one in warnings(settings({"public_url": "https://a.example"})) if one.path.startswith("rec")]


def test_a_way_in_a_circle_is_remarked() -> None:
    cdp = {"destination": "mparticle", "feeds": FEEDS}
    found = [remark for remark in warnings(settings(cdp=cdp)) if "loop" in str(remark)]
    assert {remark.path for remark in found} == {
        f"connectors.{CONNECTOR}.receive.{entry}.events" for entry in ("data", "firehose", "keyed")
    }
    assert not [remark for remark in warnings(settings()) if "loop" in str(remark)]


def test_topic_and_role_are_there_only_where_something_is_received() -> None:
    with_entries = settings()
    assert "streams.received" in {topic.name for topic in wanted_topics(with_entries, 1)}
    (role,) = (role for role in roles(with_entries) if role.name == "receiver")
    assert {(grant.resource, grant.name, grant.operations) for grant in role.grants} == {
        ("topic", f"streams.connector.{CONNECTOR}", ("Write",)),
        ("topic", "streams.received", ("Read", "Write")),
        ("group", "streams.receiver-", ("Describe",)),
        ("transactional-id", "streams.receiver-", ("Write",)),
    }
    text = yaml.safe_dump(
        {
            "kafka": {"bootstrap_servers": "kafka:9092"},
            "connectors": {"growth": {"destination": "mixpanel", "project_token": "0" * 32}},
        }
    )
    without = loads(text)
    assert "streams.received" not in {topic.name for topic in wanted_topics(without, 1)}
    assert "receiver" not in {role.name for role in roles(without)}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Response(405, {}, b""), "ok"),
        (Response(404, {}, b""), "problem"),
        (Response(502, {}, b""), "problem"),
        (Response(200, {}, b""), "warning"),
        (NoResponse("connection refused"), "problem"),
    ],
)
def test_doctor_asks_each_entry_at_its_public_address(answer: Response | NoResponse, outcome: str) -> None:
    public = settings({"public_url": "https://streams.example.com/"})
    answers = Answers(answer)
    findings = list(receiver_findings(public, answers))
    assert {finding.outcome for finding in findings} == {outcome}
    assert {request.url for request in answers.asked} == {
        f"https://streams.example.com/receive/{CONNECTOR}/{entry}" for entry in entries()
    }
    assert {request.method for request in answers.asked} == {"GET"}


def test_doctor_asks_nobody_where_no_address_is_told() -> None:
    (finding,) = receiver_findings(settings(), Answers(Response(500, {}, b"")))
    assert finding.outcome == "ok"
    assert "entries: 5" in finding.detail


def test_the_module_for_mparticle_names_what_firehose_has_and_what_an_entry_takes() -> None:
    """Names of kinds and types: mParticle's schemas of Firehose 3.2."""
    module = json.loads((EXAMPLES / "firehose-module.json").read_text())
    assert module["type"] == "module_registration_response"
    events = module["event_processing_registration"]
    assert set(events["supported_event_types"]) <= {
        "session_start", "session_end", "custom_event", "screen_view", "error", "privacy_setting_change",
        "user_attribute_change", "user_identity_change", "push_subscription", "application_state_transition",
        "push_message_receipt", "product_action", "promotion_action", "impression", "attribution", "push_message_open",
    }  # fmt: skip
    assert set(events["supported_runtime_environments"]) <= {"unknown", "android", "ios", "mobileweb"}
    assert {one["encoding"] for one in module["permissions"]["user_identities"]} == {"raw"}, "Braze knows no hashes"
    text = (EXAMPLES / "receiver.yaml").read_text()
    example = loads(text, dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "k" * 32))
    firehose = example.entries["back-to-braze"]["audiences"]
    assert isinstance(firehose, Firehose)
    for part in ("event_processing_registration", "audience_processing_registration"):
        assert [one["id"] for one in module[part]["account_settings"]] == [firehose.key_setting]
