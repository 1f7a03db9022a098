"""A planted person is in no request of a connector that drops or hashes what tells who she is, also after a redrive and
a replay; Kafka keeps what Braze sent."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from tests.pipeline.line import ANALYTICS, CDP, Line, mixpanel_connector, mparticle_connector, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CUSTOM, OPEN = "users.behaviors.CustomEvent", "users.messages.email.Open"
SALT = "a salt of this test alone"
USER, MAIL, DEVICE, PLAN = "ada-4711-planted", "ada-4711@mail.planted", "device-4711-planted", "plan-4711-planted"
AHEAD_SECONDS = 10 * 365 * 86_400
RANDOM = Random(11)


@pytest.fixture
def line(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator) -> Iterator[Line]:
    salt = tmp_path / "salt"
    salt.write_text(SALT)
    privacy = {
        "drop": ["device_id"],
        "hash": {"fields": ["external_user_id", "email_address"], "salt": f"file:{salt}"},
        "properties": {"drop": ["*mail*"], "hash": ["plan"]},
    }
    connectors = {
        ANALYTICS: mixpanel_connector(mixpanel, privacy=privacy),
        CDP: mparticle_connector(mparticle, privacy=privacy),
    }
    with running(kafka, tmp_path, connectors) as made:
        yield made


def write(line: Line, event_type: str, now_ms: int, ahead_seconds: int = 0) -> None:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    record = sample_record(event_type, RANDOM, now_ms // 1000)
    planted = {"external_user_id": USER, "email_address": MAIL, "device_id": DEVICE}
    planted["properties"] = json.dumps({"plan": PLAN, "his mail": MAIL, "size": 4})
    record |= {name: text for name, text in planted.items() if name in record}
    record["id"] = str(UUID(int=RANDOM.getrandbits(128), version=4))
    record["time"] += ahead_seconds
    line.write(event_type, encode_single_object(schema, record), USER.encode())


def hashed(text: str) -> str:
    return hmac.new(SALT.encode(), text.encode(), hashlib.sha256).hexdigest()


def dlq(line: Line, *arguments: str) -> None:
    command = [sys.executable, "-m", "streams", "dlq", *arguments, "--config", str(line.scene.config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr


def test_nothing_that_is_hidden_leaves(line: Line, mixpanel: MixpanelEmulator, mparticle: MParticleEmulator) -> None:
    write(line, CUSTOM, mixpanel.now_ms())
    write(line, OPEN, mixpanel.now_ms())
    line.settle()
    write(line, CUSTOM, mixpanel.now_ms(), AHEAD_SECONDS)  # refused by name, then replayed
    line.settle()
    mixpanel.revoke()
    write(line, CUSTOM, mixpanel.now_ms())  # parked, then redriven
    line.settle()
    mixpanel.restore()
    line.scene.wait_until(lambda: len(mixpanel.rows()) == 3, "the redrive")
    mixpanel.shift_time(AHEAD_SECONDS * 1000)
    dlq(line, "replay", ANALYTICS, "--execute")
    line.settle()
    rows, batches = mixpanel.rows(), mparticle.rows()
    assert (len(rows), len(batches)) == (4, 1)
    assert {row["properties"]["distinct_id"] for row in rows} == {hashed(USER)}
    customs = [row["properties"] for row in rows if "[Custom event property] plan" in row["properties"]]
    assert [one["[Custom event property] plan"] for one in customs] == [hashed(PLAN)] * 3
    assert {one["[Custom event property] size"] for one in customs} == {4}
    sent = json.dumps([rows, batches, mixpanel.requests(), mparticle.requests()])
    assert hashed(MAIL) in sent
    assert [text for text in (USER, MAIL, DEVICE, PLAN) if text in sent] == []
    assert "planted" not in "\n".join(line.scene.logs_whole())
    kept = line.scene.read(line.scene.settings.topics.connector(ANALYTICS))
    assert all(USER.encode() in (record.value or b"") for record in kept)
