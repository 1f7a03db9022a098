"""The flood breaker in a sink: how many letters it lets through when most of what is sent is rejected."""

from __future__ import annotations

import json

from streams.delivery.contract import Request, Response
from streams.delivery.flood import FloodRules
from tests.workers.stage import Stage, events_of, imports_all

RULES = FloodRules(share=0.2, records_min=100)
BATCH_RECORDS = 60
IN_FLIGHT = 6
WARM_UP = 20
"""Deliveries after which so many requests may be in flight."""
BROKEN = "[1]"
"""Properties that the mapping itself rejects: nothing is sent for them."""


def rejects_all(request: Request) -> Response:
    """Mixpanel's answer when it takes none of the events, each by name."""
    failed = [
        {"index": index, "field": "properties.time", "message": "'properties.time' is invalid"}
        for index, _ in enumerate(events_of(request))
    ]
    body = json.dumps({"code": 400, "status": "Bad Request", "num_records_imported": 0, "failed_records": failed})
    return Response(400, {"content-type": "application/json"}, body.encode())


def stage_in_flight(requests: int = IN_FLIGHT) -> Stage:
    """A sink with so many requests under way, none answered yet."""
    stage = Stage(flood=RULES)
    for _ in range(WARM_UP):
        stage.event()
        stage.run(1)
    stage.transport.requests.clear()
    stage.transport.answer, stage.transport.is_holding = rejects_all, True
    for _ in range(requests):
        for _ in range(BATCH_RECORDS):
            stage.event()
        stage.run(1.5)
    assert len(stage.transport.requests) == requests
    return stage


def test_with_many_requests_in_flight_at_most_one_batch_beyond_the_rule_is_parked() -> None:
    stage = stage_in_flight()
    stage.transport.is_holding = False
    stage.run(5)
    assert (stage.view.state.state, stage.view.state.by) == ("SUSPENDED", "flood")
    assert RULES.records_min <= len(stage.letters) <= RULES.records_min + BATCH_RECORDS
    assert stage.committed == WARM_UP + len(stage.letters)
    assert stage.account.waiting == IN_FLIGHT * BATCH_RECORDS - len(stage.letters)


def test_what_the_breaker_kept_back_is_sent_once_it_is_resumed_and_none_is_missing() -> None:
    stage = stage_in_flight()
    stage.transport.is_holding = False
    stage.run(5)
    stage.transport.answer = imports_all
    stage.ask("resume")
    stage.run(5)
    assert stage.view.state.state == "RUNNING"
    assert stage.counts["delivered"] == WARM_UP + IN_FLIGHT * BATCH_RECORDS - len(stage.letters)
    assert stage.account.waiting == 0


def test_a_suspended_connector_parks_nothing_of_what_is_refused_while_it_was_under_way() -> None:
    stage = stage_in_flight(1)
    stage.ask("suspend", reason="the account moves")
    stage.run(2)
    stage.transport.is_holding = False
    stage.run(2)
    assert stage.letters == []
    assert stage.account.waiting == BATCH_RECORDS


def test_events_that_the_mapping_rejects_trip_it_within_one_read() -> None:
    stage = Stage(flood=RULES)
    for _ in range(3_000):
        stage.event("users.behaviors.CustomEvent", properties=BROKEN)
    stage.run(5)
    assert (stage.view.state.state, stage.view.state.by) == ("SUSPENDED", "flood")
    assert len(stage.letters) <= 500


def test_a_slow_destination_does_not_make_a_flood_of_a_few_rejections() -> None:
    """Rejections of the mapping are known before anything is delivered: they are judged beside what was read."""
    stage = Stage(flood=RULES)
    stage.transport.is_holding = True
    for number in range(2_000):
        broken = {"properties": BROKEN} if number % 10 == 0 else {}
        stage.event("users.behaviors.CustomEvent", **broken)
    stage.run(3)
    stage.transport.is_holding = False
    stage.run(3)
    assert stage.view.state.state == "RUNNING"
    assert len(stage.letters) == 200


def test_rejections_of_mapping_and_destination_count_together() -> None:
    def rejects_some(request: Request) -> Response:
        failed = [
            {"index": index, "field": "properties.time", "message": "'properties.time' is invalid"}
            for index, _ in enumerate(events_of(request))
            if index % 7 == 0
        ]
        imported = len(events_of(request)) - len(failed)
        content = {"code": 400, "status": "Bad Request", "num_records_imported": imported, "failed_records": failed}
        return Response(400, {"content-type": "application/json"}, json.dumps(content).encode())

    stage = Stage(rejects_some, flood=RULES)
    for number in range(3_000):
        broken = {"properties": BROKEN} if number % 7 == 0 else {}
        stage.event("users.behaviors.CustomEvent", **broken)
    stage.run(5)
    assert (stage.view.state.state, stage.view.state.by) == ("SUSPENDED", "flood")
