"""The emulated Braze: what it takes, what it refuses and in which words, and what it then holds."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from pydantic import ValidationError

from streams.emulators.braze.options import BrazeOptions, CohortApi, Limits, RestKey
from streams.testing.emulators import BrazeEmulator
from tests.emulators.sender import Received, send

NO_VALID_DATA = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
TIME = "2026-09-01T12:00:00.000Z"


def track(
    braze: BrazeEmulator, content: Any = None, /, *, headers: dict[str, str] | None = None, **arrays: Any
) -> Received:
    body = content if isinstance(content, bytes) else json.dumps(arrays if content is None else content).encode()
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {braze.rest_key}", **(headers or {})}
    return send(braze.base_url, "/users/track", body, given)


def cohort(braze: BrazeEmulator, path: str = "/users", partner: str = "mixpanel", **content: Any) -> Received:
    keys = {"partner_api_key": "partner-api-key", "client_secret": "data-import-key", "cohort_id": "7"}
    body = json.dumps({**keys, **content}).encode()
    url = f"/partners/{partner}/cohorts{path}"
    return send(braze.base_url, url, body, {"Content-Type": "application/json"})


def event(user: str = "ann", /, **fields: Any) -> dict[str, Any]:
    return {"external_id": user, "name": "Played", "time": TIME, **fields}


def purchase(user: str = "ann", /, **fields: Any) -> dict[str, Any]:
    return {"external_id": user, "product_id": "sku", "currency": "EUR", "price": 9.99, "time": TIME, **fields}


def attributes(user: str = "ann", /, **fields: Any) -> dict[str, Any]:
    return {"external_id": user, **fields}


def refused(answer: Received) -> list[tuple[str, int, str]]:
    return [(error["input_array"], error["index"], error["type"]) for error in answer.json().get("errors", [])]


def test_what_is_good_is_taken_in_the_order_attributes_events_purchases(braze: BrazeEmulator) -> None:
    answer = track(braze, purchases=[purchase()], events=[event(), event("bob")], attributes=[attributes(plan="gold")])
    assert (answer.status, answer.json()) == (
        201,
        {"message": "success", "attributes_processed": 1, "events_processed": 2, "purchases_processed": 1},
    )
    assert [row["kind"] for row in braze.rows()] == ["attributes", "events", "events", "purchases"]
    ann = braze.users()["ann"]
    assert ann["attributes"] == {"plan": "gold"}
    assert (len(ann["events"]), len(ann["purchases"]), ann["cohorts"]) == (1, 1, [])
    assert braze.totals()["data_points"] == 4


@pytest.mark.parametrize(
    ("array", "item", "words"),
    [
        ("attributes", "ann", "'attributes' must be an array of objects"),
        ("attributes", {"plan": 1}, "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"),
        ("attributes", attributes(" "), "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"),
        ("attributes", attributes(braze_id="b"), "Only one of 'external_id', 'braze_id' or 'user_alias' may be given"),
        ("attributes", attributes("ü" * 494), "'external_id' must be fewer than 988 bytes"),
        ("attributes", attributes(email="nobody"), "'email' is not a valid email address"),
        (
            "attributes",
            attributes(email_subscribe="yes"),
            "'email_subscribe' must be one of 'opted_in', 'subscribed' or 'unsubscribed'",
        ),
        (
            "attributes",
            attributes(push_subscribe=True),
            "'push_subscribe' must be one of 'opted_in', 'subscribed' or 'unsubscribed'",
        ),
        ("attributes", attributes(gender="male"), "'gender' must be one of 'M', 'F', 'O', 'N' or 'P'"),
        ("attributes", attributes(dob="1 May 1990"), "'dob' must be a date of the form YYYY-MM-DD"),
        ("attributes", attributes(dob="1990-13-01"), "'dob' must be a date of the form YYYY-MM-DD"),
        ("attributes", attributes(subscription_groups={}), "'subscription_groups' must be an array"),
        (
            "attributes",
            attributes(subscription_groups=[{"subscription_state": "subscribed"}]),
            "'subscription_groups' must be objects with 'subscription_group_id' and 'subscription_state'",
        ),
        (
            "attributes",
            attributes(subscription_groups=[{"subscription_group_id": "g", "subscription_state": "yes"}]),
            "'subscription_state' must be 'subscribed' or 'unsubscribed'",
        ),
        ("attributes", attributes(push_tokens="t"), "'push_tokens' must be an array of objects"),
        (
            "attributes",
            attributes(push_tokens=[{"token": "t"}]),
            "'push_tokens' must be objects with 'app_id' and 'token'",
        ),
        ("attributes", attributes(**{"": 1}), "'attribute' must have between 1 and 255 characters"),
        ("attributes", attributes(**{"a" * 256: 1}), "'attribute' must have between 1 and 255 characters"),
        ("attributes", attributes(**{"$Zip": "1"}), "'attribute' must not begin with '$'"),
        ("attributes", attributes(text=["x" * 1000] * 100), "object must not exceed 100000 bytes"),
        ("events", {"external_id": "ann", "time": TIME}, "'name' is required"),
        ("events", event(name=""), "'name' is required"),
        ("events", event(name="x" * 256), "'name' must have between 1 and 255 characters"),
        ("events", {"external_id": "ann", "name": "x"}, "'time' is required"),
        ("events", event(time=1_790_000_000), "'time' must be a valid ISO 8601 time"),
        ("events", event(time="yesterday"), "'time' must be a valid ISO 8601 time"),
        ("events", event(properties=[]), "Invalid 'properties' field"),
        ("events", event(properties={"time": 1}), "Invalid 'properties' field"),
        ("events", event(properties={"event_name": 1}), "Invalid 'properties' field"),
        ("events", event(properties={"$x": 1}), "'property' must not begin with '$'"),
        ("events", event(name="ecommerce.order_placed"), "'properties' of 'ecommerce.order_placed' is required"),
        (
            "events",
            event(name="ecommerce.order_placed", properties={"order_id": "1"}),
            "'total_value' of 'ecommerce.order_placed' is required",
        ),
        ("purchases", purchase(product_id=None), "'product_id' is required"),
        ("purchases", purchase(currency="Euro"), "'currency' must be an ISO 4217 currency code"),
        ("purchases", purchase(price="9.99"), "'price' must be a number"),
        ("purchases", purchase(quantity=101), "'quantity' must be an integer between 1 and 100"),
        ("purchases", purchase(quantity=1.5), "'quantity' must be an integer between 1 and 100"),
        ("purchases", purchase(time=None), "'time' is required"),
        ("purchases", purchase(properties={"price": 1}), "Invalid 'properties' field"),
    ],
)
def test_an_object_that_breaks_a_rule_is_named_by_its_place_and_the_others_are_taken(
    braze: BrazeEmulator, array: str, item: Any, words: str
) -> None:
    good = attributes("bob", plan=1)
    answer = track(
        braze, {"attributes": [good, item]} if array == "attributes" else {"attributes": [good], array: [item]}
    )
    index = 1 if array == "attributes" else 0
    assert answer.status == 201
    assert answer.json()["message"] == "success"
    assert refused(answer) == [(array, index, words)]
    assert list(braze.users()) == ["bob"]
    again = track(braze, {array: [item]})
    assert (again.status, again.json()["message"]) == (400, NO_VALID_DATA)
    assert refused(again) == [(array, 0, words)]
    assert len(braze.retried_400()) == 1


def test_an_order_with_all_that_braze_asks_for_is_taken(braze: BrazeEmulator) -> None:
    product = {"product_id": "sku", "product_name": "Shoe", "variant_id": "sku-42", "quantity": 1, "price": 9.99}
    order = {"order_id": "o", "total_value": 9.99, "currency": "EUR", "source": "mparticle", "products": [product]}
    assert track(braze, events=[event(name="ecommerce.order_placed", properties=order)]).status == 201
    del product["variant_id"]
    answer = track(braze, events=[event(name="ecommerce.order_placed", properties=order)])
    assert refused(answer) == [("events", 0, "'variant_id' of a product of 'ecommerce.order_placed' is required")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Body is not valid JSON"),
        (b"{", "Body is not valid JSON"),
        (b"[]", "Body must be a JSON object, not too deeply nested"),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "Body must be a JSON object, not too deeply nested"),
        ({}, NO_VALID_DATA),
        ({"attributes": []}, NO_VALID_DATA),
        ({"attributes": {"external_id": "ann"}}, "'attributes' must be an array of objects"),
        (
            {"attributes": [attributes(n=1)] * 50, "events": [event()] * 26},
            "A request must not hold more than 75 objects",
        ),
    ],
)
def test_a_request_of_which_nothing_can_be_taken_gets_400_and_changes_nothing(
    braze: BrazeEmulator, content: Any, words: str
) -> None:
    answer = track(braze, content)
    assert (answer.status, answer.json()) == (400, {"message": words})
    assert braze.rows() == []


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}])
def test_only_json_that_is_not_packed_is_taken(braze: BrazeEmulator, headers: dict[str, str]) -> None:
    assert track(braze, attributes=[attributes(n=1)], headers=headers).status == 400


def test_75_objects_are_taken_together_and_by_array_as_legacy_customers_have_it() -> None:
    arrays = {"attributes": [attributes(n=1)] * 75, "events": [event()] * 75, "purchases": [purchase()] * 75}
    with BrazeEmulator(BrazeOptions(limits=Limits(objects_in="array"))) as braze:
        assert track(braze, arrays).status == 201
        arrays["events"].append(event())
        assert track(braze, arrays).status == 400


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_too_large_is_refused_with_the_status_that_is_wanted(status: Any) -> None:
    with BrazeEmulator(BrazeOptions(limits=Limits(request_bytes_max=1_000, too_large_status=status))) as braze:
        assert track(braze, attributes=[attributes(text="x" * 1_000)]).status == status
        assert track(braze, attributes=[attributes(text="x")]).status == 201


def test_an_array_is_added_to_removed_from_replaced_and_deleted(braze: BrazeEmulator) -> None:
    for change, left in (
        ({"add": ["a", "b"]}, ["a", "b"]),
        ({"add": ["b", "c"]}, ["a", "b", "c"]),
        ({"remove": ["b", "never"]}, ["a", "c"]),
        ({"add": ["d"], "remove": ["a"]}, ["c", "d"]),
        (["x"], ["x"]),
        ({"more": 1}, {"more": 1}),
        ({"add": ["y"]}, ["y"]),
    ):
        track(braze, attributes=[attributes(Mixpanel_Cohorts=change)])
        assert braze.users()["ann"]["attributes"] == {"Mixpanel_Cohorts": left}
    track(braze, attributes=[attributes(Mixpanel_Cohorts=None)])
    assert braze.users()["ann"]["attributes"] == {}


def test_long_texts_and_long_arrays_are_cut_in_silence_and_the_row_says_so(braze: BrazeEmulator) -> None:
    track(
        braze,
        attributes=[attributes(text="x" * 300, list=list(range(501)))],
        events=[event(properties={"t": "y" * 256})],
    )
    ann = braze.users()["ann"]
    assert (len(ann["attributes"]["text"]), len(ann["attributes"]["list"])) == (255, 500)
    assert len(ann["events"][0]["properties"]["t"]) == 255
    assert [row["losses"] for row in braze.rows()] == [
        ["text cut at 255 characters", "list cut at 500 items"],
        ["event.properties.t cut at 255 characters"],
    ]


def test_an_object_that_may_only_update_makes_no_user_and_counts_as_processed() -> None:
    with BrazeEmulator(BrazeOptions(users=("ann",))) as braze:
        only = {"_update_existing_only": True}
        answer = track(
            braze,
            attributes=[attributes("ann", n=1, **only), attributes("bob", n=1, **only)],
            events=[event("bob", **only)],
            purchases=[purchase("bob", **only)],
        )
        assert answer.json()["attributes_processed"] == 2
        assert list(braze.users()) == ["ann"]
        assert [row["ignored"] for row in braze.rows()] == [False, True, True, True]
        assert (braze.totals()["ignored"], braze.totals()["data_points"]) == (3, 1)


def test_an_event_that_comes_twice_is_there_twice_and_is_told(braze: BrazeEmulator) -> None:
    for _ in range(2):
        track(braze, attributes=[attributes(n=1)], events=[event(), event("bob")])
    track(braze, events=[event("bob")])
    assert [len(user["events"]) for user in braze.users().values()] == [2, 3]
    assert sorted(each["count"] for each in braze.repeated()) == [2, 3]


def test_what_was_processed_while_its_answer_was_lost_is_there_and_what_comes_again_is_counted(
    braze: BrazeEmulator,
) -> None:
    braze.fail(when="after", reset=True)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        track(braze, events=[event()])
    assert track(braze, events=[event()]).status == 201
    assert braze.repeated()[0]["count"] == 2
    assert [request["status"] for request in braze.requests()] == [None, 201]


def test_a_key_that_is_wrong_missing_revoked_or_replaced_gets_401(braze: BrazeEmulator) -> None:
    for authorization in ("", "Bearer ", "Bearer wrong", f"Basic {braze.rest_key}", braze.rest_key):
        answer = track(braze, attributes=[attributes(n=1)], headers={"Authorization": authorization})
        assert (answer.status, answer.json()) == (401, {"message": "Invalid API Key"}), authorization
    braze.revoke("rest_key")
    assert track(braze, attributes=[attributes(n=1)]).status == 401
    braze.restore("rest_key")
    assert track(braze, attributes=[attributes(n=1)]).status == 201
    braze.change_secret("rest_key", "another")
    assert track(braze, attributes=[attributes(n=1)]).status == 401
    assert track(braze, attributes=[attributes(n=1)], headers={"Authorization": "Bearer another"}).status == 201


def test_no_answer_shows_a_key(braze: BrazeEmulator) -> None:
    track(braze, attributes=[attributes(n=1)])
    cohort(braze, cohort_changes=[])
    shown = json.dumps([braze.call("GET", name) for name in ("requests", "credentials", "raw", "query", "totals")])
    assert not any(key in shown for key in (braze.rest_key, "partner-api-key", "data-import-key"))


def test_the_rate_is_told_with_each_answer_and_one_request_too_many_gets_429() -> None:
    limits = Limits(requests_per_window=2, window_seconds=3)
    with BrazeEmulator(BrazeOptions(limits=limits)) as braze:
        braze.set_now(1_790_000_000_500)
        answers = [track(braze, attributes=[attributes(n=n)]) for n in range(3)]
        assert [answer.status for answer in answers] == [201, 201, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
        assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}
        assert {answer.headers["X-RateLimit-Reset"] for answer in answers} == {"1790000001"}
        assert answers[2].headers["X-Ratelimit-Retry-After"] == "1"
        assert len(braze.rows()) == 2
        braze.set_now(1_790_000_001_000)
        assert track(braze, attributes=[attributes(n=3)]).status == 201


def test_the_rate_can_be_told_in_seconds_and_without_the_header_of_newer_plans() -> None:
    limits = Limits(requests_per_window=1, window_seconds=3_600, reset_as="seconds")
    with BrazeEmulator(BrazeOptions(limits=limits, retry_after=False)) as braze:
        braze.set_now(3_600_000 * 500_000 + 1)
        track(braze, attributes=[attributes(n=1)])
        answer = track(braze, attributes=[attributes(n=1)])
        assert (answer.status, answer.headers["X-RateLimit-Reset"]) == (429, "3600")
        assert "X-Ratelimit-Retry-After" not in answer.headers


def test_in_maintenance_everything_is_queued_and_taken() -> None:
    with BrazeEmulator(BrazeOptions(maintenance=True)) as braze:
        answer = track(braze, attributes=[attributes(n=1)])
        assert (answer.status, answer.json()) == (202, {"message": "queued"})
        assert list(braze.users()) == ["ann"]


def test_a_cohort_is_named_and_renamed_and_holds_only_users_whom_braze_has(braze: BrazeEmulator) -> None:
    track(braze, attributes=[attributes("ann", n=1), attributes("bob", n=1)])
    assert cohort(braze, "", name="Early birds", created_at=TIME).status == 201
    assert cohort(braze, cohort_changes=[{"user_ids": ["ann", "bob", "nobody"]}]).status == 201
    assert braze.cohorts() == {"7": {"cohort_id": "7", "name": "Early birds", "members": ["ann", "bob"]}}
    cohort(braze, cohort_changes=[{"user_ids": ["ann"], "should_remove": True}])
    cohort(braze, "", name="Owls", created_at=TIME)
    assert braze.cohorts()["7"]["name"] == "Owls"
    assert [user["cohorts"] for user in braze.users().values()] == [[], ["7"]]
    assert cohort(braze, cohort_changes=[]).status == 201


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ({"partner_api_key": "x"}, 401, "Invalid partner API key"),
        ({"client_secret": "x"}, 401, "Invalid client secret"),
        ({"partner": "segment"}, 401, "Partner is not enabled for this client"),
        ({"cohort_id": 7}, 400, "'cohort_id' must be a string"),
        ({"cohort_changes": {}}, 400, "'cohort_changes' must be an array of objects"),
        ({"cohort_changes": [{"user_ids": "ann"}]}, 400, "'user_ids' must be an array"),
        (
            {"cohort_changes": [{"user_ids": ["u"] * 600}, {"user_ids": ["u"] * 300, "device_ids": ["d"] * 101}]},
            400,
            "A request must not hold more than 1000 ids",
        ),
        ({"path": "", "name": "", "created_at": TIME}, 400, "'name' must be a string that is not empty"),
        ({"path": "", "name": "x", "created_at": "today"}, 400, "'created_at' must be an ISO 8601 time"),
        ({"path": "", "name": "x"}, 400, "'created_at' must be an ISO 8601 time"),
    ],
)
def test_a_call_of_the_cohort_import_that_breaks_a_rule_changes_nothing(
    braze: BrazeEmulator, content: dict[str, Any], status: int, words: str
) -> None:
    answer = cohort(braze, **content)
    assert (answer.status, answer.json()) == (status, {"message": words})
    assert braze.cohorts() == {}


def test_each_key_of_the_cohort_import_can_be_revoked(braze: BrazeEmulator) -> None:
    for name in ("partner_api_key", "data_import_key"):
        braze.revoke(name)
        assert cohort(braze, cohort_changes=[]).status == 401
        braze.restore(name)
        assert cohort(braze, cohort_changes=[]).status == 201


def test_other_paths_and_methods_are_not_there(braze: BrazeEmulator) -> None:
    headers = {"Authorization": f"Bearer {braze.rest_key}"}
    assert send(braze.base_url, "/users/track/", b"", headers).status == 404
    assert send(braze.base_url, "/users/track", b"", headers, method="GET").status == 405


def test_what_is_kept_is_as_the_option_says() -> None:
    for keep, rows, users in (("full", 1, 1), ("counts", 0, 1), ("discard", 0, 0)):
        with BrazeEmulator(BrazeOptions.model_validate({"keep": keep})) as braze:
            assert track(braze, attributes=[attributes(n=1)]).status == 201
            assert (len(braze.rows()), len(braze.users()), braze.totals()["attributes"]) == (rows, users, 1)


def test_a_process_of_its_own_takes_options_with_keys() -> None:
    options = BrazeOptions(
        rest_keys=(RestKey(key="k1"), RestKey(name="second", key="k2")), cohort_api=CohortApi(partner="p")
    )
    with BrazeEmulator(options, is_process=True) as braze:
        assert track(braze, attributes=[attributes(n=1)], headers={"Authorization": "Bearer k2"}).status == 201
        assert braze.requests()[0]["credential"] == "second"
        assert cohort(braze, partner="p", cohort_changes=[]).status == 201


def test_two_keys_must_differ() -> None:
    with pytest.raises(ValidationError, match="two REST keys have the same key or name"):
        BrazeOptions(rest_keys=(RestKey(key="a"), RestKey(name="b", key="a")))
