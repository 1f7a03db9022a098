"""A person is forgotten: letters, records and states of hers are searched for everywhere, across redrive, replay,
import and kills. Others notice nothing, and the accounts add up."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
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
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

OPEN = "users.messages.email.Open"
DELETE = "users.UserDeleteRequest"
AHEAD_SECONDS = 10 * 365 * 86_400
"""Mixpanel refuses events of the future by name."""
ADA, BOB = "ada-4711-planted", "bob-0815-other"
COMMAND_SECONDS_MAX = 120


class Case:
    """A line of one connector, events of two people, and the command line beside it."""

    def __init__(self, line: Line, mixpanel: MixpanelEmulator) -> None:
        self.line, self.scene, self.mixpanel = line, line.scene, mixpanel
        self._random = Random(3)
        self.said: list[str] = []
        """What commands printed."""

    def write(self, *users: str, ahead: bool = False) -> list[str]:
        """An event of each; gives their ids."""
        ids = []
        for user in users:
            schema = shipped().by_event_type(OPEN)
            assert schema is not None
            record = sample_record(OPEN, self._random, self.mixpanel.now_ms() // 1000)
            record["id"] = str(UUID(int=self._random.getrandbits(128), version=4))
            record["external_user_id"] = user
            record["user_id"] = f"braze-{user}"
            record["time"] += AHEAD_SECONDS if ahead else 0
            self.line.write(OPEN, encode_single_object(schema, record), user.encode())
            ids.append(record["id"])
        self.line.flush()
        return ids

    def delete(self, user: str) -> None:
        """Braze deletes this user."""
        schema = shipped().by_event_type(DELETE)
        assert schema is not None
        record = sample_record(DELETE, self._random, self.mixpanel.now_ms() // 1000)
        record["user_id"] = f"braze-{user}"
        self.line.write(DELETE, encode_single_object(schema, record), user.encode())
        self.line.flush()

    def streams(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-m", "streams", *arguments, "--config", str(self.scene.config), "-o", "json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
        assert result.returncode == code, f"{result.stderr}\n{self.scene.logs()}"
        self.said += [result.stdout, result.stderr]
        return dict(json.loads(result.stdout)) if result.stdout else {}

    def forget(self, *options: str, code: int = 0) -> dict[str, Any]:
        return self.streams("forget", "--external-id", ADA, *options, code=code)

    def forgotten(self, found: dict[str, Any]) -> dict[str, tuple[str, int]]:
        return {name: (job["status"], job["done"]) for name, job in found["outcomes"].items()}

    def jobs(self) -> list[dict[str, Any]]:
        return list(self.streams("dlq", "jobs", ANALYTICS)["jobs"])

    def status(self, job_id: str) -> str:
        return next(str(job["status"]) for job in self.jobs() if job["job"] == job_id)

    def users(self) -> list[str]:
        """Whose events were delivered."""
        return [row["properties"]["distinct_id"] for row in self.mixpanel.rows()]

    def skipped(self) -> int:
        return self.scene.account(ANALYTICS).skipped.get("forgotten", 0)

    def adds_up(self) -> bool:
        account = self.streams("connectors", "show", ANALYTICS, "--ledger", "--verify")["account"]
        became = [account[name] for name in ("delivered", "purged", "expired", "lost", "waiting")]
        became += [*account["skipped"].values(), *account["parked"].values()]
        came = sum(account[name] for name in ("routed", "imported", "again"))
        return bool(came == sum(became)) and account["waiting"] == 0

    def where_ada_is(self) -> list[str]:
        """The places, other than Currents topics, connectors' topics and dead letters, that hold her id."""
        topics = self.scene.settings.topics
        places = {f"log {index}": text for index, text in enumerate(self.scene.logs_whole())}
        places["commands"] = "\n".join(self.said)
        for topic in (topics.audit, topics.state, topics.forgotten):
            records = self.scene.read(topic)
            places[topic] = "\n".join(f"{one.key!r} {one.value!r} {one.headers}" for one in records)
        assert all(places.values())
        return [place for place, text in places.items() if ADA in text]


@pytest.fixture
def case(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Case]:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        yield Case(line, mixpanel)


def test_rejected_letters_are_purged_at_once_and_her_records_skipped(case: Case) -> None:
    case.write(ADA, BOB, ADA, ahead=True)
    case.line.settle()
    plan = case.forget()
    (part,) = [one for one in plan["connectors"] if one["connector"] == ANALYTICS]
    assert (plan["users"], plan["letters"], part["letters"]) == (1, 2, {"rejected": 2})
    assert part["topic"] == case.scene.settings.topics.connector(ANALYTICS)
    assert case.streams("dlq", "list", ANALYTICS)["causes"][1]["letters"] == 3, "a plan changes nothing"
    case.forget("--execute", code=2)
    case.forget("--execute", "--plan", "0" * 12, "--reason", "request 7", code=7)
    done = case.forget("--execute", "--plan", plan["plan"], "--reason", "request 7")
    assert case.forgotten(done) == {ANALYTICS: ("done", 2), "source": ("done", 0)}
    assert case.streams("dlq", "list", ANALYTICS)["causes"][1]["letters"] == 1
    assert case.forget()["letters"] == 0
    (receipt,) = [line for line in case.streams("audit", ANALYTICS)["lines"] if line["what"] == "purged"]
    assert (receipt["letters"], receipt["why"], list(receipt["users"].values())) == (2, "request 7", [2])
    case.mixpanel.shift_time(AHEAD_SECONDS * 1000)
    case.streams("dlq", "replay", ANALYTICS, "--again", "--execute")
    case.write(ADA, BOB)
    case.line.settle()
    assert case.users() == [BOB, BOB]
    assert case.skipped() == 1
    assert case.adds_up()
    assert case.where_ada_is() == []


