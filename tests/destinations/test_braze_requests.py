"""Requests to Braze: where each record stands, what merges, and that the emulated Braze takes them over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.delivery.contract import Delivered, Refused, Request, Response, Unauthorised
from streams.destinations.braze.objects import BrazeObject
from streams.destinations.braze.requests import (
    COHORTS,
    DEFAULT,
    Track,
    cohort_name_request,
    cohort_users_request,
    probe,
    track,
    track_request,
)
from streams.destinations.braze.settings import BrazeSettings
from streams.destinations.braze.verdicts import verdicts
from streams.testing.emulators import BrazeEmulator
from tests.emulators.sending import send

TIME = "2026-09-01T12:00:00.000Z"


def settings(braze: BrazeEmulator | None = None) -> BrazeSettings:
    keys = {"partner_api_key": "partner-api-key", "data_import_key": "data-import-key"}
    return BrazeSettings.model_validate(
        {
            "base_url": braze.base_url if braze else "http://braze",
            "rest_key": braze.rest_key if braze else "rest-key",
            "cohort_api": keys,
            "receive": {"c": {"kind": "mixpanel_cohorts", "auth": {"passwords": ["x" * 16]}}},
        }
    )


def attributes(user: str = "ann", /, *, only: bool = False, **content: Any) -> BrazeObject:
    return BrazeObject("attributes", user, only, content)


def event(user: str = "ann", /, name: str = "Played") -> BrazeObject:
    return BrazeObject("events", user, False, {"name": name, "time": TIME})


def purchase(user: str = "ann", /) -> BrazeObject:
    content = {"product_id": "sku", "currency": "EUR", "price": 1, "quantity": 1, "time": TIME}
    return BrazeObject("purchases", user, False, content)


def sent(request: Request) -> Response:
    address = "/" + request.url.split("/", 3)[3]
    answer = send(
        request.url.removesuffix(address), address, request.body, dict(request.headers), method=request.method
    )
    return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


def test_each_record_has_its_place_and_attributes_of_one_user_merge() -> None:
    objects = [event(), attributes(a=1), purchase(), attributes("bob", a=1), attributes(b=2, a=3), event("bob")]
    made = track(objects)
    assert json.loads(made.body) == {
        "attributes": [{"external_id": "ann", "a": 3, "b": 2}, {"external_id": "bob", "a": 1}],
        "events": [
            {"external_id": "ann", "name": "Played", "time": TIME},
            {"external_id": "bob", "name": "Played", "time": TIME},
        ],
        "purchases": [objects[2].body()],
    }
    assert made.layout == {
        ("attributes", 0): (1, 4),
        ("attributes", 1): (3,),
        ("events", 0): (0,),
        ("events", 1): (5,),
        ("purchases", 0): (2,),
    }
    assert track(objects) == made


def test_what_may_create_a_user_does_not_merge_with_what_must_not() -> None:
    made = track([attributes(a=1), attributes(only=True, b=2)])
    assert json.loads(made.body)["attributes"] == [
        {"external_id": "ann", "a": 1},
        {"external_id": "ann", "_update_existing_only": True, "b": 2},
    ]


def test_subscription_groups_and_push_tokens_merge_by_what_they_are_of() -> None:
    def group(group_id: str, state: str) -> dict[str, str]:
        return {"subscription_group_id": group_id, "subscription_state": state}

    made = track(
        [
            attributes(subscription_groups=[group("a", "subscribed"), group("b", "subscribed")]),
            attributes(subscription_groups=[group("a", "unsubscribed")], push_tokens=[{"app_id": "x", "token": "1"}]),
            attributes(push_tokens=[{"app_id": "x", "token": "2"}, {"app_id": "y", "token": "3"}]),
        ]
    )
    (merged,) = json.loads(made.body)["attributes"]
    assert merged["subscription_groups"] == [group("a", "unsubscribed"), group("b", "subscribed")]
    assert merged["push_tokens"] == [{"app_id": "x", "token": "2"}, {"app_id": "y", "token": "3"}]


CHANGES = st.dictionaries(
    st.sampled_from(["add", "remove"]),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
    min_size=1,
).filter(lambda change: not set(change.get("add", ())) & set(change.get("remove", ())))


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_changes_of_an_array_that_merge_leave_it_as_one_after_the_other_would(
    changes: list[dict[str, list[str]]],
) -> None:
    def applied(before: set[str], change: Mapping[str, list[str]]) -> set[str]:
        return (before | set(change.get("add", ()))) - set(change.get("remove", ()))

    (merged,) = json.loads(track([attributes(x=change) for change in changes]).body)["attributes"]
    for before in (set(), set("ab"), set("abc")):
        expected = before
        for change in changes:
            expected = applied(expected, change)
        assert applied(before, merged["x"]) == expected


def test_the_emulated_braze_takes_a_request_and_tells_it_delivered(braze: BrazeEmulator) -> None:
    objects = [event(), attributes(plan="gold"), purchase(), attributes(Mixpanel_Cohorts={"add": ["VIP"]})]
    request = track_request(settings(braze), track(objects))
    verdict = verdicts([braze.rest_key]).verdict(sent(request), request, len(objects))
    assert isinstance(verdict, Delivered)
    assert verdict.rate_used == pytest.approx(1 / 3_000)
    assert braze.users()["ann"]["attributes"] == {"plan": "gold", "Mixpanel_Cohorts": ["VIP"]}


def test_what_it_refuses_is_named_by_record_and_merged_records_go_again_apart(braze: BrazeEmulator) -> None:
    objects = [event(name=""), attributes("bob", gender="x"), attributes("bob", plan=1), attributes(plan=1), purchase()]
    request = track_request(settings(braze), track(objects))
    verdict = verdicts([]).verdict(sent(request), request, len(objects))
    assert verdict == Refused({0: "name is required"}, frozenset({1, 2}))
    assert list(braze.users()) == ["ann"]
    apart = track_request(settings(braze), track([objects[1]]))
    assert verdicts([]).verdict(sent(apart), apart, 1) == Refused(
        {0: "gender must be one of '…', '…', '…', '…' or '…'"}
    )


def test_the_cohort_import_is_called_as_braze_documents_it(braze: BrazeEmulator) -> None:
    made = settings(braze)
    for request in (
        track_request(made, track([attributes("ann", a=1), attributes("bob", a=1)])),
        cohort_name_request(made, "7", "VIP", 1_789_997_600_123),
        cohort_users_request(made, "7", ["ann", "bob"], []),
        cohort_users_request(made, "7", [], ["bob"]),
    ):
        assert isinstance(verdicts([]).verdict(sent(request), request, 1), Delivered)
    assert braze.cohorts() == {"7": {"cohort_id": "7", "name": "VIP", "members": ["ann"]}}


def test_a_probe_tells_good_keys_from_bad_and_leaves_no_trace(braze: BrazeEmulator) -> None:
    made = settings(braze)
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
