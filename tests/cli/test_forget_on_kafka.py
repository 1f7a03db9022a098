"""`streams forget` where a sink of Braze remembers what it sent: rows are taken back, and nothing is sent any more."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from streams.cli.assembly.installation import connected
from streams.operations.forgetting.plan import forget_plan
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from tests.receiver.scene import COHORTS, CONNECTOR, Receiving, cohort, entries, receiving
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

ADA, BOB = "ada-4711-planted", "bob-0815-other"


def streams(scene: Receiving, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams", *arguments, "--config", str(scene.config), "-o", "json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def remembered(scene: Receiving) -> int:
    with connected(scene.settings, "streams-test") as installation:
        plan = forget_plan(installation, [ADA])
    return sum(part.remembered for part in plan.parts)


@pytest.fixture
def scene(kafka: Broker, braze: BrazeEmulator, tmp_path: Path) -> Iterator[Receiving]:
    connector = {"base_url": braze.base_url, "rest_key": braze.rest_key, "scratch": str(tmp_path / "scratch")}
    receive = {COHORTS: {**entries()[COHORTS], "create_users": True}}
    with receiving(kafka.bootstrap_servers, tmp_path, receive, connector=connector) as made:
        yield made


def staged(folder: Path) -> set[str]:
    """Members of open full copies, as the sink's files have them; a file that is just being made has none yet."""
    found: set[str] = set()
    for path in folder.rglob("*.sqlite"):
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            found |= {user for (user,) in file.execute("SELECT user FROM staged")}
    return found


def test_what_a_sink_of_braze_remembers_of_a_user_is_taken_back(
    scene: Receiving, braze: BrazeEmulator, tmp_path: Path
) -> None:
    receiver = scene.start()
    scene.start_sink()
    assert receiver.send(COHORTS, cohort("add_members", [ADA, BOB], session="s-1")).status == 200
    wait_until(lambda: set(braze.users()) == {ADA, BOB}, "Braze to have both")
    wait_until(lambda: remembered(scene) == 1, "the user to be remembered")
    assert receiver.send(COHORTS, cohort("members", [ADA, BOB], session="s-0", pages=2)).status == 200
    wait_until(lambda: staged(tmp_path / "scratch") == {ADA, BOB}, "half a full copy to be staged")
    done = streams(scene, "forget", "--external-id", ADA, "--execute", "--reason", "request 12")
    assert {name: job["status"] for name, job in done["outcomes"].items()} == {CONNECTOR: "done"}
    wait_until(lambda: remembered(scene) == 0, "the row to be taken back")
    wait_until(lambda: staged(tmp_path / "scratch") == {BOB}, "the copy to lose the user")
    braze.reset()
    assert receiver.send(COHORTS, cohort("add_members", [ADA, "$device:1"], session="s-2")).status == 200
    streams(scene, "audiences", "resend", CONNECTOR, "c-1", "--execute", "--reason", "all again")
    wait_until(lambda: set(braze.users()) == {BOB}, "Bob to be sent again")
    wait_until(lambda: streams(scene, "connectors", "show", CONNECTOR)["account"]["waiting"] == 0, "all to be settled")
    shown = streams(scene, "connectors", "show", CONNECTOR, "--ledger", "--verify")
    assert shown["account"]["skipped"]["forgotten"] == 1
    assert (shown["verified"]["problems"], shown["verified"]["waiting"]) == ([], 0)
    assert set(braze.users()) == {BOB}
