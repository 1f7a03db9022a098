"""Dead letters from end to end: parked by a sink, then replayed, purged, exported and imported by command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Read
from tests.cli.files import OPEN_SCHEMA
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]

OPEN = "users.messages.email.Open"
AHEAD_SECONDS = 10 * 365 * 86_400
"""Mixpanel refuses events of the future by name."""
COMMAND_SECONDS_MAX = 120


AT_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "streams", *sys.argv[1:]])
"""
"""A run that was started in the background ignores Ctrl-C, and so would its children: a person's commands do not."""


class Person:
    """A line whose sink parks what is ahead of its destination's time, and the command line beside it."""

    def __init__(self, line: Line, mixpanel: MixpanelEmulator) -> None:
        self.line, self.scene, self.mixpanel = line, line.scene, mixpanel
        self._random = Random(7)

    def park(self, count: int) -> set[str]:
        """Events that are refused by name; their ids, once they are parked."""
        before = self.parked()
        ids = {self.write(AHEAD_SECONDS) for _ in range(count)}
        self.line.settle()
        assert self.parked() == before + count
        return ids

    def deliver(self, count: int) -> set[str]:
        ids = {self.write(0) for _ in range(count)}
        self.line.settle()
        return ids

    def fix(self) -> None:
        """The destination's time comes: what it refused it takes now."""
        self.mixpanel.shift_time(AHEAD_SECONDS * 1000)

    def parked(self) -> int:
        return sum(self.scene.account(ANALYTICS).parked.values())

    def delivered(self) -> dict[str, int]:
        """How often each event was taken, by id."""
        times: dict[str, int] = {}
        for row in self.mixpanel.rows():
            event_id = row["properties"]["$insert_id"]
            times[event_id] = times.get(event_id, 0) + 1
        return times

    def letters(self, name: str = "rejected") -> list[Read]:
        return self.scene.read(f"{self.scene.settings.topics.dead_letters}{ANALYTICS}.{name}")

    def audited(self, what: str) -> list[dict[str, Any]]:
        lines = [json.loads(one.value or b"") for one in self.scene.read(self.scene.settings.topics.audit)]
        return [line for line in lines if line["what"] == what]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return self._started("dlq", *arguments)

    def dlq(self, *arguments: str, code: int | None = 0) -> dict[str, Any]:
        process = self.start(*arguments, "--output", "json")
        output, errors = process.communicate(timeout=COMMAND_SECONDS_MAX)
        assert code in (None, process.returncode), f"{errors}\n{self.scene.logs()}"
        return dict(json.loads(output)) if output else {"stderr": errors}

    def settle(self) -> None:
        self.scene.wait_until(lambda: self.scene.account(ANALYTICS).waiting == 0, "what went back to settle")

    def adds_up(self) -> bool:
        """Whether the account does, and whether the topics hold what it says."""
        command = ["connectors", "show", ANALYTICS, "--ledger", "--verify", "--output", "json"]
        process = self._started(*command)
        output, errors = process.communicate(timeout=COMMAND_SECONDS_MAX)
        assert process.returncode == 0, errors
        account = json.loads(output)["account"]
        became = [account[name] for name in ("delivered", "purged", "expired", "lost", "waiting")]
        became += [*account["skipped"].values(), *account["parked"].values()]
        came = sum(account[name] for name in ("routed", "imported", "again"))
        return bool(came == sum(became))

    def _started(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", AT_A_TERMINAL, *arguments, "--config", str(self.scene.config)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def write(self, ahead_seconds: int) -> str:
        schema = shipped().by_event_type(OPEN)
        assert schema is not None
        record = sample_record(OPEN, self._random, self.mixpanel.now_ms() // 1000)
        record["id"] = str(UUID(int=self._random.getrandbits(128), version=4))
        record["time"] += ahead_seconds
        self.line.write(OPEN, encode_single_object(schema, record), record["external_user_id"].encode())
        return str(record["id"])


@pytest.fixture
def person(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Person]:
    source = {"unknown_schema_wait": "1s"}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, source) as line:
        yield Person(line, mixpanel)


def test_a_replay_delivers_each_letter_once_and_settles_it(person: Person) -> None:
    good, bad = person.deliver(5), person.park(4)
    assert person.dlq("list", ANALYTICS)["causes"][1]["letters"] == 4
    person.fix()
    plan = person.dlq("replay", ANALYTICS)
    done = person.dlq("replay", ANALYTICS, "--execute", "--plan", plan["plan"], "--reason", "the clock was fixed")
    assert (done["outcome"]["status"], done["outcome"]["done"]) == ("done", 4)
    person.settle()
    assert person.delivered() == dict.fromkeys(good | bad, 1)
    assert person.adds_up()
    assert person.dlq("list", ANALYTICS)["causes"][1]["letters"] == 0
    assert person.dlq("top", ANALYTICS)["groups"] == []
    assert "no letter" in person.dlq("replay", ANALYTICS, code=3)["stderr"]
    (job,) = person.dlq("jobs", ANALYTICS)["jobs"]
    assert (job["action"], job["done"], job["planned"], job["reason"]) == ("replay", 4, 4, "the clock was fixed")
    assert "@" in job["who"]


def test_what_fails_its_replays_is_left_for_a_person(person: Person) -> None:
    person.park(2)
    for number in range(3):
        assert person.dlq("replay", ANALYTICS, "--execute")["outcome"]["done"] == 2
        person.settle()
        person.scene.wait_until(lambda: person.parked() == 2, "the letters to be parked again")
        shown = person.dlq("top", ANALYTICS)["groups"][0]["example"]
        assert person.dlq("show", ANALYTICS, "--offset", shown)["verdict"]["replays"] == number + 1
    refused = person.dlq("replay", ANALYTICS, code=3)["stderr"]
    assert "2 came back from 3 replays" in refused
    assert person.dlq("purge", ANALYTICS)["letters"] == 2
    assert person.adds_up()


def test_a_purge_hides_at_once_and_leaves_a_receipt(person: Person) -> None:
    ids = person.park(3)
    done = person.dlq("purge", ANALYTICS, "--execute", "--limit", "2", "--reason", "test data")
    assert done["outcome"]["done"] == 2
    assert person.dlq("top", ANALYTICS)["letters"] == 1
    assert person.dlq("list", ANALYTICS)["causes"][1]["letters"] == 1
    left = {event_id for event_id in ids if "place" in person.dlq("show", ANALYTICS, "--event-id", event_id, code=None)}
    assert len(left) == 1
    (receipt,) = person.audited("purged")
    assert (receipt["why"], "@" in receipt["who"], receipt["job"]) == ("test data", True, done["job"])
    assert OPEN in json.dumps(receipt)
    person.fix()
    person.dlq("replay", ANALYTICS, "--again", "--execute")
    person.settle()
    assert set(person.delivered()) == left, "what was purged never comes back"
    assert person.adds_up()


def test_of_two_plans_the_second_is_stale(person: Person) -> None:
    person.park(3)
    replay, purge = person.dlq("replay", ANALYTICS)["plan"], person.dlq("purge", ANALYTICS)["plan"]
    person.fix()
    person.dlq("replay", ANALYTICS, "--execute", "--limit", "1")
    for action, plan in (("replay", replay), ("purge", purge)):
        told = person.dlq(action, ANALYTICS, "--execute", "--plan", plan, "--reason", "late", code=7)
        assert "is stale" in told["stderr"]
    assert person.parked() == 2


def test_of_two_orders_at_once_each_letter_leaves_once(person: Person) -> None:
    ids = person.park(6)
    person.fix()
    orders = [person.start("replay", ANALYTICS, "--execute", "--rate", "20") for _ in range(2)]
    codes = sorted(_ended(order) for order in orders)
    person.settle()
    assert codes[0] == 0
    assert codes[1] in (1, 3, 6), "refused, nothing was left to plan, or nothing to do"
    assert person.delivered() == dict.fromkeys(ids, 1)
    assert person.adds_up()


def test_who_stops_waiting_does_not_stop_the_job_but_a_cancel_does(person: Person) -> None:
    person.park(5)
    waiting = person.start("replay", ANALYTICS, "--execute", "--rate", "0.01")
    assert waiting.stderr is not None
    assert any(line.startswith("job ") for line in waiting.stderr), "it waits once it tells how far the job is"
    person.scene.wait_until(lambda: _statuses(person) == ["running"], "the job to be under way")
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=COMMAND_SECONDS_MAX)
    assert waiting.returncode == 130
    (job,) = person.dlq("jobs", ANALYTICS)["jobs"]
    assert f"streams dlq jobs {ANALYTICS} --cancel {job['job']}" in errors
    assert job["status"] == "running"
    refused = person.dlq("purge", ANALYTICS, "--execute", "--reason", "impatient", code=1)["stderr"]
    assert "under way" in refused
    (cancelled,) = person.dlq("jobs", ANALYTICS, "--cancel", job["job"])["jobs"]
    assert cancelled["status"] == "cancelled"
    assert cancelled["done"] < 5
    assert "no job" in person.dlq("jobs", ANALYTICS, "--cancel", "0123456789ab", code=3)["stderr"]
    person.settle()
    assert person.adds_up()


