"""A receiver with exactly the access that is printed for it, and with one operation less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from streams.testing.brokers import ApacheKafka
from tests.receiver.scene import COHORTS, CONNECTOR, ReceiverProcess, cohort, entries
from tests.security.authority import Authority, needs_openssl
from tests.security.guarded import GuardedScene, User

pytestmark = [pytest.mark.apache, needs_openssl]


@pytest.fixture
def scene(
    guarded: ApacheKafka, certificates: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GuardedScene]:
    monkeypatch.setenv("STREAMS_HTTP_HOST", "127.0.0.1")
    connector = {"destination": "braze", "instance": "US-01", "rest_key": "a-rest-key", "receive": entries()}
    scene = GuardedScene(guarded, certificates, tmp_path, {CONNECTOR: connector})
    content = yaml.safe_load(scene.config.read_text())
    scene.config.write_text(yaml.safe_dump({**content, "receiver": {"port": 0}}))
    yield scene
    scene.end()


def started(scene: GuardedScene, user: User) -> ReceiverProcess:
    return ReceiverProcess(scene.start(user, "receiver", "--http-port", "0"))


def test_what_is_printed_is_enough_and_each_of_it_is_asked_for(scene: GuardedScene) -> None:
    user = scene.as_role("receiver")
    receiver = started(scene, user)
    assert receiver.send(COHORTS, cohort("members", ["ada"])).status == 200
    asked = scene.guard.asked(user)
    assert [one for one in asked if not one.is_allowed] == []
    for grant in scene.access["receiver"]:
        for operation in grant["operations"]:
            assert any(one.is_covered_by(grant, operation) for one in asked), (operation, grant["name"])


@pytest.mark.parametrize(
    ("operation", "end"),
    [
        ("Read", "received"),
        ("Write", "receiver-"),
        ("Describe", "receiver-"),
        ("Write", f"connector.{CONNECTOR}"),
    ],
)
def test_a_start_that_lacks_access_ends_and_names_what_is_missing(
    scene: GuardedScene, operation: str, end: str
) -> None:
    name = scene.settings.kafka.topic_prefix + end
    process = scene.start(scene.as_role("receiver", without=(operation, name)), "receiver", "--http-port", "0")
    scene.wait_until(lambda: not process.is_running(), "the process to end")
    assert process.exit_code == 1
    (last,) = [line for line in process.log.read_text().splitlines() if line.startswith("streams: ")]
    assert name in last
    assert "streams topics a" in last


def test_a_receiver_that_may_not_count_takes_nothing_and_ends(scene: GuardedScene) -> None:
    name = scene.settings.topics.received
    user = scene.as_role("receiver", without=("Write", name))
    receiver = started(scene, user)
    assert receiver.send(COHORTS, cohort(users=["ada"])).status == 503
    scene.wait_until(lambda: not receiver.worker.is_running(), "the process to end")
    assert receiver.worker.exit_code == 1
    (last,) = [line for line in receiver.worker.log.read_text().splitlines() if line.startswith("streams: ")]
    assert name in last
    assert user.password not in receiver.worker.log.read_text()
    assert "ada" not in receiver.worker.log.read_text()
