"""What each of Braze's answers means, row by row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.delivery.contract import (
    Delivered,
    Layout,
    Misconfigured,
    Refused,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations.braze.verdicts import verdicts

NO_VALID_DATA = "Valid data must be provided in the attributes, events, or purchases fields."
ATTRIBUTES: Layout = {("attributes", 0): (0,), ("attributes", 1): (1, 2)}
MIXED: Layout = {**ATTRIBUTES, ("events", 0): (3,)}
SECRET = "rest-key-of-a-workspace"


def told(
    status: int,
    content: Any = None,
    layout: Layout = MIXED,
    *,
    url: str = "https://rest.iad-01.braze.com/users/track",
    **headers: str,
) -> Verdict:
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(status, {"content-type": "application/json", **named}, body)
    return verdicts([SECRET]).verdict(response, Request("POST", url, {}, b"", layout), 4)


def error(array: Any, index: Any, text: Any = "name is required") -> dict[str, Any]:
    return {"type": text, "input_array": array, "index": index}


def success(*errors: Any) -> dict[str, Any]:
    return {"message": "success", **({"errors": list(errors)} if errors else {})}


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, success()),
        (201, {"message": "success", "attributes_processed": 2, "errors": []}),
        (201, {"attributes_processed": 2}),
        (202, {"message": "queued"}),
    ],
)
def test_a_success_without_errors_is_delivered(status: int, content: Any) -> None:
    assert told(status, content) == Delivered()


@pytest.mark.parametrize("status", [200, 201])
def test_objects_that_are_named_are_refused_and_records_of_a_merged_one_go_again_apart(status: int) -> None:
    assert told(status, success(error("events", 0))) == Refused({3: "name is required"})
    assert told(status, success(error("attributes", 1))) == Refused({}, frozenset({1, 2}))
    both = success(error("attributes", 1), error("attributes", 0, "EMAIL_BAD_FORMAT"))
    assert told(status, both) == Refused({0: "EMAIL_BAD_FORMAT"}, frozenset({1, 2}))


@pytest.mark.parametrize(
    "bad",
    [
        "some text", {"type": "x"}, error("events", 9), error("nothing", 0), error("events", "0"),
        error("events", None), error("events", True), error(["events"], 0), error("events", {}), None,
        error("events", -1),
    ],
)  # fmt: skip
def test_an_error_that_does_not_say_which_object_it_means_halves_attributes_and_never_sends_events_again(
    bad: Any,
) -> None:
    assert told(201, success(bad), ATTRIBUTES) == Undetermined("success", 201)
    assert told(201, success(bad), MIXED) == Delivered(unaccounted=1)
    assert told(201, success(error("events", 0), bad), MIXED) == Delivered(unaccounted=2)


def test_errors_that_are_no_list_are_no_use_either() -> None:
    assert told(201, {"message": "success", "errors": "some"}, ATTRIBUTES) == Undetermined("success", 201)


def test_a_400_that_names_every_object_refuses_them_and_any_other_is_halved() -> None:
    every = [error("attributes", 0), error("attributes", 1), error("events", 0)]
    assert told(400, {"message": NO_VALID_DATA, "errors": every}) == Refused(
        {0: "name is required", 3: "name is required"}, frozenset({1, 2})
    )
    undetermined = Undetermined(NO_VALID_DATA, 400)
    assert told(400, {"message": NO_VALID_DATA, "errors": every[:2]}) == undetermined
    assert told(400, {"message": NO_VALID_DATA}) == undetermined
    assert told(400, b"") == Undetermined("status 400", 400)
    assert told(413, b"") == Undetermined("status 413", 413)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_told_with_what_else_it_may_be(status: int) -> None:
    assert told(status, {"message": "Invalid API Key"}) == Unauthorised(
        status, "Invalid API Key (a wrong instance answers the same)"
    )


@pytest.mark.parametrize("status", [204 + 100, 402, 404, 405, 407, 410, 415, 422])
def test_what_no_retry_fixes_is_the_configuration(status: int) -> None:
    assert isinstance(told(status, {"message": "Not Found"}), Misconfigured)


@pytest.mark.parametrize("status", [200, 201, 202, 401, 403])
def test_html_is_a_proxys(status: int) -> None:
    assert isinstance(told(status, b"<html>Welcome</html>", content_type="text/html"), Misconfigured)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"ok", b'{"status":"ok"}'])
def test_a_success_without_brazes_json_is_not_brazes(content: bytes) -> None:
    assert isinstance(told(201, content), Misconfigured)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_an_answer_that_says_nothing_is_asked_for_again(status: int) -> None:
    assert told(status, b"<html>", retry_after="7") == Retry(
        f"status {status}", "7", is_server_error=status >= 500, status=status
    )


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x_ratelimit_retry_after": "12", "x_ratelimit_reset": "1790000000", "retry_after": "1"}, "12"),
        ({"x_ratelimit_reset": "1790000000", "retry_after": "1"}, "1790000000"),
        ({"x_ratelimit_reset": "42"}, "42"),
        ({"x_ratelimit_reset": "soon", "retry_after": "1"}, "1"),
        ({}, None),
    ],
)
def test_a_429_waits_as_long_as_braze_says_in_whichever_of_its_headers(
    headers: dict[str, str], wait: str | None
) -> None:
    found = told(429, {"message": "Rate limit exceeded"}, MIXED, **headers)
    assert found == Retry("status 429", wait, is_throttling=True, status=429)


def test_the_rate_that_is_left_steers() -> None:
    assert told(201, success(), x_ratelimit_limit="100", x_ratelimit_remaining="25") == Delivered(0.75)
    assert told(201, success(), x_ratelimit_limit="0", x_ratelimit_remaining="25") == Delivered()


def test_the_cohort_import_refuses_as_a_whole() -> None:
    url = "https://rest.iad-01.braze.com/partners/mixpanel/cohorts/users"
    assert told(201, success(), {}, url=url) == Delivered()
    for nothing in (b"", b" \n", b"{}"):
        assert isinstance(told(201, nothing, {}, url=url), Misconfigured), "nobody said that it was imported"
    assert told(400, {"message": "cohort_id must be a string"}, {}, url=url) == Undetermined(
        "cohort_id must be a string", 400
    )
    assert isinstance(told(401, {"message": "Invalid client secret"}, {}, url=url), Unauthorised)


def test_no_detail_shows_a_key_an_address_or_a_value() -> None:
    text = f"Invalid API Key: {SECRET}, 'ann@example.com' is 'gold', ann@example.com, +49 151 123456"
    found = told(401, {"message": text})
    assert isinstance(found, Unauthorised)
    refused = told(201, success(error("events", 0, text)))
    assert isinstance(refused, Refused)
    for detail in (found.detail, refused.details[3]):
        assert not any(word in detail for word in (SECRET, "ann@", "gold", "151"))
