"""What each answer of each destination means: the contract's table, row by row."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from streams.delivery.contract import (
    Delivered,
    Destination,
    Misconfigured,
    Refused,
    Request,
    Response,
    Retry,
    Unauthorised,
    Undetermined,
    Verdict,
)
from streams.destinations import REGISTRY

TOKEN = "0123456789abcdef0123456789abcdef"
SECRET = "the-planted-api-secret"
MIXPANEL = REGISTRY["mixpanel"]
MPARTICLE = REGISTRY["mparticle"]


def mixpanel(**settings: Any) -> Destination:
    values = {"project_token": TOKEN, "auth": {"api_secret": SECRET}, **settings}
    return MIXPANEL.build(MIXPANEL.settings.model_validate(values))


def mparticle() -> Destination:
    feeds = {"unbound": {"key": "key-of-feed", "secret": SECRET}}
    return MPARTICLE.build(MPARTICLE.settings.model_validate({"feeds": feeds}))


def judged(destination: Destination, response: Response, records: int) -> Verdict:
    """The verdict on an answer to a request with so many records."""
    return destination.interpret(response, Request("POST", "http://vendor.test", {}, b""), records)


def says(content: Any, status: int = 400, **headers: str) -> Response:
    return Response(status, {"content-type": "application/json", **headers}, json.dumps(content).encode())


def failed(*records: Any, imported: int) -> Response:
    return says(
        {
            "code": 400,
            "error": "some data points in the request failed validation",
            "status": "Bad Request",
            "num_records_imported": imported,
            "failed_records": list(records),
        }
    )


def record(index: Any, key: str = "insert_id") -> dict[str, Any]:
    message = "'properties.time' is invalid: must not be in the future"
    return {"index": index, key: "3f2b1c9e-0000-4a4a-9c9c-1234567890ab", "field": "properties.time", "message": message}


TIME_DETAIL = "properties.time is invalid: must not be in the future"
HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (says({"code": 200, "num_records_imported": 3, "status": "OK"}, 200), Delivered()),
        (says({"code": 200, "error": None, "num_records_imported": 3, "status": 1}, 200), Delivered()),
        (failed(record(1), imported=2), Refused({1: TIME_DETAIL})),
        (failed(record(0, "$insert_id"), record(2), imported=1), Refused({0: TIME_DETAIL, 2: TIME_DETAIL})),
    ],
)
def test_mixpanel_accounts_for_every_record(response: Response, expected: Verdict) -> None:
    assert judged(mixpanel(), response, 3) == expected


@pytest.mark.parametrize(
    "response",
    [
        says({"code": 200, "num_records_imported": 2, "status": "OK"}, 200),
        says({"code": 200, "num_records_imported": 4, "status": "OK"}, 200),
        says({"code": 200, "num_records_imported": True, "status": "OK"}, 200),
        says({"code": 200, "status": "OK"}, 200),
        says({}, 200),
        Response(200, {}, b""),
        Response(204, {}, b"  "),
        says({"code": 200, "error": "some data points failed", "num_records_imported": 0, "status": 0}, 200),
        failed(record(1), imported=3),
        failed(record(1), record(1), imported=1),
        failed(record(3), imported=2),
        failed(record(-1), imported=2),
        failed(record("1"), imported=2),
        failed(record(None), imported=2),
        failed("identity events are not allowed", imported=0),
        failed(imported=3),
        says({"code": 400, "error": "Bad Request", "status": "Bad Request"}),
        Response(400, {}, b"not json"),
        says({"code": 413, "error": "request exceeds max limit of 2097152 bytes"}, 413),
        Response(413, HTML, b"<html>too large</html>"),
    ],
)
def test_mixpanel_leaves_some_record_undetermined(response: Response) -> None:
    assert isinstance(judged(mixpanel(), response, 3), Undetermined)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 524])
def test_both_destinations_at_fault_are_tried_again(status: int) -> None:
    response = Response(status, {"retry-after": "12", **HTML}, b"<html>oops</html>")
    for destination in (mixpanel(), mparticle()):
        verdict = judged(destination, response, 3)
        assert isinstance(verdict, Retry)
        assert (verdict.retry_after, verdict.status) == ("12", status)
        assert verdict.is_throttling == (status == 429)
        assert verdict.is_server_error == (status >= 500)


def test_a_2xx_of_mixpanel_that_is_cut_off_is_tried_again() -> None:
    cut = Response(200, {"content-type": "application/json"}, b'{"code":200,"num_records_imp')
    assert isinstance(judged(mixpanel(), cut, 3), Retry)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b'{"code":401,"error":"Invalid credentials","status":"Unauthorized"}'])
def test_refused_credentials_are_the_scopes(status: int, body: bytes) -> None:
    for destination in (mixpanel(), mparticle()):
        verdict = judged(destination, Response(status, {}, body), 3)
        assert isinstance(verdict, Unauthorised)
        assert verdict.status == status


@pytest.mark.parametrize(
    "response",
    [
        *(Response(status, {}, b"") for status in (301, 302, 307, 402, 404, 405, 407, 410, 415, 418, 422, 451)),
        Response(401, HTML, b"<html>sign in</html>"),
        Response(403, {}, b"  <!DOCTYPE html><p>blocked"),
        Response(200, HTML, b"<html>welcome</html>"),
    ],
)
def test_a_wrong_address_or_a_proxy_suspends_either_connector(response: Response) -> None:
    for destination in (mixpanel(), mparticle()):
        assert isinstance(judged(destination, response, 3), Misconfigured)


@pytest.mark.parametrize("body", [b"ok", b"1", b"[]", b'"fine"', b'{"message":"hello"}'])
def test_a_2xx_that_is_not_mixpanels_suspends(body: bytes) -> None:
    assert isinstance(judged(mixpanel(), Response(200, {}, body), 1), Misconfigured)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 299])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"<html>welcome</html>"),
        ("text/html", b""),
        ("", b" <!DOCTYPE html>"),
        ("application/json", b"<html>"),
        ("text/plain", b"OK"),
        ("text/plain", b'{"code":200,"num_records_imported":3,"status":"OK"}'),
        ("application/xml", b"<?xml version='1.0'?><ok/>"),
        ("application/json", b'{"message":"hello"}'),
        ("", b"welcome"),
    ],
)
def test_a_2xx_in_another_form_than_the_vendors_suspends_either_connector(
    status: int, content_type: str, body: bytes
) -> None:
    response = Response(status, {"content-type": content_type} if content_type else {}, body)
    for destination in (mixpanel(), mparticle()):
        assert isinstance(judged(destination, response, 3), Misconfigured)


@pytest.mark.parametrize("status", [200, 201, 204, 206])
def test_a_2xx_other_than_202_is_not_mparticles(status: int) -> None:
    assert isinstance(judged(mparticle(), Response(status, {}, b""), 1), Misconfigured)


@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", ""])
@pytest.mark.parametrize("body", [b'{"message":"hello"}', b"[]", b"welcome"])
def test_a_body_with_mparticles_202_is_not_mparticles_though_its_type_may_be(content_type: str, body: bytes) -> None:
    """The rows that all vendors share say nothing of it: this guard is mParticle's alone."""
    response = Response(202, {"content-type": content_type} if content_type else {}, body)
    verdict = judged(mparticle(), response, 3)
    assert verdict == Misconfigured("status 202 with a body that is not mParticle's: did a proxy answer?")


