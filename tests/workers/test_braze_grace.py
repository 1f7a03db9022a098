"""Braze refuses a key for 47 hours, and for 49: the real sink and keeper on fakes of Kafka and the clock."""

from __future__ import annotations

from typing import Any

import pytest

from streams.delivery.contract import Request, Response
from streams.emulators.braze.options import BrazeOptions
from streams.emulators.braze.server import BrazeServer
from streams.emulators.call import Call
from streams.wayback.records import Record, encode
from tests.destinations.braze_desk import COHORT_API, RECEIVE, attributes, event, word
from tests.workers.stage import TOPIC, Stage

HOUR = 3_600.0
SCOPES = ("default", "cohorts")


class Braze:
    """The emulated Braze as a transport; while `is_refusing` every key is wrong."""

    def __init__(self) -> None:
        self.server = BrazeServer(BrazeOptions(users=("ann", "bob")))
        self.is_refusing = False

    def __call__(self, request: Request) -> Response:
        path = request.url.removeprefix("http://braze")
        if self.is_refusing:
            return Response(401, {"content-type": "application/json"}, b'{"message":"Invalid API Key"}')
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = self.server.receive(Call("POST", path, {}, headers, request.body, "", None), 1_790_000_000_000)
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    def user(self, name: str) -> dict[str, Any]:
        view = self.server.view("query")
        assert view is not None
        return next(row for row in view["rows"] if row["external_id"] == name)


@pytest.fixture
def braze() -> Braze:
    return Braze()


@pytest.fixture
def stage(braze: Braze) -> Stage:
    rest_key = BrazeOptions().rest_keys[0].key
    settings = {"base_url": "http://braze", "rest_key": rest_key, "cohort_api": COHORT_API, "receive": RECEIVE}
    return Stage(braze, destination="braze", settings=settings)


def write(stage: Stage, *records: Record) -> None:
    for record in records:
        stage.kafka.write(TOPIC, encode(record), record.external_user_id.encode())


def dead(stage: Stage, braze: Braze) -> None:
    """Braze takes what came first; then both its keys die, and what comes is parked."""
    write(stage, attributes("ann", plan="silver"), word("cohorts/7", "bob", name="VIP"))
    stage.run(5)
    braze.is_refusing = True
    write(stage, attributes("ann", plan="gold"), event("1", "ann"), word("cohorts/7", "bob", "remove", name="VIP"))
    write(stage, word("import/9", "ann", name="New", target="cohort"))
    stage.run(30)
    assert {scope: stage.view.scope(scope).state for scope in SCOPES} == dict.fromkeys(SCOPES, "INVALID")
    assert {scope: len(stage.credential_letters(scope)) for scope in SCOPES} == {"default": 3, "cohorts": 1}


def test_a_key_that_is_dead_for_47_hours_loses_nothing(stage: Stage, braze: Braze) -> None:
    dead(stage, braze)
    stage.clock.advance(47 * HOUR)
    stage.run(60)
    write(stage, attributes("bob", plan="late"))
    stage.run(5)
    braze.is_refusing = False
    stage.run(120)
    assert stage.audit("purged") == []
    assert braze.user("ann")["attributes"] == {"plan": "gold"}
    assert [one["name"] for one in braze.user("ann")["events"]] == ["Played"]
    assert braze.user("ann")["cohorts"] == ["9"]
    assert braze.user("bob")["attributes"] == {"Mixpanel_Cohorts": [], "plan": "late"}
    account = stage.account
    assert (account.delivered, account.parked.get("credentials", 0), account.waiting, account.purged) == (7, 0, 0, 0)


def test_a_key_that_is_dead_for_49_hours_purges_with_a_receipt_and_what_comes_then_is_right(
    stage: Stage, braze: Braze
) -> None:
    dead(stage, braze)
    stage.clock.advance(49 * HOUR)
    stage.run(120)
    receipts = stage.audit("purged")
    assert {receipt["scope"]: receipt["letters"] for receipt in receipts} == {"default": 3, "cohorts": 1}
    write(stage, attributes("ann", plan="platinum"), word("cohorts/7", "bob", "remove", name="VIP"))
    braze.is_refusing = False
    stage.run(120)
    assert braze.user("ann")["attributes"] == {"plan": "platinum"}
    assert braze.user("ann")["events"] == []
    assert braze.user("bob")["attributes"] == {"Mixpanel_Cohorts": []}
    account = stage.account
    assert (account.purged, account.delivered, account.parked.get("credentials", 0), account.waiting) == (4, 4, 0, 0)