def test_letters_that_were_exported_and_purged_come_back_from_the_file(person: Person, tmp_path: Path) -> None:
    ids = person.park(4)
    before = person.letters()
    file = tmp_path / "letters.gz"
    person.dlq("export", ANALYTICS, "--to", str(file))
    person.dlq("purge", ANALYTICS, "--execute", "--reason", "kept in a file")
    assert person.dlq("import", ANALYTICS, "--from", str(file))["letters"] == 4
    assert person.dlq("import", ANALYTICS, "--from", str(file))["letters"] == 0
    places = {(one.partition, one.offset) for one in before}
    after = [one for one in person.letters() if (one.partition, one.offset) not in places]
    assert sorted(_content(one) for one in after) == sorted(_content(one) for one in before)
    assert (person.scene.account(ANALYTICS).imported, person.parked()) == (4, 4)
    assert person.adds_up()
    person.fix()
    person.dlq("replay", ANALYTICS, "--execute")
    person.settle()
    assert person.delivered() == dict.fromkeys(ids, 1)
    assert person.adds_up()


def test_letters_of_invalid_credentials_get_more_time_and_may_be_purged_in_order(person: Person) -> None:
    person.mixpanel.revoke()
    person.deliver(3)
    assert person.scene.account(ANALYTICS).parked["credentials"] == 3
    (before,) = person.dlq("list", ANALYTICS)["scopes"]
    assert before["state"] == "INVALID"
    extended = person.dlq("extend", ANALYTICS, "--scope", "default", "--by", "24h", "--reason", "holidays")
    assert extended["extended_seconds"] == 86_400
    (after,) = person.dlq("list", ANALYTICS)["scopes"]
    moved = datetime.fromisoformat(after["first_deadline"]) - datetime.fromisoformat(before["first_deadline"])
    assert moved == timedelta(hours=24)
    prefix = ("--scope", "default", "--until", "0s", "--execute", "--reason", "of a closed account")
    assert person.dlq("purge", ANALYTICS, *prefix)["outcome"]["done"] == 3
    assert person.dlq("list", ANALYTICS)["causes"][0]["letters"] == 0
    (receipt,) = person.audited("purged")
    assert receipt["why"] == "of a closed account"
    person.mixpanel.restore()
    refused = person.dlq("extend", ANALYTICS, "--scope", "default", "--by", "1h", "--reason", "again", code=None)
    assert refused.get("extended_seconds") == 90_000 or "not INVALID" in refused["stderr"]
    assert person.adds_up()


