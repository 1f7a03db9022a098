"""`streams audit` against a broker: which lines it prints, how, and that it goes on with what comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.state.audit import Answered, CredentialsChanged, Line, ReceiptLine
from streams.state.records import Evidence
from streams.testing.brokers import Broker
from tests.cli.test_on_kafka import Installation

pytestmark = pytest.mark.kafka

AT = 1_772_506_300_123
REFUSED = Evidence(status=401, detail="Unauthorized", at=AT)
SUSPENDED = Answered(what="suspend", who="ada@host", why="vendor\x1b[2J waits", arguments={}, outcome="done", detail="")
INVALID = CredentialsChanged(what="credentials INVALID", scope="default", evidence=REFUSED, invalid_since=AT)
PURGED = ReceiptLine(
    what="purged",
    why="credentials stayed INVALID beyond the grace",
    scope="default",
    letters=7,
    offsets={0: ((0, 7),)},
    event_types={"users.messages.email.Open": 7},
    first_event_time=1_772_000_000,
    last_event_time=1_772_000_060,
    invalid_since=AT - 1_000,
    evidence=REFUSED,
)


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Installation:
    installation = Installation(kafka.bootstrap_servers, tmp_path)
    installation.json("topics", "apply")
    return installation


def write(installation: Installation, *lines: Line) -> None:
    """As a keeper of `growth` would, a minute apart."""
    producer = Producer({"bootstrap.servers": installation.bootstrap_servers})
    for index, line in enumerate(lines):
        at = AT + 60_000 * index
        value = line.stamped(at, "keeper a", "growth").to_bytes()
        producer.produce(f"{installation.prefix}audit", value, b"growth", timestamp=at)
    producer.flush(60)


def whats(installation: Installation, *arguments: str) -> Sequence[str]:
    return [line["what"] for line in installation.json("audit", *arguments)["lines"]]


def test_lines_are_listed_in_order_with_times_that_people_read(installation: Installation) -> None:
    write(installation, SUSPENDED, INVALID, PURGED)
    content = installation.json("audit", "growth")
    assert [line["what"] for line in content["lines"]] == ["suspend", "credentials INVALID", "purged"]
    receipt = content["lines"][2]
    assert (receipt["at"], receipt["invalid_since"]) == ("2026-03-03T02:53:40Z", "2026-03-03T02:51:39Z")
    assert (receipt["first_event_time"], receipt["offsets"]) == ("2026-02-25T06:13:20Z", {"0": [[0, 7]]})
    assert (content["v"], content["unknown_records"], content["older_left_out"]) == (1, 0, False)


def test_a_receipt_is_told_in_a_sentence_and_nothing_typed_moves_the_cursor(installation: Installation) -> None:
    write(installation, SUSPENDED, PURGED)
    ran = installation.streams("audit")
    assert ran.returncode == 0, ran.stderr
    assert "7 letters of credentials.default; 7 users.messages.email.Open; events of 2026-02-25T06:13:20Z" in ran.stdout
    assert "INVALID since 2026-03-03T02:51:39Z; answered 401 Unauthorized" in ran.stdout
    assert "\x1b" not in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--kind", "receipt"], ["purged"]),
        (["--kind", "order", "--kind", "Credentials invalid"], ["suspend", "credentials INVALID"]),
        (["--actor", "ADA"], ["suspend"]),
        (["--connector", "growth", "--connector", "source"], ["suspend", "credentials INVALID", "purged"]),
        (["source"], []),
        (["--since", "2026-03-03T02:52Z"], ["credentials INVALID", "purged"]),
        (["--until", "2026-03-03T02:52Z"], ["suspend"]),
    ],
)
def test_filters_choose_lines(installation: Installation, arguments: list[str], found: list[str]) -> None:
    write(installation, SUSPENDED, INVALID, PURGED)
    assert whats(installation, *arguments) == found


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--kind", "gone"], 2, "--kind: gone is not a kind of line. Groups: order, receipt"),
        (["nobody"], 3, "there is no such connector"),
        (["--follow", "--until", "1h"], 2, "--follow has no end"),
        (["--since", "1h", "--until", "2h"], 2, "--since: must be before --until"),
        (["--since", "soon"], 2, "--since: soon is not a time"),
    ],
)
def test_what_makes_no_sense_is_told(
    installation: Installation, arguments: list[str], exit_code: int, words: str
) -> None:
    ran = installation.streams("audit", *arguments)
    assert ran.returncode == exit_code
    assert words in ran.stderr


def test_records_that_are_no_lines_are_counted(installation: Installation) -> None:
    producer = Producer({"bootstrap.servers": installation.bootstrap_servers})
    producer.produce(f"{installation.prefix}audit", b"no JSON")
    producer.flush(60)
    assert installation.json("audit")["unknown_records"] == 1


def test_follow_prints_what_is_there_and_then_what_comes(installation: Installation) -> None:
    write(installation, SUSPENDED)
    arguments = ["audit", "--follow", "--output", "json", "--config", str(installation.config)]
    command = [sys.executable, "-m", "streams", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as following:
        assert following.stdout is not None
        try:
            assert json.loads(following.stdout.readline())["what"] == "suspend"
            write(installation, PURGED)
            line = json.loads(following.stdout.readline())
            assert (line["v"], line["what"], line["letters"]) == (1, "purged", 7)
        finally:
            following.kill()
