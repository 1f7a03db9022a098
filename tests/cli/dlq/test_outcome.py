"""`streams dlq jobs NAME --job ID` against a broker: what became of the letters that a replay sent again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from streams.cli.assembly.installation import connected
from streams.delivery.letter import returned_headers
from streams.operations.dead_letters import outcome as outcomes
from streams.state.records import Cursor, Job, SettledBlock, key
from tests.cli.dlq.desk import Desk, bits

pytestmark = pytest.mark.kafka

JOB, OTHER = "3f2b9c04d1aa", "0000000000ff"


def say_job(desk: Desk, job_id: str = JOB, *, done: int, action: Any = "replay", connector: str = "growth") -> None:
    """A job that has done this much, ordered before anything is parked."""
    created = time.time_ns() // 1_000_000
    job = Job(action=action, status="done", who="ada", created=created, planned=done, done=done)
    desk.say({key("job", connector, job_id): job})


def became(desk: Desk) -> Mapping[str, Any]:
    return dict(desk.json("jobs", "growth", "--job", JOB)["became"])


def send_again(desk: Desk, count: int, job_id: str = JOB) -> None:
    """Records on the connector's topic, as a replay of this job puts them there."""
    for number in range(count):
        headers = returned_headers([("streams-origin", f"currents.x/0/{number}".encode())], job=job_id)
        desk.write(desk.settings.topics.connector("growth"), b"ada", b"{}", headers)


def test_letters_that_were_refused_again_are_counted_with_their_cause(desk: Desk) -> None:
    say_job(desk, done=5)
    desk.park(3, "properties.time is bad", job=JOB)
    desk.park(1, "too large", status=413, job=JOB, partition=1)
    desk.park(2, job=OTHER)
    desk.park(2)
    found = became(desk)
    assert (found["sent"], found["parked_again"], found["waiting"], found["gone_out"]) == (5, 4, 0, 1)
    causes = [(one["count"], one["cause"], one["status"], one["message"]) for one in found["causes"]]
    assert causes == [(3, "rejected", 400, "properties.time is bad"), (1, "rejected", 413, "too large")]
    printed = desk.dlq("jobs", "growth", "--job", JOB)
    assert "4 of 5 were parked again" in printed.stdout
    assert "1 of 5 went out: delivered, or skipped" in printed.stdout
    assert "streams dlq top growth" in printed.stderr


def test_records_that_no_sink_has_settled_wait_and_have_not_gone_out(desk: Desk) -> None:
    say_job(desk, done=4)
    send_again(desk, 4)
    send_again(desk, 2, OTHER)
    desk.commit({})  # the first record of the partition is settled
    found = became(desk)
    assert (found["parked_again"], found["waiting"], found["gone_out"]) == (0, 3, 1)
    printed = desk.dlq("jobs", "growth", "--job", JOB)
    assert "3 of 4 wait on the connector's topic to be sent" in printed.stdout
    assert f"streams dlq jobs growth --job {JOB}" in printed.stderr


def test_too_much_that_waits_is_not_looked_through_and_that_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_job(desk, done=4)
    send_again(desk, 4)
    monkeypatch.setattr(outcomes, "WAITING_MAX", 3)
    with connected(desk.settings, "tests") as installation:
        found = outcomes.outcome(installation, "growth", JOB)
    assert (found.waiting, found.gone_out, found.is_good) == (None, None, False)
    assert "how many wait is not known" in found.sentences[0]


def test_letters_that_left_again_are_neither_parked_nor_gone_out(desk: Desk) -> None:
    say_job(desk, done=3)
    desk.park(3, job=JOB)
    desk.say({key("settled", "growth", "rejected", 0, 0): SettledBlock(bits=bits([0, 2]))})
    found = became(desk)
    assert (found["parked_again"], found["left_again"], found["gone_out"], found["is_whole"]) == (1, 2, 0, True)


def test_where_letters_of_that_time_were_deleted_it_says_that_it_cannot_be_told(desk: Desk) -> None:
    say_job(desk, done=3)
    desk.park(3, job=JOB)
    topic = desk.settings.topics.dead_letter_rejected("growth")
    desk.say({key("cursor", "growth", "rejected", 0): Cursor(offset=2)})
    desk.delete_before(topic, 0, 2)
    found = became(desk)
    assert (found["parked_again"], found["gone_out"], found["is_whole"]) == (1, 2, False)
    assert "which cannot be told" in desk.dlq("jobs", "growth", "--job", JOB).stdout


def test_what_cannot_be_told_of_a_job_is_refused_in_words(desk: Desk) -> None:
    say_job(desk, done=3, action="purge")
    say_job(desk, OTHER, done=3, connector="source")
    assert "is a purge: nothing was sent again" in desk.refused("jobs", "growth", "--job", JOB, code=2)
    assert "does not say by which job" in desk.refused("jobs", "source", "--job", OTHER, code=2)
    assert "growth has no job 123" in desk.refused("jobs", "growth", "--job", "123", code=3)


def test_the_list_does_not_call_a_replay_done_and_names_the_next_step(desk: Desk) -> None:
    say_job(desk, done=3)
    listed = desk.dlq("jobs", "growth")
    assert "sent again" in listed.stdout
    assert f"streams dlq jobs growth --job {JOB}" in listed.stderr
