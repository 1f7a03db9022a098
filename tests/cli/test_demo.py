"""`streams demo`, as its user sees it: stopped in the middle, without its extra, with events that share an id."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.cli.demo.result import Arrived
from tests.cli.files import OPEN_SCHEMA, opens, write_avro
from tests.waiting import wait_until

STREAMS = [sys.executable, "-m", "streams"]
END_SECONDS_MAX = 120.0
"""A hang is what this finds; how long a busy machine needs is no matter."""
DEMO_SECONDS_MAX = 400.0
"""A whole one: below the limit of a test, and above all limits that the demo has for its own parts."""


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as the only job of a terminal: Ctrl-C goes to each process of its group. It is ended with the test."""
    process = subprocess.Popen(
        [*STREAMS, "demo", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()  # its children end with it
        process.communicate()


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=END_SECONDS_MAX)


def line_with(process: subprocess.Popen[str], text: str) -> str:
    """The first line on standard error that has this text."""
    assert process.stderr is not None
    return next(line for line in process.stderr if text in line)


@pytest.mark.parametrize("story", [(), ("--story", "credentials")], ids=["demo", "story"])
def test_ctrl_c_before_anything_ran_says_so(story: tuple[str, ...], tmp_path: Path) -> None:
    """The broker is one that never answers: however late Ctrl-C comes, nothing ran."""
    package = tmp_path / "noida_db"
    package.mkdir()
    (package / "__init__.py").write_text("")
    program = package / "noida-db"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    with started(*story, PYTHONPATH=str(tmp_path)) as process:
        # The broker's children are the first that it starts.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: bool(children.read_text()), "the broker to start")
        output, complaint = interrupted(process)
    assert (process.returncode, output) == (130, "")
    assert complaint.endswith("\nstreams: stopped before any event was sent: nothing ran yet\n")


def test_ctrl_c_in_the_middle_ends_with_the_account_and_0_where_nothing_is_under_way() -> None:
    with started("--rate", "50") as process:
        line_with(process, "delivered")
        output, complaint = interrupted(process)
    assert process.returncode == (130 if "\nstopped: " in output else 0), output
    # On a busy machine the end takes so long that the next line of progress comes meanwhile.
    assert [line for line in complaint.splitlines() if not re.fullmatch(r" *\d+ s  [\d,]+ sent  .+", line)] == []
    assert "the accounts add up" in output
    assert "demo-mparticle" in output


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (("--story", "credentials"), "the key dies"),
        (("--story", "loop"), "Currents events go out"),
        (("--story", "inlets"), "sends events over HTTP"),
        (("--for", "10m", "--rate", "50"), "delivered"),
    ],
    ids=["credentials", "loop", "inlets", "for"],
)
def test_ctrl_c_before_the_end_that_a_demo_has_says_so_with_the_account(arguments: tuple[str, ...], seen: str) -> None:
    with started(*arguments) as process:
        line_with(process, seen)
        output, complaint = interrupted(process)
    assert process.returncode == 130, complaint
    assert "\nstopped: it was not over yet\n" in output
    assert "Traceback" not in complaint
    assert "demo-mixpanel" in output


def test_without_the_embedded_broker_one_sentence_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "noida_db.py").write_text("")  # a module without the program that comes with the real one
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [*STREAMS, "demo"], env=environment, capture_output=True, text=True, timeout=END_SECONDS_MAX, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    sentence = "the embedded Kafka is not installed:"
    said = f"streams: {sentence} {sys.executable} -m pip install 'currents-streams[demo]'"
    assert result.stderr.splitlines()[1:] == [said]


def send(path: Path, event_type: str, records: list[dict[str, Any]]) -> None:
    schema = {**OPEN_SCHEMA, "name": f"dataexport.S3.inner.{event_type}"}
    write_avro(path / f"{event_type}.avro", records, schema)


def test_events_that_share_an_id_are_all_accounted_for_though_the_destination_shows_one(tmp_path: Path) -> None:
    """As Braze's own sample files are."""
    for event_type in ("users.messages.email.Open", "users.messages.email.Delivery", "users.messages.email.Bounce"):
        send(tmp_path, event_type, [{**record, "id": "one-id"} for record in opens(3)])
    result = subprocess.run(
        [*STREAMS, "demo", "--events", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS_MAX,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "the destination took 9, and holds 1 after its own deduplication" in result.stdout
    assert "the accounts add up" in result.stdout


def test_events_that_share_an_id_leave_json_as_it_is(tmp_path: Path) -> None:
    send(tmp_path, "users.messages.email.Open", [{**record, "id": "one-id"} for record in opens(5)])
    command = [*STREAMS, "demo", "--json", "--events", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_SECONDS_MAX, check=False)
    assert result.returncode == 0, result.stderr
    account = json.loads(result.stdout)["connectors"]["demo-mparticle"]
    assert (account["routed"], account["delivered"], account["waiting"]) == (5, 5, 0)


def test_events_that_are_all_parked_are_told_with_the_reason_and_how_many(tmp_path: Path) -> None:
    send(tmp_path, "users.messages.email.Open", [{**record, "time": 1_500_000_000} for record in opens(4)])
    send(tmp_path, "users.messages.email.Delivery", [{**record, "time": 1_500_000_000} for record in opens(3)])
    command = [*STREAMS, "demo", "--events", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_SECONDS_MAX, check=False)
    assert result.returncode == 0, result.stderr
    account = result.stdout.partition("demo-mixpanel")[2].partition("demo-mparticle")[0].splitlines()
    parked = next(number for number, line in enumerate(account) if "parked as dead letters" in line)
    assert account[parked].split()[-1] == "7"
    assert account[parked + 1].startswith("    7 rejected, 400: ")
    assert "time" in account[parked + 1].partition(": ")[2]


@pytest.mark.parametrize(
    ("taken", "shown", "delivered", "problem"),
    [
        (10, 10, 10, None),
        (10, 2, 10, None),  # one id for all
        (12, 10, 10, None),  # two were sent again
        (9, 9, 10, "10 delivered, the destination took 9"),
        (12, 12, 10, "10 delivered, the destination holds 12"),
        (12, None, 10, None),  # more than the emulator remembers
    ],
)
def test_what_counts_as_delivered_was_taken_and_nothing_else(
    taken: int, shown: int | None, delivered: int, problem: str | None
) -> None:
    assert Arrived(taken, shown).problem(delivered) == problem