def test_mparticles_202_delivers_and_tells_the_rate_in_use() -> None:
    response = Response(202, {"x-mp-rate-limit-percentage-used": "92"}, b"")
    assert judged(mparticle(), response, 100) == Delivered(0.92)
    assert judged(mparticle(), Response(202, {}, b""), 100) == Delivered(None)


def test_mparticles_400_does_not_say_which_batch() -> None:
    body = {"errors": [{"code": "BAD_REQUEST", "message": 'Required event field "event_type" is missing or empty.'}]}
    assert judged(mparticle(), says(body), 2) == Undetermined(
        "Required event field event_type is missing or empty.", 400
    )
    assert isinstance(judged(mparticle(), Response(413, {}, b""), 2), Undetermined)


@pytest.mark.parametrize("destination", [mixpanel(), mparticle()])
def test_no_detail_holds_a_secret_or_a_value_and_none_is_longer_than_500_bytes(destination: Destination) -> None:
    text = f"token {TOKEN} secret {SECRET} of 'alice smith' at alice@example.com " + "é" * 2000
    for status in (400, 401, 404, 413, 422):
        for content in ({"error": text}, {"errors": [{"message": text}]}, {"error": "x", "failed_records": [text]}):
            verdict = judged(destination, says(content, status), 1)
            detail = getattr(verdict, "detail", "")
            assert detail
            for hidden in (SECRET, "alice", "key-of-feed"):
                assert hidden not in detail
            assert len(detail.encode()) <= 530


@pytest.mark.parametrize("destination", [mixpanel(), mparticle()])
def test_the_same_events_give_the_same_bytes_and_no_secret_shows(destination: Destination) -> None:
    scope = destination.scopes[0]
    requests = [destination.request(scope, [b'{"a":1}', b'{"b":2}']) for _ in range(2)]
    assert requests[0].body == requests[1].body
    if destination.scopes == ("default",):
        assert requests[0].body[4:8] == bytes(4), "gzip's header holds a time"
    assert SECRET not in repr(requests[0])
    assert "Authorization" not in repr(requests[0])
    assert SECRET not in requests[0].url


