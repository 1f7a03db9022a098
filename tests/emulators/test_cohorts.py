"""The emulated Mixpanel syncs cohorts: to a listener over HTTP, with the emulator's clock."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.emulators.mixpanel.options import MixpanelOptions
from streams.testing.emulators import ControlError, MixpanelEmulator
from streams.wayback.entries import Entry
from streams.wayback.reception import is_admitted, receive
from streams.wayback.records import Membership, Page
from tests.emulators.listener import Listener
from tests.emulators.sender import NOON_MS

PASSWORD = "password-of-the-webhook"
ENTRY: Any = TypeAdapter[Any](Entry).validate_python(
    {"kind": "mixpanel_cohorts", "auth": {"passwords": [PASSWORD]}},
)
MINUTE_MS = 60_000


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listener:
        listener.body = lambda call: {"action": call["action"], "status": "success"}
        yield listener


@pytest.fixture
def vendor(mixpanel: MixpanelEmulator) -> MixpanelEmulator:
    mixpanel.set_now(NOON_MS)
    return mixpanel


def members(*users: str) -> dict[str, dict[str, str]]:
    return {user: {"$braze_external_id": user, "email": f"{user}@example.com"} for user in users}


def start(vendor: MixpanelEmulator, listener: Listener, **options: Any) -> dict[str, Any]:
    return vendor.start_sync("7", listener.url, user="mixpanel", password=PASSWORD, **options)


def give_up(vendor: MixpanelEmulator) -> int:
    """Move the clock from try to try until the sync has failed. Returns its time then."""
    while (state := vendor.sync_state("7"))["failed"] == 0:
        vendor.set_now(state["next_at_ms"])
    return vendor.now_ms()


def told(listener: Listener) -> list[tuple[str, list[str]]]:
    """Action and members of each call, and forget the calls."""
    return [
        (call["action"], [each["$braze_external_id"] for each in call["parameters"]["members"]])
        for call in listener.taken()
    ]


def test_a_first_sync_is_a_full_copy_in_the_documented_shape(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    state = start(vendor, listener)
    (request,) = listener.requests
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(f"mixpanel:{PASSWORD}".encode()).decode()
    assert request.headers["Content-Type"] == "application/json"
    (call,) = listener.taken()
    assert call["parameters"].pop("mixpanel_session_id")
    assert call == {
        "action": "members",
        "parameters": {
            "mixpanel_project_id": MixpanelOptions().projects[0].project_id,
            "mixpanel_cohort_id": "7",
            "mixpanel_cohort_name": "VIP",
            "mixpanel_cohort_description": "",
            "page_info": {"total_pages": 1, "page_count": 1},
            "members": [{"mixpanel_distinct_id": "ann", "$braze_external_id": "ann", "email": "ann@example.com"}],
        },
    }
    assert (state["state"], state["completed"], state["unexpected"]) == ("active", 1, 0)
    assert state["next_at_ms"] == NOON_MS + 30 * MINUTE_MS
    assert PASSWORD not in json.dumps([vendor.call("GET", "syncs"), vendor.call("GET", "outgoing")])


def test_pages_hold_a_thousand_members_and_share_a_session(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members(*(f"user-{number}" for number in range(2001))))
    start(vendor, listener)
    calls = [call["parameters"] for call in listener.taken()]
    assert [len(call["members"]) for call in calls] == [1000, 1000, 1]
    assert [call["page_info"] for call in calls] == [{"total_pages": 3, "page_count": page} for page in (1, 2, 3)]
    assert len({call["mixpanel_session_id"] for call in calls}) == 1


def test_the_receiver_understands_a_full_copy_and_its_key(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members(*(f"user-{number}" for number in range(1001))))
    start(vendor, listener)
    found: list[Any] = []
    for request in listener.requests:
        assert is_admitted(ENTRY, request.headers["Authorization"]) is True
        reception = receive("cohorts", ENTRY, request.body, NOON_MS, "r")
        assert (reception.status, reception.content) == (200, {"action": "members", "status": "success"})
        assert reception.taken is not None
        found += reception.taken.records
    assert [(each.page, each.pages) for each in found if isinstance(each, Page)] == [(1, 2), (2, 2)]
    assert {each.external_user_id for each in found if isinstance(each, Membership)} == set(
        members(*(f"user-{number}" for number in range(1001)))
    )


def test_later_syncs_are_differences_also_where_nothing_changed(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members("ann", "bob"))
    start(vendor, listener)
    vendor.set_cohort("7", "VIP", members("bob", "cid"))
    told(listener)
    vendor.set_now(NOON_MS + 30 * MINUTE_MS)
    assert told(listener) == [("add_members", ["cid"]), ("remove_members", ["ann"])]
    vendor.sync("7")
    assert told(listener) == [("add_members", []), ("remove_members", [])]
    vendor.set_now(NOON_MS + 4 * 24 * 60 * MINUTE_MS)
    assert told(listener) == [("members", ["bob", "cid"])]


def test_a_one_time_sync_is_done_after_it(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    assert start(vendor, listener, cadence="one_time")["state"] == "done"
    vendor.set_now(NOON_MS + 24 * 60 * MINUTE_MS)
    assert len(listener.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_receiver_is_asked_five_times_more_in_a_minute_then_with_the_next_sync(
    vendor: MixpanelEmulator, listener: Listener, status: int
) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    listener.status = status
    start(vendor, listener)
    assert give_up(vendor) <= NOON_MS + MINUTE_MS
    assert len(listener.requests) == 6
    assert len({request.body for request in listener.requests}) == 1
    state = vendor.sync_state("7")
    assert (state["state"], state["failed"], state["last_status"], state["mails"]) == ("active", 1, status, 0)
    listener.status = 200
    told(listener)
    vendor.set_now(NOON_MS + 31 * MINUTE_MS)
    assert told(listener) == [("members", ["ann"])]
    assert vendor.sync_state("7")["completed"] == 1


def test_a_failed_difference_is_sent_whole_with_the_next_sync(vendor: MixpanelEmulator, listener: Listener) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    start(vendor, listener)
    vendor.set_cohort("7", "VIP", members("bob"))
    told(listener)
    listener.status = 503
    vendor.sync("7")
    assert give_up(vendor) <= NOON_MS + MINUTE_MS
    assert {call["action"] for call in listener.taken()} == {"add_members"}
    listener.status = 200
    vendor.sync("7")
    assert told(listener) == [("add_members", ["bob"]), ("remove_members", ["ann"])]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_fault_of_the_set_up_pauses_the_sync_until_it_is_started_again(
    vendor: MixpanelEmulator, listener: Listener, status: int
) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    listener.status = status
    listener.body = lambda _: {"status": "failure", "error": {"message": "wrong or missing key", "code": status}}
    state = start(vendor, listener)
    assert (state["state"], state["mails"], state["message"]) == ("paused", 1, "wrong or missing key")
    vendor.set_now(NOON_MS + 24 * 60 * MINUTE_MS)
    assert len(listener.requests) == 1
    with pytest.raises(ControlError, match="paused"):
        vendor.sync("7")
    listener.status = 200
    assert start(vendor, listener)["state"] == "active"
    assert [call["action"] for call in listener.taken()] == ["members", "members"]


def test_a_sync_needs_a_cohort(vendor: MixpanelEmulator) -> None:
    with pytest.raises(ControlError, match="no cohort of this id: there are none"):
        vendor.start_sync("8", "http://127.0.0.1:1/")


def test_nobody_who_listens_is_a_reason_to_try_again(vendor: MixpanelEmulator) -> None:
    vendor.set_cohort("7", "VIP", members("ann"))
    state = vendor.start_sync("7", "http://127.0.0.1:1/")
    assert (state["state"], state["last_status"], state["next_at_ms"]) == ("active", None, NOON_MS + 2000)
