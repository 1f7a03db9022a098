"""The emulated mParticle forwards batches and audiences: to a listener over HTTP, with the emulator's clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.testing.emulators import MParticleEmulator
from streams.wayback.entries import Entry
from streams.wayback.reception import receive
from streams.wayback.records import Attributes, Event, Membership
from tests.emulators.listener import Listener
from tests.emulators.sender import NOON_MS, post_batches
from tests.waiting import wait_until

KEY = "key-of-sixteen-characters"
BATCH = {
    "environment": "production",
    "user_identities": {"customer_id": "ann"},
    "user_attributes": {"$FirstName": "Ann"},
    "events": [
        {"event_type": "custom_event", "data": {"event_name": "Order Paid", "custom_event_type": "other",
         "source_message_id": "m-1", "timestamp_unixtime_ms": NOON_MS, "custom_attributes": {"price": "3"}}},
    ],
}  # fmt: skip


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


@pytest.fixture
def vendor(mparticle: MParticleEmulator) -> MParticleEmulator:
    mparticle.set_now(NOON_MS)
    return mparticle


def received(kind: str, body: bytes, **options: Any) -> list[Any]:
    """What the receiver makes of a body."""
    entry: Any = TypeAdapter[Any](Entry).validate_python({"kind": kind, "keys": [KEY], **options})
    reception = receive("data", entry, body, NOON_MS, "r")
    assert reception.status in (200, 202)
    assert reception.taken is not None
    return list(reception.taken.records)


def forwarded(vendor: MParticleEmulator, listener: Listener, count: int = 1) -> list[bytes]:
    assert post_batches(vendor, [BATCH]).status == 202
    wait_until(lambda: len(listener.requests) >= count, "the batch to be forwarded")
    return [heard.body for heard in listener.requests]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("webhook", {}),
        ("webhook", {"send_as_batch": False}),
        ("firehose", {}),
        ("firehose", {"key_setting": "streams_key"}),
    ],
)
def test_an_accepted_batch_is_forwarded_and_the_receiver_reads_it(
    vendor: MParticleEmulator, listener: Listener, kind: Any, options: dict[str, Any]
) -> None:
    vendor.set_output("data", kind, listener.url, KEY, **options)
    (body,) = forwarded(vendor, listener)
    in_body = {name: text for name, text in options.items() if name == "key_setting"}
    assert listener.requests[0].headers["Authorization"] == (None if in_body else KEY)
    records = received("firehose" if kind == "firehose" else "mparticle_events", body, **in_body)
    (event,) = [each for each in records if isinstance(each, Event)]
    assert (event.id, event.name, event.external_user_id, event.time_ms) == ("m-1", "Order Paid", "ann", NOON_MS)
    assert json.loads(event.properties) == {"price": "3"}
    (attributes,) = [each for each in records if isinstance(each, Attributes)]
    assert json.loads(attributes.changes) == {"$FirstName": "Ann"}
    assert KEY not in json.dumps([vendor.call("GET", "outputs"), vendor.outgoing()])


def test_firehose_hears_who_joins_and_leaves_an_audience(vendor: MParticleEmulator, listener: Listener) -> None:
    vendor.set_output("audiences", "firehose", listener.url, KEY)
    vendor.set_output("data", "webhook", listener.url, KEY)
    vendor.set_audience(11036, "Newsletter", ["ann", "bob"])
    vendor.set_audience(11036, "Newsletter", ["bob", "cid"])
    assert [json.loads(heard.body)["type"] for heard in listener.requests] == [
        "audience_subscription_request",
        "audience_membership_change_request",
        "audience_membership_change_request",
    ]
    found = [each for heard in listener.requests for each in received("firehose", heard.body)]
    assert [(each.external_user_id, each.change) for each in found if isinstance(each, Membership)] == [
        ("ann", "add"),
        ("bob", "add"),
        ("cid", "add"),
        ("ann", "remove"),
    ]
    assert {(each.group_id, each.group_name) for each in found} == {("11036", "Newsletter")}


@pytest.mark.parametrize("status", [408, 500, 503])
def test_a_busy_receiver_gets_the_same_request_again_later(
    vendor: MParticleEmulator, listener: Listener, status: int
) -> None:
    vendor.set_output("data", "webhook", listener.url, KEY)
    listener.status = status
    forwarded(vendor, listener)
    wait_until(lambda: vendor.outputs()["data"]["last_status"] == status, "the answer to be heard")
    assert vendor.outputs()["data"]["waiting"] == 1
    listener.status = 202
    vendor.set_now(NOON_MS + 1000)
    assert (vendor.outputs()["data"]["waiting"], vendor.outputs()["data"]["delivered"]) == (0, 1)
    first, second = listener.requests
    assert first.body == second.body


@pytest.mark.parametrize("status", [400, 409, 413, 414])
def test_what_the_receiver_refuses_is_dropped(vendor: MParticleEmulator, listener: Listener, status: int) -> None:
    vendor.set_output("data", "webhook", listener.url, KEY)
    listener.status = status
    forwarded(vendor, listener)
    wait_until(lambda: vendor.outputs()["data"]["dropped"] == 1, "the refusal to be heard")
    assert vendor.outputs()["data"]["waiting"] == 0
    assert [each["status"] for each in vendor.outgoing()] == [status]


def test_an_output_of_one_environment_gets_no_batch_of_the_other(vendor: MParticleEmulator, listener: Listener) -> None:
    vendor.set_output("development", "webhook", f"{listener.url}/development", KEY, environment="development")
    vendor.set_output("production", "webhook", f"{listener.url}/production", KEY, environment="production")
    forwarded(vendor, listener)
    assert [heard.path for heard in listener.requests] == ["/receive/production"]
    assert vendor.outputs()["development"]["waiting"] == 0


def test_firehose_hears_that_an_audience_has_another_name_and_that_it_left(
    vendor: MParticleEmulator, listener: Listener
) -> None:
    vendor.set_output("audiences", "firehose", listener.url, KEY)
    vendor.set_audience(11036, "Newsletter", ["ann"])
    vendor.set_audience(11036, "Weekly", ["ann"])
    vendor.set_audience(11036, "Weekly", ["ann"])
    vendor.set_audience(11036, "Weekly", [], connected=False)
    vendor.set_audience(11036, "Weekly", ["ann"])
    bodies = [json.loads(heard.body) for heard in listener.requests]
    told = [(body["action"], body["audience_name"]) for body in bodies if "subscription" in body["type"]]
    assert told == [("add", "Newsletter"), ("update", "Weekly"), ("remove", "Weekly"), ("add", "Weekly")]
    assert sum("membership" in body["type"] for body in bodies) == 2