@pytest.mark.parametrize(
    ("settings", "url", "user"),
    [
        ({}, "https://api.mixpanel.com/import?strict=1", f"{SECRET}:"),
        ({"auth": None, "region": "eu"}, "https://api-eu.mixpanel.com/import?strict=1", f"{TOKEN}:"),
        (
            {"auth": {"service_account": {"username": "robot", "secret": "s", "project_id": "42"}}, "region": "in"},
            "https://api-in.mixpanel.com/import?strict=1&project_id=42",
            "robot:s",
        ),
        ({"base_url": "http://127.0.0.1:8401/"}, "http://127.0.0.1:8401/import?strict=1", f"{SECRET}:"),
    ],
)
def test_mixpanel_is_asked_where_and_as_whom_the_configuration_says(
    settings: dict[str, Any], url: str, user: str
) -> None:
    import base64

    request = mixpanel(**settings).request("default", [b'{"a":1}', b'{"b":2}'])
    assert (request.method, request.url) == ("POST", url)
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode() == user
    assert request.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(request.body)) == [{"a": 1}, {"b": 2}]


def test_mparticle_gets_bulk_requests_of_batches_and_single_ones_alone() -> None:
    bulk = mparticle().request("unbound", [b'{"a":1}', b'{"b":2}'])
    vetting = mparticle().vetting
    assert vetting is not None
    alone = vetting.request("unbound", b'{"a":1}')
    assert (bulk.url, json.loads(bulk.body)) == ("https://s2s.us1.mparticle.com/v2/bulkevents", [{"a": 1}, {"b": 2}])
    assert (alone.url, json.loads(alone.body)) == ("https://s2s.us1.mparticle.com/v2/events", {"a": 1})
    assert "Content-Encoding" not in bulk.headers
    assert bulk.headers["Authorization"].startswith("Basic ")


def test_the_same_keys_for_several_feeds_are_one_scope_named_after_the_first() -> None:
    same, other = {"key": "a", "secret": "b"}, {"key": "c", "secret": "d"}
    feeds = {"unbound": same, "android": other, "ios": same, "web": other}
    destination = MPARTICLE.build(MPARTICLE.settings.model_validate({"feeds": feeds}))
    assert destination.scopes == ("ios", "android")


def test_a_probe_of_mixpanel_is_one_event_of_nobody_that_mixpanel_drops() -> None:
    request = mixpanel().probe("default", "nonce-1", 1_790_000_000_123)
    assert request.url == "https://api.mixpanel.com/import?strict=1"
    assert json.loads(gzip.decompress(request.body)) == [
        {
            "event": "streams probe",
            "properties": {
                "token": TOKEN,
                "distinct_id": "",
                "time": 1_790_000_000_123,
                "$insert_id": "nonce-1",
                "$ignore": True,
                "ip": 0,
            },
        }
    ]


def test_a_probe_of_mparticle_is_one_event_of_an_identity_of_our_own_in_development() -> None:
    request = mparticle().probe("unbound", "nonce-1", 1_790_000_000_123)
    batch = json.loads(request.body)
    assert request.url == "https://s2s.us1.mparticle.com/v2/events"
    assert (batch["environment"], batch["source_request_id"]) == ("development", "nonce-1")
    assert batch["user_identities"] == {"customer_id": "streams-probe"}
    (event,) = batch["events"]
    assert (event["event_type"], event["data"]["event_name"]) == ("custom_event", "streams probe")
    assert event["data"]["timestamp_unixtime_ms"] == 1_790_000_000_123


def test_requests_stay_within_what_each_destination_takes() -> None:
    limits = mixpanel().limits
    assert (limits.batch_records_max, limits.batch_bytes_max, limits.record_bytes_max) == (2_000, 10_000_000, 1_000_000)
    assert (limits.retry_base_seconds, limits.records_per_second, mixpanel().vetting) == (2.0, None, None)
    limits = mparticle().limits
    assert (limits.batch_records_max, limits.record_bytes_max, limits.records_per_second) == (100, 128_000, 270.0)
    assert limits.batch_bytes_max < 256_000
    assert limits.retry_base_seconds == 1.0


@pytest.mark.parametrize("destination", [mixpanel(), mparticle()])
@pytest.mark.parametrize("status", [400, 413])
def test_a_400_or_413_is_halved_whoever_words_it(destination: Destination, status: int) -> None:
    verdict = judged(destination, Response(status, HTML, b"<html>no</html>"), 2)
    assert isinstance(verdict, Undetermined)
    assert verdict.status == status


@pytest.mark.parametrize(
    "body", [b"null", b"[1]", b'{"errors":7}', b'{"errors":["x"]}', b'{"errors":{"a":1}}', b"\xff"]
)
@pytest.mark.parametrize("status", [400, 401, 404, 413])
def test_a_body_of_any_shape_gives_a_verdict(status: int, body: bytes) -> None:
    for destination in (mixpanel(), mparticle()):
        verdict = judged(destination, Response(status, {}, body), 2)
        assert isinstance(verdict, Undetermined | Unauthorised | Misconfigured)
        assert verdict.detail
