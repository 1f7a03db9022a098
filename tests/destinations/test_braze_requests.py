"""Requests to Braze: that the emulated Braze takes them over HTTP, and what they hide."""

from __future__ import annotations

from typing import Any

import pytest

from streams.delivery.contract import Delivered, Refused, Request, Response, Unauthorised
from streams.destinations.braze.requests import (
    Track,
    cohort_name_request,
    cohort_users_request,
    probe,
    track_request,
)
from streams.destinations.braze.settings import COHORTS, DEFAULT
from streams.destinations.braze.verdicts import verdicts
from streams.testing.emulators import BrazeEmulator
from tests.destinations.braze_desk import Desk, attributes, event, purchase, settings, word
from tests.emulators.sender import send


def addressed(braze: BrazeEmulator, **given: Any) -> dict[str, Any]:
    return {"base_url": braze.base_url, "rest_key": braze.rest_key, **given}


def sent(request: Request | None) -> Response:
    assert request is not None
    address = "/" + request.url.split("/", 3)[3]
    answer = send(
        request.url.removesuffix(address), address, request.body, dict(request.headers), method=request.method
    )
    return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


def test_the_emulated_braze_takes_a_request_and_tells_it_delivered(braze: BrazeEmulator) -> None:
    desk = Desk(**addressed(braze))
    records = [event("1"), attributes(plan="gold"), purchase("2"), word("cohorts/7", name="VIP")]
    request = desk.compose(*records).request
    assert request is not None
    verdict = desk.destination.interpret(sent(request), request, len(records))
    assert isinstance(verdict, Delivered)
    assert verdict.rate_used == pytest.approx(1 / 3_000)
    assert braze.users()["ann"]["attributes"] == {"plan": "gold", "Mixpanel_Cohorts": ["VIP"]}


def test_what_it_refuses_is_named_by_record_and_merged_records_go_again_apart(braze: BrazeEmulator) -> None:
    desk = Desk(**addressed(braze))
    bad = [attributes("bob", message_type="identities", email=7), attributes("bob", plan=1)]
    items = [desk.item(record) for record in (purchase("1", currency="€"), *bad, attributes(plan=1), purchase("2"))]
    composed = desk.compose(*items, keeps=False)
    assert composed.request is not None
    verdict = desk.destination.interpret(sent(composed.request), composed.request, len(items))
    assert isinstance(verdict, Refused)
    assert (set(verdict.details), verdict.apart) == ({0}, frozenset({1, 2}))
    assert list(braze.users()) == ["ann"]
    alone = desk.compose(items[1], keeps=False).request
    assert alone is not None
    verdict = desk.destination.interpret(sent(alone), alone, 1)
    assert isinstance(verdict, Refused)
    assert set(verdict.details) == {0}


def test_the_cohort_import_is_called_as_braze_documents_it(braze: BrazeEmulator) -> None:
    made = settings(**addressed(braze))
    desk = Desk(**addressed(braze))
    for request in (
        desk.compose(attributes("ann", a=1), attributes("bob", a=1)).request,
        cohort_name_request(made, "7", "VIP", 1_789_997_600_123),
        cohort_users_request(made, "7", ["ann", "bob"], []),
        cohort_users_request(made, "7", [], ["bob"]),
    ):
        assert request is not None
        assert isinstance(verdicts([]).verdict(sent(request), request, 1), Delivered)
    assert braze.cohorts() == {"7": {"cohort_id": "7", "name": "VIP", "members": ["ann"]}}


def test_a_probe_tells_good_keys_from_bad_and_leaves_no_trace(braze: BrazeEmulator) -> None:
    made = settings(**addressed(braze))
    for scope, key in ((DEFAULT, "rest_key"), (COHORTS, "data_import_key")):
        request = probe(made, scope)
        assert isinstance(verdicts([]).verdict(sent(request), request, 0), Delivered)
        braze.revoke(key)
        verdict = verdicts([]).verdict(sent(request), request, 0)
        assert isinstance(verdict, Unauthorised)
        assert verdict.detail.endswith("(a wrong instance answers the same)")
        braze.restore(key)
    assert braze.users() == {}
    assert braze.totals()["data_points"] == 0
    assert [row["ignored"] for row in braze.rows()] == [True]


def test_a_request_hides_its_key_and_its_body() -> None:
    request = track_request(settings(), Track(b'{"attributes":["someone"]}', {}))
    assert "rest-key" not in repr(request)
    assert "someone" not in repr(request)
    assert "data-import-key" not in repr(cohort_users_request(settings(), "7", ["someone"], []))
