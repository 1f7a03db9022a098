"""A user's `add` is parked, for Braze refuses the key, and a newer word passes it: what comes back is still the older
one. With the receiver, the sink and the commands as processes, on Apache Kafka."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.assembly.installation import connected
from streams.delivery.account import Account
from streams.operations.accounts import Accounts
from streams.operations.audiences import overview
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from tests.receiver.scene import COHORTS, CONNECTOR, ReceiverProcess, Receiving, cohort, entries, receiving
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

PATIENCE_SECONDS = 120.0


@pytest.fixture
def scene(kafka: Broker, braze: BrazeEmulator, tmp_path: Path) -> Iterator[Receiving]:
    connector = {
        "base_url": braze.base_url,
        "rest_key": braze.rest_key,
        "scratch": str(tmp_path / "scratch"),
    }
    receive = {COHORTS: {**entries()[COHORTS], "create_users": True}}
    with receiving(kafka.bootstrap_servers, tmp_path, receive, connector=connector) as made:
        yield made


@pytest.fixture
def braze() -> Iterator[BrazeEmulator]:
    with BrazeEmulator() as emulator:
        yield emulator


def account(scene: Receiving) -> Account:
    with connected(scene.settings, "streams-test") as installation:
        return Accounts(installation).of([CONNECTOR])[CONNECTOR]


def parked(scene: Receiving) -> int:
    return account(scene).parked.get("credentials", 0)


def remembered(scene: Receiving) -> list[int]:
    """Members of each group, as the commands see them."""
    with connected(scene.settings, "streams-test") as installation:
        return [group.members for group in overview.groups(installation, CONNECTOR)]


def members(braze: BrazeEmulator) -> set[str]:
    return {name for name, user in braze.users().items() if "Buyers" in user["attributes"].get("Mixpanel_Cohorts", [])}


def clear(scene: Receiving) -> None:
    command = [sys.executable, "-m", "streams", "audiences", "clear", CONNECTOR, "c-1", "--execute"]
    result = subprocess.run(
        [*command, "--config", str(scene.config), "-o", "json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ordered"]


def say(scene: Receiving, receiver: ReceiverProcess, newer: str) -> None:
    """What is newer than the parked `add` of Ada: nobody is in the cohort, or she is not."""
    match newer:
        case "clear":
            clear(scene)
        case "empty copy":
            assert receiver.send(COHORTS, cohort("members", [], session="s-9")).status == 200
        case "remove":
            assert receiver.send(COHORTS, cohort("remove_members", ["ada", "bob"], session="s-9")).status == 200


@pytest.mark.parametrize("newer", ["clear", "empty copy", "remove"])
def test_a_parked_add_that_comes_back_after_a_newer_word_does_not_win(
    scene: Receiving, braze: BrazeEmulator, newer: str
) -> None:
    receiver = scene.start()
    scene.start_sink()
    assert receiver.send(COHORTS, cohort("add_members", ["bob"])).status == 200
    wait_until(lambda: members(braze) == {"bob"}, "Braze to have Bob")
    wait_until(lambda: remembered(scene) == [1], "Bob to be remembered")
    braze.revoke()
    assert receiver.send(COHORTS, cohort("add_members", ["ada"], session="s-2")).status == 200
    wait_until(lambda: parked(scene) == 1, "Ada's letter", PATIENCE_SECONDS)
    say(scene, receiver, newer)
    expected = 3 if newer == "remove" else 2  # Ada's add; Bob's remove; hers, where it was sent
    wait_until(lambda: parked(scene) == expected, "the newer words' letters", PATIENCE_SECONDS)
    assert members(braze) == {"bob"}
    braze.restore()
    wait_until(
        lambda: (now := account(scene)).waiting == 0 and now.parked.get("credentials", 0) == 0,
        "the letters to be back",
        PATIENCE_SECONDS,
    )
    assert members(braze) == set()
    wait_until(lambda: remembered(scene) == [0], "nobody to be remembered")
    if newer != "remove":  # two letters that come back in their order need none to be stale
        assert account(scene).skipped.get("stale") == 1
