"""What the emulated mParticle answers, and what it holds behind its 202s."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from streams.emulators.mparticle.options import Input, Limits, MParticleOptions
from streams.testing.emulators import MParticleEmulator
from tests.emulators.sender import DAY_MS, NOON_MS, Received, basic, batch, custom_event, post_batches, send

EVENTS, BULK, HISTORICAL = "/v2/events", "/v2/bulkevents", "/v2/bulkevents/historical"
HOUR_MS = 3_600_000


def emulator_with(**limits: Any) -> MParticleEmulator:
    return MParticleEmulator(MParticleOptions(limits=Limits(**limits)))


def message(answer: Received) -> str:
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    (error,) = answer.json()["errors"]
    assert error["code"] == "BAD_REQUEST"
    return str(error["message"])


@pytest.mark.parametrize("prefix", ["", "/s2s"])
@pytest.mark.parametrize("path", [EVENTS, BULK, HISTORICAL])
def test_what_is_accepted_gets_an_empty_202_that_tells_the_rate_in_use(
    mparticle: MParticleEmulator, prefix: str, path: str
) -> None:
    answer = post_batches(mparticle, batch() if path == EVENTS else [batch()], path=prefix + path)
    assert (answer.status, answer.body) == (202, b"")
    assert answer.headers["X-mp-rate-limit-percentage-used"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer ios-key"}, 401),
        ({"Authorization": "Basic not-base-64"}, 401),
        (basic("unknown", "ios-secret"), 403),
        (basic("ios-key", "wrong"), 403),
        (basic("ios-key", "android-secret"), 403),
        (basic("ios-key", "ios-secret"), 202),
    ],
)
def test_a_missing_header_is_unauthorised_and_a_wrong_pair_forbidden(
    mparticle: MParticleEmulator, headers: dict[str, str], status: int
) -> None:
    answer = send(mparticle.base_url, BULK, json.dumps([batch()]).encode(), headers)
    assert (answer.status, answer.body) == (status, b"")
    assert len(mparticle.rows()) == (1 if status == 202 else 0)


def test_another_path_is_not_found_and_another_method_not_allowed(mparticle: MParticleEmulator) -> None:
    assert post_batches(mparticle, [], path="/v1/events").status == 404
    assert send(mparticle.base_url, BULK, b"", {}, method="GET").status == 405


REFUSED: dict[str, tuple[Any, str]] = {
    "no event type": (
        batch(events=[{"data": {}}]),
        'Required event field "event_type" is missing or empty.',
    ),
    "an empty event type": (
        batch(events=[{"event_type": "", "data": {}}]),
        'Required event field "event_type" is missing or empty.',
    ),
    "no event name": (
        batch(events=[{"event_type": "custom_event", "data": {"custom_event_type": "other"}}]),
        'Required event field "event_name" is missing or empty.',
    ),
    "an empty event name": (
        batch(events=[custom_event(event_name="")]),
        'Required event field "event_name" is missing or empty.',
    ),
    "no data": (
        batch(events=[{"event_type": "uninstall"}]),
        'Required event field "data" is missing or empty.',
    ),
    "push_reaction": (
        batch(events=[{"event_type": "push_reaction", "data": {}}]),
        'Field "events[0].event_type" must be one of ',
    ),
    "a custom event type of none": (
        batch(events=[custom_event(custom_event_type="attribution")]),
        'Field "events[0].data.custom_event_type" must be one of ',
    ),
    "a nested attribute": (
        batch(events=[custom_event(custom_attributes={"cart": {"a": 1}})]),
        'Field "events[0].data.custom_attributes.cart" must be a string, a number, a boolean or null.',
    ),
    "a list as attribute": (
        batch(events=[custom_event(custom_attributes={"reasons": ["a"]})]),
        'Field "events[0].data.custom_attributes.reasons" must be a string, a number, a boolean or null.',
    ),
    "a time as text": (
        batch(events=[custom_event(timestamp_unixtime_ms="1")]),
        'Field "events[0].data.timestamp_unixtime_ms" must be an integer or null.',
    ),
    "a field beside data": (
        batch(events=[custom_event() | {"name": "x"}]),
        'Field "events[0].name" is not a known field.',
    ),
    "a platform in lower case": (
        batch(device_info={"platform": "ios"}),
        'Field "device_info.platform" must be one of ',
    ),
    "a vendor id that is no UUID": (
        batch(device_info={"ios_idfv": "abc"}),
        'Field "device_info.ios_idfv" must be a UUID or null.',
    ),
    "an identity of none": (
        batch(user_identities={"braze_id": "x"}),
        'Field "user_identities.braze_id" is not a known field.',
    ),
    "a nested user attribute": (
        batch(user_attributes={"a": {}}),
        'Field "user_attributes.a" must be a string, a number, a boolean or null.',
    ),
    "another environment": (batch(environment="staging"), 'Field "environment" must be one of '),
    "an unknown field": (batch(sdk="x"), 'Field "sdk" is not a known field.'),
    "a price as text": (
        batch(
            events=[
                {
                    "event_type": "commerce_event",
                    "data": {"product_action": {"action": "purchase", "products": [{"price": "1"}]}},
                }
            ]
        ),
        'Field "events[0].data.product_action.products[0].price" must be a number or null.',
    ),
    "no product action": (
        batch(events=[{"event_type": "commerce_event", "data": {"product_action": {}}}]),
        'Required field "events[0].data.product_action.action" is missing or empty.',
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_batch_sent_alone_is_refused_in_words(mparticle: MParticleEmulator, case: str) -> None:
    content, expected = REFUSED[case]
    assert message(post_batches(mparticle, content, path=EVENTS)).startswith(expected)
    assert (mparticle.rows(), mparticle.dropped()) == ([], [])


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_batch_among_good_ones_vanishes_behind_a_202(mparticle: MParticleEmulator, case: str) -> None:
    content, expected = REFUSED[case]
    answer = post_batches(mparticle, [batch(8), content | {"source_request_id": "bad"}, batch(9)])
    assert answer.status == 202
    assert [each["source_request_id"] for each in mparticle.unique()] == ["request-8", "request-9"]
    (dropped,) = mparticle.dropped()
    assert (dropped["feed"], dropped["source_request_id"]) == ("ios", "bad")
    assert dropped["reason"].startswith(expected)


def test_a_bulk_of_nothing_but_bad_batches_is_refused(mparticle: MParticleEmulator) -> None:
    answer = post_batches(mparticle, [batch(environment="x"), 7])
    assert message(answer).startswith('Field "environment"')
    assert mparticle.dropped() == []


TAKEN: dict[str, Any] = {
    "nothing at all": {},
    "Braze's spelling": batch(user_identities={"customerid": "user-1"}, schema_version=2),
    "uninstall": batch(events=[{"event_type": "uninstall", "data": {"timestamp_unixtime_ms": 1}}]),
    "nulls": batch(device_info={"ios_idfv": None}, events=[custom_event(custom_attributes={"a": None})]),
    "unknown fields of data": batch(events=[custom_event(anything=[1])]),
    "lists as user attributes": batch(user_attributes={"$mobile": "+1", "tags": ["a", 1, True]}),
    "whole numbers as floats": batch(timestamp_unixtime_ms=1.0),
    "no events": batch(events=None),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_batch_that_the_schema_allows_is_taken(mparticle: MParticleEmulator, case: str) -> None:
    assert post_batches(mparticle, TAKEN[case], path=EVENTS).status == 202
    assert len(mparticle.unique()) == 1


def test_customerid_is_stored_as_customer_id(mparticle: MParticleEmulator) -> None:
    post_batches(mparticle, [TAKEN["Braze's spelling"]])
    stored = mparticle.unique()[0]
    assert stored["user_identities"] == {"customer_id": "user-1"}
    assert "schema_version" not in stored


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (BULK, b"[{", "Request body is not valid JSON."),
        (BULK, b'["\xff"]', "Request body is not valid JSON."),
        (BULK, b"{}", "Request body must be an array of batches."),
        (EVENTS, b"[]", "Request body must be one batch."),
        (EVENTS, b"7", "Request body must be one batch."),
        (BULK, b"[" * 101 + b"]" * 101, "Request body is nested deeper than 100 levels."),
    ],
)
def test_a_body_of_another_shape_is_refused(
    mparticle: MParticleEmulator, path: str, body: bytes, expected: str
) -> None:
    assert message(post_batches(mparticle, body, path=path)) == expected


def test_compression_is_refused_unless_it_is_allowed() -> None:
    body = gzip.compress(json.dumps([batch()]).encode())
    headers = {"Content-Encoding": "gzip"}
    with MParticleEmulator() as emulator:
        assert message(post_batches(emulator, body, headers=headers)) == "Content-Encoding is not supported."
    with MParticleEmulator(MParticleOptions(gzip=True)) as emulator:
        assert post_batches(emulator, body, headers=headers).status == 202


def test_a_request_holds_100_batches_and_less_than_256_kilobytes(mparticle: MParticleEmulator) -> None:
    assert post_batches(mparticle, [batch(number) for number in range(100)]).status == 202
    assert "100 batches" in message(post_batches(mparticle, [batch(number) for number in range(101)]))
    text = json.dumps([batch(1)]).encode()
    assert post_batches(mparticle, text.ljust(255_999)).status == 202
    answer = post_batches(mparticle, text.ljust(256_000))
    assert (answer.status, answer.body) == (413, b"")


def sized(size: int) -> dict[str, Any]:
    """A batch of so many bytes, filled up by short user attributes."""
    attributes = {f"attribute-{number}": ["x" * 500] for number in range(90)} | {"tags": [""]}
    frame = len(json.dumps(batch(user_attributes=attributes), separators=(",", ":")))
    attributes["tags"] = ["x" * (size - frame)]
    return batch(user_attributes=attributes)


def test_a_batch_holds_128_kilobytes(mparticle: MParticleEmulator) -> None:
    assert post_batches(mparticle, sized(128_000), path=EVENTS).status == 202
    assert message(post_batches(mparticle, sized(128_001), path=EVENTS)) == "Batch must not exceed 128000 bytes."


def test_a_request_id_is_taken_once_per_key_and_for_30_days(mparticle: MParticleEmulator) -> None:
    mparticle.set_now(NOON_MS)
    for feed in ("ios", "ios", "android"):
        assert post_batches(mparticle, [batch(1)], feed=feed).status == 202
    assert [(row["feed"], row["duplicate"]) for row in mparticle.rows()] == [
        ("ios", False),
        ("ios", True),
        ("android", False),
    ]
    mparticle.set_now(NOON_MS + 30 * DAY_MS - 1)
    post_batches(mparticle, [batch(1)])
    assert len(mparticle.unique()) == 2
    mparticle.set_now(NOON_MS + 30 * DAY_MS)
    post_batches(mparticle, [batch(1)])
    assert len(mparticle.unique()) == 3


def test_batches_without_request_id_are_never_duplicates(mparticle: MParticleEmulator) -> None:
    content = {name: value for name, value in batch(1).items() if name != "source_request_id"}
    post_batches(mparticle, [content, content])
    assert len(mparticle.unique()) == 2
    assert mparticle.repeated_messages() == [{"source_message_id": "message-1", "count": 2}]


def test_unknown_fields_of_an_event_are_kept_however_they_nest(mparticle: MParticleEmulator) -> None:
    nested: dict[str, Any] = {}
    for _ in range(90):
        nested = {"a": nested}
    assert post_batches(mparticle, batch(events=[custom_event(extra=nested)]), path=EVENTS).status == 202
    assert mparticle.unique()[0]["events"][0]["data"]["extra"] == nested


def test_what_is_unique_is_batches_and_rows_say_where_they_came_in(mparticle: MParticleEmulator) -> None:
    for feed in ("ios", "ios", "web"):
        post_batches(mparticle, [batch(1)], feed=feed)
    assert mparticle.unique() == [batch(1), batch(1)]
    assert [(row["feed"], row["duplicate"]) for row in mparticle.rows()] == [
        ("ios", False),
        ("ios", True),
        ("web", False),
    ]


def test_a_refused_batch_that_is_sent_again_is_told(mparticle: MParticleEmulator) -> None:
    bad = batch(1, environment="x")
    for path in (EVENTS, EVENTS):
        post_batches(mparticle, bad, path=path)
    assert mparticle.retried_400() == [{"source_request_id": "request-1"}]


def test_a_refused_bulk_may_be_sent_again_in_parts(mparticle: MParticleEmulator) -> None:
    bad = [batch(1, environment="x"), batch(2, environment="x")]
    post_batches(mparticle, bad)
    post_batches(mparticle, bad[:1])
    assert mparticle.retried_400() == []


def test_each_batch_knows_its_feed_and_whether_its_platform_is_anothers(mparticle: MParticleEmulator) -> None:
    post_batches(mparticle, [batch(1, device_info={"platform": "iOS"})], feed="ios")
    post_batches(mparticle, [batch(2, device_info={"platform": "Android"})], feed="ios")
    post_batches(mparticle, [batch(3, device_info={"platform": "Android"})], feed="unbound")
    assert [(row["feed"], row["platform_mismatch"]) for row in mparticle.rows()] == [
        ("ios", False),
        ("ios", True),
        ("unbound", False),
    ]


def test_what_is_too_long_is_cut_or_dropped_without_a_word(mparticle: MParticleEmulator) -> None:
    mparticle.set_now(NOON_MS)
    attributes = {"a" * 300: 1, "long": "x" * 4_097, "fits": "x" * 4_096}
    content = custom_event(event_name="n" * 257, custom_attributes=attributes, timestamp_unixtime_ms=None)
    many = custom_event(custom_attributes={str(number): 1 for number in range(101)})
    assert post_batches(mparticle, [batch(1, events=[content, many], environment="development")]).status == 202
    (row,) = mparticle.rows()
    first, second = (event["data"] for event in row["batch"]["events"])
    assert first["event_name"] == "n" * 256
    assert first["custom_attributes"] == {"a" * 256: 1, "fits": "x" * 4_096}
    assert first["timestamp_unixtime_ms"] == NOON_MS
    assert second["custom_attributes"] == {}
    assert row["losses"] == [
        "event_name cut",
        "custom_attributes: a name cut",
        "custom_attributes.long dropped: too long",
        "custom_attributes dropped: more than 100",
    ]


def test_a_workspace_learns_a_limited_number_of_event_names() -> None:
    inputs = (
        Input(key="a", secret="a", feed="ios", workspace="one"),
        Input(key="b", secret="b", feed="android", workspace="one"),
        Input(key="c", secret="c", feed="web", workspace="two"),
    )
    with MParticleEmulator(MParticleOptions(inputs=inputs, limits=Limits(event_names_max=2))) as emulator:
        for number, feed in enumerate(("ios", "android", "ios", "web", "android")):
            name = ("First", "Second", "Third", "Third", "First")[number]
            post_batches(emulator, [batch(number, events=[custom_event(event_name=name)])], feed=feed)
        assert [len(each["events"]) for each in emulator.unique()] == [1, 1, 0, 1, 1]


def test_strict_mode_turns_every_silent_loss_into_a_refusal() -> None:
    with MParticleEmulator(MParticleOptions(strict=True)) as emulator:
        assert message(post_batches(emulator, [batch(1), batch(2, environment="x")])).startswith('Field "environment"')
        long = batch(3, events=[custom_event(event_name="n" * 257)])
        assert message(post_batches(emulator, [batch(1), long])) == "Would be lost in silence: event_name cut."
        assert "historical event without" in message(
            post_batches(emulator, [batch(4, events=[custom_event(timestamp_unixtime_ms=None)])], path=HISTORICAL)
        )
        assert emulator.rows() == []


def test_the_historical_path_drops_what_is_not_historical(mparticle: MParticleEmulator) -> None:
    mparticle.set_now(NOON_MS)

    def at(number: int, age_ms: int) -> dict[str, Any]:
        return batch(number, events=[custom_event(timestamp_unixtime_ms=NOON_MS - age_ms)])

    content = [
        at(1, 72 * HOUR_MS),
        at(2, 72 * HOUR_MS - 1),
        batch(3, events=[]),
        batch(4, events=[custom_event(timestamp_unixtime_ms=None)]),
    ]
    assert post_batches(mparticle, content, path=HISTORICAL).status == 202
    assert [each["source_request_id"] for each in mparticle.unique()] == ["request-1"]
    assert [(each["source_request_id"], each["reason"]) for each in mparticle.dropped()] == [
        ("request-2", "historical event less than 72 hours old"),
        ("request-3", "historical batch without events"),
        ("request-4", "historical event without timestamp_unixtime_ms"),
    ]


def test_batches_over_the_rate_are_told_to_wait_and_the_bucket_fills_again() -> None:
    with emulator_with(batches_per_second=10.0) as emulator:
        emulator.set_now(NOON_MS)
        answer = post_batches(emulator, [batch(number) for number in range(9)])
        assert (answer.status, answer.headers["X-mp-rate-limit-percentage-used"]) == (202, "90")
        assert post_batches(emulator, [batch(number) for number in range(10, 22)]).status == 202
        answer = post_batches(emulator, [batch(30)])
        assert (answer.status, answer.body) == (429, b"")
        assert answer.headers["X-mp-rate-limit-exceeded"] == '"account"'
        assert answer.headers["Retry-After"] == "2"
        assert post_batches(emulator, [batch(30)], feed="android").status == 429
        emulator.set_now(NOON_MS + 1_100)
        assert post_batches(emulator, [batch(30)]).status == 429
        emulator.set_now(NOON_MS + 1_200)
        assert post_batches(emulator, [batch(30)]).status == 202


def test_each_feed_may_have_a_rate_of_its_own() -> None:
    with emulator_with(batches_per_second=1.0, rate_scope="feed") as emulator:
        emulator.set_now(NOON_MS)
        assert post_batches(emulator, [batch(1)]).status == 202
        answer = post_batches(emulator, [batch(2)])
        assert (answer.status, answer.headers["X-mp-rate-limit-exceeded"]) == (429, '"feed"')
        assert post_batches(emulator, [batch(2)], feed="android").status == 202


def test_a_429_may_leave_out_retry_after() -> None:
    options = MParticleOptions(limits=Limits(batches_per_second=1.0), retry_after=False)
    with MParticleEmulator(options) as emulator:
        emulator.set_now(NOON_MS)
        post_batches(emulator, [batch(1)])
        answer = post_batches(emulator, [batch(2)])
        assert answer.status == 429
        assert "Retry-After" not in answer.headers


def test_discard_counts_events_and_looks_at_nothing_but_the_keys() -> None:
    with MParticleEmulator(MParticleOptions(keep="discard")) as emulator:
        assert post_batches(emulator, [batch(1), batch(2, environment="x")]).status == 202
        assert post_batches(emulator, [batch(1)], headers=basic("ios-key", "x")).status == 403
        totals = emulator.totals()
        assert (totals["accepted"], emulator.rows(), emulator.requests()) == (2, [], [])
