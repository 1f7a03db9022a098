"""One operation less than `streams topics acls` prints: the process that needed it ends, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.testing.brokers import ApacheKafka
from streams.testing.emulators import MixpanelEmulator
from tests.security.authority import Authority, needs_openssl
from tests.security.guarded import GuardedScene

pytestmark = [pytest.mark.apache, needs_openssl]

CONNECTOR = "growth"


@pytest.fixture
def scene(
    guarded: ApacheKafka, certificates: Authority, mixpanel: MixpanelEmulator, tmp_path: Path
) -> Iterator[GuardedScene]:
    connector = {"destination": "mixpanel", "base_url": mixpanel.base_url, "project_token": mixpanel.project_token}
    scene = GuardedScene(guarded, certificates, tmp_path, {CONNECTOR: connector})
    scene.administration.create_topic(f"{scene.source_prefix}users.messages.email.Open", 1, 1, {})
    yield scene
    scene.end()


@pytest.mark.parametrize(
    ("role", "operation", "resource", "end"),
    [
        ("router", "Read", "group", "router"),
        ("router", "Write", "transactional-id", "router-"),
        ("router", "Write", "transactional-id", "keeper.source"),
        ("router", "Write", "topic", "audit"),
        ("router", "Write", "topic", "connector.growth"),
        ("router", "Write", "topic", "state"),
        ("router", "Describe", "group", "keeper.source-"),
        ("sink growth", "Read", "topic", "connector.growth"),
        ("sink growth", "Read", "group", "sink.growth"),
        ("sink growth", "Write", "transactional-id", "sink.growth-"),
        ("sink growth", "Write", "transactional-id", "keeper.growth"),
        ("sink growth", "Write", "topic", "state"),
        ("sink growth", "Write", "topic", "audit"),
    ],
)
def test_a_process_ends_and_names_what_is_missing(
    scene: GuardedScene, role: str, operation: str, resource: str, end: str
) -> None:
    name = scene.settings.kafka.topic_prefix + end
    process = scene.start(scene.as_role(role, without=(operation, name)), *role.split())
    scene.wait_until(lambda: not process.is_running(), "the process to end")
    assert process.exit_code == 1
    (last,) = [line for line in process.log.read_text().splitlines() if line.startswith("streams: ")]
    assert name in last
    assert "streams topics a" in last
    assert scene.users[role].password not in process.log.read_text()
