"""Users are forgotten at a connector: by its keeper, and by its sink, whatever waits there and whoever is killed."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from streams.delivery.contract import Request, Response
from streams.delivery.forgotten import hash_of
from streams.ports.letters import LetterPage
from streams.testing.ports import FakeLetters, Kill, Killed
from streams.workers.keeper import forget_job, rewrite
from streams.workers.keeper.forget_job import LOOK_SECONDS
from tests.workers.stage import CREDENTIALS, FORGOTTEN, REJECTED, Stage, events_of, imports_all

SALT = "the salt of a test"
HOUR_MS = 3_600_000
PLACE = ("credentials.default", 0)


def order(stage: Stage, *users: str, **arguments: Any) -> None:
    until = stage.clock.epoch_ms() + HOUR_MS
    hashes = [hash_of(SALT, user) for user in users]
    stage.ask("forget", reason="request 1", **{"users": hashes, "salt": SALT, "until": until, **arguments})


def sent(stage: Stage) -> list[str]:
    """Whose events were sent."""
    return [event["properties"]["distinct_id"] for request in stage.transport.requests for event in events_of(request)]


def refuses_named(request: Request) -> Response:
    """Mixpanel refuses each event by name."""
    records = [{"index": index, "message": "no"} for index, _ in enumerate(events_of(request))]
    body = {"code": 400, "num_records_imported": 0, "status": "Bad Request", "failed_records": records}
    return Response(400, {"content-type": "application/json"}, json.dumps(body).encode())


def owned(answer: Any = imports_all, **keys: Any) -> Stage:
    stage = Stage(answer, **keys)
    stage.keeper.own(True)
    return stage


def statuses(stage: Stage) -> list[str]:
    return [job.status for job in stage.view.jobs.values()]


def test_letters_are_purged_once_and_later_records_are_skipped() -> None:
    stage = owned(refuses_named)
    for user in ("ada", "bob", "ada"):
        stage.event(external_user_id=user)
    stage.run()
    order(stage, "ada")
    stage.run()
    (job,) = stage.view.jobs.values()
    assert (job.action, job.status, job.done, dict(job.selection)) == ("forget", "done", 2, {"users": 1})
    assert stage.view.totals.purged == {"rejected": 2}
    (receipt,) = stage.audit("purged")
    assert receipt["users"] == {hash_of(SALT, "ada"): 2}
    (answered,) = stage.audit("forget")
    assert SALT not in json.dumps(answered)
    stage.event(external_user_id="ada")
    stage.run()
    assert stage.counts["skipped"] == {"forgotten": 1}
    assert len(stage.kafka.read(REJECTED)) == 3


def test_an_order_that_is_aborted_or_whose_keeper_dies_counts_letters_once() -> None:
    stage = owned(refuses_named)
    for _ in range(3):
        stage.event(external_user_id="ada")
    stage.run()
    order(stage, "ada")
    stage.run(0.1)
    stage.kafka.kills["streams.keeper.growth"] = Kill(1, is_committed=False)
    with pytest.raises(Killed):
        stage.run()
    again = Stage(refuses_named, kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    again.keeper.own(True)
    again.run()
    assert statuses(again) == ["done"]
    assert again.view.totals.purged == {"rejected": 3}


def test_what_waits_for_a_destination_that_is_down_is_withdrawn_before_the_job_goes_on() -> None:
    answers = [Response(503, {}, b"")]
    stage = owned(lambda request: answers[0])
    for user in ("ada", "bob"):
        stage.event(external_user_id=user)
    stage.run()
    order(stage, "ada")
    stage.run()
    assert statuses(stage) == ["done"]
    tried = len(sent(stage))
    answers[0] = Response(200, {}, json.dumps({"code": 200, "num_records_imported": 1, "status": "OK"}).encode())
    stage.run(120)
    assert set(sent(stage)[tried:]) == {"bob"}
    assert (stage.counts["delivered"], stage.counts["skipped"]) == (1, {"forgotten": 1})


def test_a_job_waits_for_the_answer_to_what_is_in_flight() -> None:
    stage = owned()
    stage.transport.is_holding = True
    stage.event(external_user_id="ada")
    stage.run()
    assert sent(stage) == ["ada"]
    order(stage, "ada")
    stage.run()
    assert statuses(stage) == ["queued"]
    stage.transport.answer = lambda _request: Response(503, {}, b"")
    stage.transport.is_holding = False
    stage.run()
    assert statuses(stage) == ["done"]
    stage.transport.answer = imports_all
    stage.run(120)
    assert sent(stage) == ["ada"], "it was not tried again"
    assert (stage.counts["delivered"], stage.counts["skipped"]) == (0, {"forgotten": 1})


def test_a_job_waits_for_a_sink_that_has_not_said_that_it_obeys() -> None:
    stage = owned()
    stage.event(external_user_id="bob")
    order(stage, "ada")
    for _ in range(100):
        stage.keeper.step()
        stage.clock.advance(0.05)
    assert statuses(stage) == ["queued"]
    stage.run()
    assert statuses(stage) == ["done"]


def test_letters_of_credentials_are_left_out_of_the_redrive_and_the_cursor_passes_them() -> None:
    answers = [Response(401, {}, b"")]
    stage = owned(lambda request: imports_all(request) if answers[0] is None else answers[0])
    for user in ("ada", "bob", "ada"):
        stage.event(external_user_id=user)
    stage.run(60)
    assert len(stage.kafka.read(f"{CREDENTIALS}default")) == 3
    order(stage, "ada")
    stage.run()
    assert stage.view.totals.purged == {"credentials": 2}
    answers[0] = None  # type: ignore[call-overload]
    stage.transport.requests.clear()
    stage.run(120)
    assert sent(stage) == ["bob"]
    assert stage.view.cursor(("credentials.default", 0)) == 3
    assert stage.view.totals.redriven == {"credentials": 1}


def test_letters_that_outlive_14_days_are_written_again_without_those_of_a_forgotten_user() -> None:
    """A suspension keeps them: their bytes, not hers, wait for the day on which the connector is resumed."""
    answers = [Response(401, {}, b"")]
    stage = owned(lambda request: imports_all(request) if answers[0] is None else answers[0])
    for user in ("bob", "ada", "cem"):
        stage.event(external_user_id=user)
    stage.run(60)
    stage.ask("suspend", reason="the account moves")
    stage.run()
    order(stage, "ada")
    stage.run()
    before = [(one.key(), one.value(), one.headers()) for one in stage.credential_letters()]
    stage.clock.advance(14 * 86_400 - 120)
    stage.run()
    assert stage.view.cursor(PLACE) == 0
    stage.clock.advance(120)
    stage.run(30)
    assert (stage.view.cursor(PLACE), stage.kafka.earliest((f"{CREDENTIALS}default", 0))) == (3, 3)
    after = [(one.key(), one.value(), one.headers()) for one in stage.credential_letters() if one.offset() >= 3]
    assert after == [before[0], before[2]]
    assert stage.account.parked == {"credentials": 2}
    answers[0] = None  # type: ignore[call-overload]
    stage.transport.requests.clear()
    stage.ask("resume", reason="it has moved")
    stage.run(120)
    assert sent(stage) == ["bob", "cem"]
    assert stage.view.totals.redriven == {"credentials": 2}


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("commits", [1, 2, 3, 4])
def test_a_keeper_that_dies_while_it_writes_letters_again_leaves_each_once(
    commits: int, is_committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One letter a transaction: some of these commits move one."""
    monkeypatch.setattr(rewrite, "PAGE_LETTERS_MAX", 1)
    stage = owned(lambda _request: Response(401, {}, b""))
    for user in ("bob", "ada", "cem"):
        stage.event(external_user_id=user)
    stage.run(60)
    bob, _, cem = (one.value() or b"" for one in stage.credential_letters())
    stage.ask("suspend", reason="the account moves")
    order(stage, "ada")
    stage.run()
    stage.clock.advance(15 * 86_400)
    stage.kafka.kills["streams.keeper.growth"] = Kill(commits, is_committed=is_committed)
    with pytest.raises(Killed):
        stage.run(30)
    again = Stage(lambda _request: Response(401, {}, b""), kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    again.keeper.own(True)
    again.run(30)
    cursor = again.view.cursor(("credentials.default", 0))
    left = [one for one in again.credential_letters() if not again.view.is_settled(PLACE, one.offset())]
    assert cursor >= 2, "the settled letter was passed"
    assert sorted(one.value() or b"" for one in left) == sorted([bob, cem])
    assert again.account.parked == {"credentials": 2}


@pytest.mark.parametrize("page_letters", [1, 2, 500])
def test_a_kafka_that_gives_nothing_for_a_moment_loses_no_letter(
    page_letters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewrite, "PAGE_LETTERS_MAX", page_letters)
    read, calls = FakeLetters.read, count()

    def now_and_then(letters: FakeLetters, records_max: int, timeout_seconds: float) -> LetterPage:
        return read(letters, records_max, timeout_seconds) if next(calls) % 2 else LetterPage([], {})

    monkeypatch.setattr(FakeLetters, "read", now_and_then)
    stage = owned(lambda _request: Response(401, {}, b""))
    stage.kafka.writes_markers = True
    for user in ("bob", "ada", "cem"):
        stage.event(external_user_id=user)
    stage.run(60)
    bob, _, cem = (one.value() or b"" for one in stage.credential_letters())
    stage.ask("suspend", reason="the account moves")
    order(stage, "ada")
    stage.run()
    stage.clock.advance(15 * 86_400)
    stage.run(60)
    cursor = stage.view.cursor(PLACE)
    assert cursor >= 4, "three letters and the end of their transaction were passed"
    assert [one.value() for one in stage.credential_letters() if one.offset() >= cursor] == [bob, cem]


def test_a_user_is_delivered_again_once_the_time_is_over() -> None:
    stage = owned()
    order(stage, "ada")
    stage.run()
    stage.event(external_user_id="ada")
    stage.run()
    assert sent(stage) == []
    stage.clock.advance(HOUR_MS / 1000 + 1)
    stage.run(LOOK_SECONDS + 2, 0.5)
    assert stage.kafka.read(FORGOTTEN)[-1].value() is None
    stage.event(external_user_id="ada")
    stage.run()
    assert sent(stage) == ["ada"]


def test_a_user_is_found_by_the_id_that_braze_gave() -> None:
    stage = owned()
    order(stage, "24-hex", by="braze")
    stage.run()
    stage.event(external_user_id="ada", user_id="24-hex")
    stage.event(external_user_id="bob", user_id="another")
    stage.run()
    assert sent(stage) == ["bob"]


def test_more_users_than_a_sink_can_hold_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_job, "USERS_MAX", 1)
    stage = owned()
    stage.event(external_user_id="cem")
    order(stage, "ada")
    stage.run()
    order(stage, "bob")
    stage.run()
    assert [answer.outcome for answer in stage.view.answers.values()] == ["done", "refused"]
    assert [len(stage.kafka.read(FORGOTTEN)), statuses(stage)] == [1, ["done"]]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [({"users": []}, "users"), ({"salt": "short"}, "salt"), ({"until": 0}, "until"), ({"colour": 1}, "colour")],
)
def test_an_order_that_makes_no_sense_is_refused_in_words(arguments: dict[str, Any], why: str) -> None:
    stage = owned()
    order(stage, "ada", **arguments)
    stage.run(1)
    (answer,) = stage.view.answers.values()
    assert (answer.outcome, why in answer.detail) == ("refused", True)
    assert stage.kafka.read(FORGOTTEN) == []