def test_letters_of_the_source_are_routed_once_their_schema_is_known(person: Person, tmp_path: Path) -> None:
    from streams.events.schemas import writer_schema

    schema = writer_schema(OPEN_SCHEMA)
    record = {"id": "late-1", "user_id": "u", "external_user_id": "ada", "time": person.mixpanel.now_ms() // 1000}
    person.line.write(OPEN, encode_single_object(schema, {**record, "subject_of_tests": None}), b"ada")
    person.line.settle()
    assert person.dlq("list", "source")["causes"][0]["letters"] == 1
    (group,) = person.dlq("top", "source")["groups"]
    assert group["cause"] == "unknown-schema"
    file = tmp_path / "open.avsc"
    file.write_text(json.dumps(OPEN_SCHEMA))
    command = [sys.executable, "-m", "streams", "schemas", "add", str(file), "--config", str(person.scene.config)]
    subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_SECONDS_MAX)
    done = person.dlq("replay", "source", "--cause", "unknown-schema", "--execute")
    assert done["outcome"]["done"] == 1
    person.scene.wait_until(lambda: person.delivered() == {"late-1": 1}, "the event to be delivered")
    assert person.dlq("list", "source")["causes"][0]["letters"] == 0


def _ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=COMMAND_SECONDS_MAX)
    return process.returncode


def _statuses(person: Person) -> list[str]:
    return [job["status"] for job in person.dlq("jobs", ANALYTICS)["jobs"]]


def _content(letter: Read) -> tuple[bytes, bytes, tuple[tuple[str, bytes | None], ...]]:
    return letter.key or b"", letter.value or b"", letter.headers
