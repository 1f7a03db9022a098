"""Dead letters carry their reason in headers and everything foreign as it was."""

from __future__ import annotations

import json
from dataclasses import replace

from streams.delivery.letter import (
    Origin,
    Reason,
    Verdict,
    fingerprint,
    letter_headers,
    origin_of,
    returned_headers,
    verdict_of,
)

ORIGIN = Origin("currents.users.messages.email.Open", 3, 991)
REASON = Reason(
    cause="rejected",
    status=400,
    detail="'properties.time' is invalid: must not be in the future",
    scope="default",
    event_type="users.messages.email.Open",
    attempts=2,
    parked_at_ms=1_790_000_000_000,
)


def test_headers_say_cause_verdict_and_the_currents_records_place() -> None:
    headers = dict(letter_headers([("streams-origin", ORIGIN.to_header())], ORIGIN, REASON))
    assert headers["streams-cause"] == b"rejected"
    assert headers["__connect.errors.topic"] == b"currents.users.messages.email.Open"
    assert headers["__connect.errors.partition"] == b"3"
    assert headers["__connect.errors.offset"] == b"991"
    assert headers["__connect.errors.exception.message"] == REASON.detail.encode()
    assert headers["streams-origin"] == b"currents.users.messages.email.Open/3/991"
    assert json.loads(headers["streams-verdict"] or b"") == {
        "status": 400,
        "detail": REASON.detail,
        "scope": "default",
        "parked_at": 1_790_000_000_000,
        "attempts": 2,
        "replays": 0,
        "job": None,
    }


def test_foreign_headers_stay_in_order_with_duplicates_and_nulls() -> None:
    foreign = [("trace", b"1"), ("trace", b"2"), ("empty", None), ("bytes", b"\xff\x00")]
    assert letter_headers(foreign, ORIGIN, REASON)[:4] == foreign


def test_parking_again_replaces_our_headers_and_appends_none_twice() -> None:
    once = letter_headers([("trace", b"1")], ORIGIN, REASON)
    again = letter_headers(once, ORIGIN, replace(REASON, cause="gave-up", status=503))
    names = [name for name, _ in again]
    assert len(names) == len(set(names))
    assert dict(again)["streams-cause"] == b"gave-up"
    assert dict(again)["trace"] == b"1"


def test_a_letter_that_comes_back_keeps_the_time_of_its_first_parking() -> None:
    first_ms, headers = REASON.parked_at_ms, letter_headers([], ORIGIN, REASON)
    for hours, job in ((5, "3f2b9c04d1aa"), (9, None)):  # a replay, then a redrive
        returned = returned_headers(headers, job=job)
        headers = letter_headers(returned, ORIGIN, replace(REASON, parked_at_ms=first_ms + hours * 3_600_000))
        verdict = verdict_of(headers) or Verdict()
        assert (verdict.since_ms, verdict.parked_at_ms) == (first_ms, first_ms + hours * 3_600_000)


def test_letters_that_differ_in_values_alone_share_a_fingerprint() -> None:
    one = replace(REASON, detail="value 'alice' of 12 bytes in 3f2b1c9e-0000-4a4a-9c9c-1234567890ab")
    other = replace(REASON, detail="value 'bob' of 7 bytes in 0f2b1c9e-1111-4a4a-9c9c-1234567890ab")
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(replace(one, status=413))
    assert fingerprint(one) != fingerprint(replace(one, event_type="users.messages.email.Click"))


def test_an_origin_that_is_no_place_is_where_the_record_was_read() -> None:
    here = Origin("streams.connector.a", 0, 5)
    assert origin_of([("streams-origin", b"nonsense")], here) == here
    assert origin_of([("streams-origin", b"t/1/2")], here) == Origin("t", 1, 2)
    assert origin_of([], here) == here