def test_letters_of_credentials_are_left_out_by_the_redrive(case: Case) -> None:
    case.mixpanel.revoke()
    case.write(ADA, BOB, ADA)
    case.line.settle()
    assert case.scene.account(ANALYTICS).parked["credentials"] == 3
    done = case.forget("--execute", "--reason", "request 8")
    assert case.forgotten(done)[ANALYTICS] == ("done", 2)
    assert case.streams("dlq", "list", ANALYTICS)["causes"][0]["letters"] == 1
    case.write(ADA)
    case.line.settle()
    case.mixpanel.restore()
    case.scene.wait_until(lambda: case.users() == [BOB], "Bob's letter to come back")
    case.line.settle()
    assert case.users() == [BOB]
    letters = f"{case.scene.settings.topics.dead_letters}{ANALYTICS}.credentials.default"
    case.scene.wait_until(lambda: case.scene.read(letters) == [], "bytes of all letters to be deleted")
    assert case.adds_up()
    assert case.where_ada_is() == []


def test_letters_that_come_back_from_a_file_are_not_delivered(case: Case, tmp_path: Path) -> None:
    case.write(ADA, BOB, ahead=True)
    case.line.settle()
    file = tmp_path / "letters"
    case.streams("dlq", "export", ANALYTICS, "--to", str(file))
    case.forget("--execute", "--reason", "request 9")
    after = tmp_path / "after"
    case.streams("dlq", "export", ANALYTICS, "--to", str(after))
    keys = {user: base64.b64encode(user.encode()) for user in (ADA, BOB)}
    assert all(key in file.read_bytes() for key in keys.values())
    assert [user for user, key in keys.items() if key in after.read_bytes()] == [BOB]
    case.streams("dlq", "import", ANALYTICS, "--from", str(file))
    case.mixpanel.shift_time(AHEAD_SECONDS * 1000)
    case.streams("dlq", "replay", ANALYTICS, "--execute")
    case.line.settle()
    assert set(case.users()) == {BOB}
    assert case.skipped() == 1
    assert case.adds_up()


def test_what_a_sink_holds_back_is_withdrawn_and_kills_change_nothing(case: Case) -> None:
    """The destination is down, so her record waits in the sink when the order comes; then the sink is killed."""
    case.mixpanel.fail(status=503, count=None)
    case.write(ADA, BOB, ADA)
    case.scene.wait_until(lambda: len(case.mixpanel.requests()) >= 1, "the sink to try")
    order = case.forget("--execute", "--no-wait", "--reason", "request 10")
    case.line.processes[ANALYTICS].replace()
    case.line.processes["router"].replace()
    job_id = order["jobs"][ANALYTICS]
    case.scene.wait_until(lambda: case.status(job_id) == "done", "the job to end under the next keeper")
    case.mixpanel.clear_faults()
    case.line.settle()
    assert case.users() == [BOB]
    assert case.skipped() == 2
    assert case.adds_up()
    assert case.where_ada_is() == []


def test_a_sink_that_goes_on_withdraws_what_waits(case: Case) -> None:
    case.mixpanel.fail(status=503, count=None)
    case.write(BOB, ADA)
    case.scene.wait_until(lambda: len(case.mixpanel.requests()) >= 1, "the sink to try")
    done = case.forget("--execute", "--reason", "request 11")
    assert case.forgotten(done)[ANALYTICS] == ("done", 0)
    case.mixpanel.clear_faults()
    case.line.settle()
    assert case.users() == [BOB]
    assert case.skipped() == 1
    assert case.adds_up()


@pytest.fixture
def deleting(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Case]:
    source = {"on_user_delete": "forget"}
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}, source) as line:
        yield Case(line, mixpanel)


def test_who_is_deleted_in_braze_is_forgotten_here(deleting: Case) -> None:
    case = deleting
    case.write(ADA, BOB, ADA, ahead=True)
    case.line.settle()
    case.delete(ADA)
    case.scene.wait_until(lambda: [job["status"] for job in case.jobs()] == ["done"], "the order to be carried out")
    (job,) = case.jobs()
    assert (job["action"], job["who"], job["reason"], job["done"]) == ("forget", "router", DELETE, 2)
    assert case.streams("dlq", "list", ANALYTICS)["causes"][1]["letters"] == 1
    (event,) = case.write(ADA)
    case.write(BOB)
    case.line.settle()
    assert case.users() == [BOB]
    assert case.skipped() == 1
    told = case.streams("explain", event)
    assert "forgotten" in json.dumps(told)
    (order,) = [line for line in case.streams("audit", ANALYTICS)["lines"] if line["what"] == "forget"]
    assert (order["who"], order["outcome"]) == ("router", "done")
    assert case.adds_up()
    assert case.where_ada_is() == []
