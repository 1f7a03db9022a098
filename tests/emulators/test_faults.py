"""The fault script: what a client meets, and what the vendor has of it afterwards."""

from __future__ import annotations

import http.client
import select
import time
from typing import Any

import pytest

from streams.emulators.faults import DELAY_SECONDS_MAX, FAULTS_MAX
from streams.testing.emulators import ControlError, MixpanelEmulator, MParticleEmulator
from tests.emulators.sender import batch, event, import_events, post_batches, unanswered
from tests.waiting import wait_until


def test_a_status_before_is_answered_and_nothing_is_taken(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=503, headers={"Retry-After": "7"}, body="<html>busy</html>")
    answer = import_events(mixpanel, [event()])
    assert (answer.status, answer.headers["Retry-After"], answer.body) == (503, "7", b"<html>busy</html>")
    assert mixpanel.rows() == []
    assert import_events(mixpanel, [event()]).status == 200


def test_a_status_after_is_answered_and_all_is_taken(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=503, when="after")
    assert import_events(mixpanel, [event()]).status == 503
    assert import_events(mixpanel, [event()]).status == 200
    assert (len(mixpanel.rows()), len(mixpanel.unique())) == (2, 1)


def test_a_body_may_be_json(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=400, body={"code": 400, "failed_records": ["no"]})
    assert import_events(mixpanel, [event()]).json() == {"code": 400, "failed_records": ["no"]}


def test_a_body_alone_replaces_the_vendors_own_under_its_status(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(body={})
    answer = import_events(mixpanel, [event()])
    assert (answer.status, answer.body, len(mixpanel.rows())) == (200, b"{}", 1)


@pytest.mark.parametrize(("when", "rows"), [("before", 0), ("after", 1)])
def test_a_reset_breaks_the_connection_before_or_after_the_vendor_took_it(
    mixpanel: MixpanelEmulator, when: str, rows: int
) -> None:
    mixpanel.fail(reset=True, when=when)
    with pytest.raises(ConnectionError):
        import_events(mixpanel, [event()])
    assert len(mixpanel.rows()) == rows
    assert [(each["status"], each["fault"]) for each in mixpanel.requests()] == [(None, when)]


def test_an_answer_byte_by_byte_comes_whole_and_not_before_its_bytes_could(mixpanel: MixpanelEmulator) -> None:
    whole = import_events(mixpanel, [event()]).body
    mixpanel.fail(byte_seconds=0.002)
    began = time.monotonic()
    answer = import_events(mixpanel, [event()])
    assert (answer.status, answer.body) == (200, whole)
    assert time.monotonic() - began >= 0.002 * len(whole)


def test_a_client_that_does_not_wait_for_a_slow_answer_has_sent_its_events(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(byte_seconds=DELAY_SECONDS_MAX)
    with unanswered(mixpanel, [event()]) as connection, connection.getresponse() as begun:
        assert begun.status == 200
        assert len(mixpanel.rows()) == 1
    assert import_events(mixpanel, [event()]).status == 200


def test_a_truncated_answer_promises_more_than_it_holds(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(truncate=12, when="after")
    with pytest.raises(http.client.IncompleteRead) as failure:
        import_events(mixpanel, [event()])
    assert failure.value.partial == b'{"code":200,'
    assert len(mixpanel.rows()) == 1


def test_a_delayed_answer_comes_late_and_is_the_vendors_own(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(delay=0.3)
    began = time.monotonic()
    assert import_events(mixpanel, [event()]).status == 200
    assert time.monotonic() - began >= 0.3


def test_an_answer_that_comes_too_late_leaves_its_events_behind(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(delay=DELAY_SECONDS_MAX, when="after")
    with unanswered(mixpanel, [event()]) as connection:
        wait_until(lambda: len(mixpanel.rows()) == 1, "the event to be taken")
        assert select.select([connection.sock], [], [], 0)[0] == [], "there is no answer yet"
    assert len(mixpanel.rows()) == 1


def test_a_fault_is_met_as_often_as_it_counts_and_the_next_one_after_it(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=500, count=2)
    mixpanel.fail(status=429)
    assert [import_events(mixpanel, [event()]).status for _ in range(5)] == [500, 500, 429, 200, 200]
    assert mixpanel.faults() == []


def test_a_fault_without_end_lasts_until_it_is_cleared(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=500, count=None)
    assert [import_events(mixpanel, [event()]).status for _ in range(4)] == [500] * 4
    mixpanel.clear_faults()
    assert import_events(mixpanel, [event()]).status == 200


def test_what_is_left_of_the_script_can_be_asked(mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=500, count=3)
    mixpanel.fail(reset=True, when="after")
    import_events(mixpanel, [event()])
    assert mixpanel.faults() == [
        {"status": 500, "count": 2},
        {"reset": True, "when": "after", "count": 1},
    ]


def test_a_fault_of_one_key_spares_the_others(mparticle: MParticleEmulator) -> None:
    mparticle.fail(status=503, key=mparticle.feeds["ios"].key)
    assert post_batches(mparticle, [batch()], feed="android").status == 202
    assert post_batches(mparticle, [batch()], feed="ios").status == 503


def test_a_fault_of_one_path_spares_the_others(mparticle: MParticleEmulator) -> None:
    mparticle.fail(status=503, path="/v2/events")
    assert post_batches(mparticle, [batch()]).status == 202
    assert post_batches(mparticle, batch(), path="/v2/events").status == 503


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ({"status": 99}, "status"),
        ({"delay": -1}, "delay"),
        ({"count": 0}, "count"),
        ({"when": "later"}, "when"),
        ({"retry": 3}, "retry"),
        ({"status": 100}, "status"),
        ({"headers": {"Content-Length": "7"}}, "headers"),
        ({"headers": {"Retry After": "7"}}, "headers"),
        ({"headers": {"Retry-After": "7\r\nSet-Cookie: a=b"}}, "headers"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_by_its_place(
    mixpanel: MixpanelEmulator, fault: dict[str, Any], place: str
) -> None:
    with pytest.raises(ControlError, match=f"^0.{place}: "):
        mixpanel.call("POST", "faults", [fault])
    assert mixpanel.faults() == []


def test_a_script_has_an_end(mixpanel: MixpanelEmulator) -> None:
    mixpanel.call("POST", "faults", [{"status": 500}] * FAULTS_MAX)
    with pytest.raises(ControlError, match="at most 1000"):
        mixpanel.fail(status=500)
