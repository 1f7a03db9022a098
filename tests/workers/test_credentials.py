"""Dead credentials on fakes: suspicion, probe, parking, redrive, purge, alerts, suspension."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from streams.delivery.contract import NoResponse, Request, Response
from streams.delivery.flood import FloodRules
from streams.delivery.letter import verdict_of
from streams.ports.kafka import Gap
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeKafka
from tests.workers.stage import CONTACT, CREDENTIALS, MIXPANEL, REJECTED, TOPIC, Stage, events_of, imports_all

JSON = {"content-type": "application/json"}
REFUSAL = b'{"code":401,"error":"Invalid credentials","status":"Unauthorized"}'
PROBE = "streams probe"


class Vendor:
    """A destination whose credentials can die, be fixed, or stay silent."""

    def __init__(self) -> None:
        self.status = 200
        self.probe_status: int | None = None
        """What probes get, where it differs from what traffic gets."""

    def __call__(self, request: Request) -> Response | NoResponse:
        is_probe = any(event.get("event") == PROBE for event in events_of(request))
        status = self.probe_status if is_probe and self.probe_status is not None else self.status
        if status == 0:
            return NoResponse("no answer in time")
        if status in (401, 403):
            return Response(status, JSON, REFUSAL)
        return imports_all(request) if status == 200 else Response(status, {}, b"")


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def delivered_ids(stage: Stage) -> list[str]:
    """Ids of all events that were sent, in order."""
    return [event["properties"]["$insert_id"] for request in stage.transport.requests for event in events_of(request)]


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_that_a_probe_confirms_as_dead_park_every_record(vendor: Vendor, status: int) -> None:
    vendor.status = status
    stage = Stage(vendor)
    for number in range(5):
        stage.event(id=f"event-{number}")
    stage.run(5)
    scope = stage.view.scope("default")
    assert (scope.state, scope.evidence and scope.evidence.status) == ("INVALID", status)
    assert [letter.value() for letter in stage.credential_letters()] == [one.value() for one in stage.kafka.read(TOPIC)]
    assert stage.counts["parked"] == {"credentials": 5}
    assert stage.committed == 5
    assert len(stage.transport.requests) == 1


def test_later_records_of_dead_credentials_are_parked_without_being_sent(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    stage.event()
    stage.run(5)
    for _ in range(20):
        stage.event()
    stage.run(5)
    assert len(stage.transport.requests) == 1
    assert len(stage.credential_letters()) == 21


def test_a_refusal_that_the_probe_does_not_confirm_parks_nothing_and_is_sent_again_with_a_growing_wait(
    vendor: Vendor,
) -> None:
    vendor.status, vendor.probe_status = 401, 200
    stage = Stage(vendor)
    stage.event()
    stage.run(120)
    assert stage.view.scope("default").state == "VALID"
    assert stage.view.scope("default").refused_though_good > 0
    assert stage.credential_letters() == []
    assert 3 <= len(stage.transport.requests) <= 12
    vendor.status = 200
    stage.run(400)
    assert stage.counts["delivered"] == 1
    assert stage.view.scope("default").refused_though_good == 0


def test_traffic_that_is_refused_though_the_probe_is_accepted_is_told_once_for_each_time(vendor: Vendor) -> None:
    stage = Stage(vendor)
    for expected in (1, 2):
        vendor.status, vendor.probe_status = 401, 200
        stage.event()
        stage.run(240)
        told = [title.rsplit(": ", 1)[1] for title, _ in stage.notifier.told]
        assert told == ["traffic is refused, and the probe is accepted"] * expected
        vendor.status = 200
        stage.run(400)
        assert stage.view.scope("default").alerts == ()
    assert stage.counts["delivered"] == 2


@pytest.mark.parametrize("silence", [0, 500, 429, 404])
def test_until_a_probe_says_something_the_records_are_held(vendor: Vendor, silence: int) -> None:
    vendor.status, vendor.probe_status = 401, silence
    stage = Stage(vendor)
    stage.event()
    stage.run(95)
    assert (stage.committed, stage.credential_letters()) == (0, [])
    assert stage.view.scope("default").state == "VALID"
    assert len(stage.probes.requests) == 4
    vendor.probe_status = 401
    stage.run(35)
    assert len(stage.credential_letters()) == 1


def test_fixed_credentials_bring_every_letter_back_in_order_once_with_an_account_that_adds_up(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    ids = [f"event-{number}" for number in range(1_200)]
    for event_id in ids:
        stage.event(id=event_id)
    stage.run(10)
    assert len(stage.credential_letters()) == 1_200
    before = len(delivered_ids(stage))
    vendor.status = 200
    stage.run(40)
    assert delivered_ids(stage)[before:] == ids
    account = stage.account
    assert (account.routed, account.delivered, account.parked, account.waiting) == (1_200, 1_200, {"credentials": 0}, 0)
    assert stage.view.totals.redriven == {"credentials": 1_200}
    assert [line["letters"] for line in stage.audit("redriven")] == [1_200]


def test_a_letter_that_its_topic_does_not_take_back_becomes_a_rejected_one_and_the_others_come_back(
    vendor: Vendor,
) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    for number in range(40):
        stage.event(id=f"event-{number}" + "x" * 5_000 * (number == 17))
    stage.run(10)
    assert len(stage.credential_letters()) == 40
    stage.kafka.topic_bytes_max[TOPIC] = 4_000
    vendor.status = 200
    stage.run(40)
    account = stage.account
    assert (account.delivered, account.parked, account.waiting) == (39, {"credentials": 0, "rejected": 1}, 0)
    assert (stage.view.totals.redriven, stage.view.totals.refused) == ({"credentials": 39}, {"credentials": 1})
    (letter,) = stage.letters
    headers = dict(letter.headers() or [])
    assert headers["streams-cause"] == b"rejected"
    assert b"Kafka does not take it back" in (headers["__connect.errors.exception.message"] or b"")


def test_a_letter_that_no_topic_takes_is_counted_said_with_its_place_and_passed(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    for number in range(10):
        stage.event(id=f"event-{number}" + "x" * 5_000 * (number == 4))
    stage.run(10)
    stage.kafka.topic_bytes_max |= {TOPIC: 4_000, REJECTED: 4_000}
    vendor.status = 200
    stage.run(40)
    account = stage.account
    assert (account.delivered, account.parked, account.waiting) == (9, {"credentials": 0}, 0)
    assert account.skipped == {"refused_by_kafka": 1}
    (line,) = stage.audit("records passed that Kafka does not take")
    assert line["records"] == [f"{CREDENTIALS}default/0/4"]


def test_what_comes_back_is_the_source_byte_for_byte_with_its_foreign_headers(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    record = stage.event()
    stage.run(5)
    vendor.status = 200
    stage.run(40)
    first, back = stage.kafka.read(TOPIC)
    assert (back.key(), back.value()) == (record.key(), record.value())
    assert [one for one in back.headers() or [] if one[0] != "streams-verdict"] == first.headers()
    verdict = verdict_of(back.headers() or [])
    assert verdict is not None
    assert (verdict.replays, verdict.job) == (0, None)


def test_letters_that_a_slow_sink_parks_after_the_fix_go_back_too(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    stage.event(id="first")
    stage.run(5)
    vendor.status = 200
    stage.run(40)
    late = stage.credential_letters()[0]
    stage.kafka.write(CREDENTIALS + "default", late.value(), late.key(), late.headers() or [])
    stage.run(2)
    assert len(stage.kafka.read(TOPIC)) == 3


def test_a_redrive_that_is_cut_short_by_dead_credentials_goes_on_after_the_next_fix(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    ids = [f"event-{number}" for number in range(1_500)]
    for event_id in ids:
        stage.event(id=event_id)
    stage.run(10)
    before = len(delivered_ids(stage))
    vendor.status = 200
    while not 0 < stage.view.totals.redriven.get("credentials", 0) < 1_500:
        stage.run(0.05)
    vendor.status = 401
    stage.run(20)
    assert stage.view.scope("default").state == "INVALID"
    vendor.status = 200
    stage.run(60)
    assert set(delivered_ids(stage)[before:]) == set(ids)
    assert (stage.account.delivered, stage.account.waiting, stage.account.parked) == (1_500, 0, {"credentials": 0})


def test_letters_are_purged_at_their_deadline_not_before_with_a_receipt_that_says_what_went(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    for number in range(3):
        stage.event(id=f"early-{number}", time=1_795_000_000 + number)
    stage.run(5)
    stage.clock.advance(300)
    stage.event(id="late")
    stage.run(5)
    stage.run(600 - 310 + 20, step_seconds=1.0)
    assert stage.audit("purged") == []
    stage.run(60, step_seconds=1.0)
    (receipt,) = stage.audit("purged")
    assert receipt["letters"] == 3
    assert receipt["offsets"] == {"0": [[0, 3]]}
    assert receipt["event_types"] == {"users.messages.email.Open": 3}
    assert (receipt["first_event_time"], receipt["last_event_time"]) == (1_795_000_000, 1_795_000_002)
    assert receipt["evidence"]["status"] == 401
    assert (stage.account.purged, stage.account.parked) == (3, {"credentials": 1})
    stage.run(15, step_seconds=1.0)
    assert stage.kafka.deleted_before[CREDENTIALS + "default", 0] == 3


def test_nothing_is_purged_while_the_destination_does_not_answer_and_the_delay_is_said(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    vendor.status = 503
    stage.run(900, step_seconds=1.0)
    assert stage.audit("purged") == []
    assert "answered 503" in stage.view.scope("default").overdue
    vendor.status = 401
    stage.run(60, step_seconds=1.0)
    assert len(stage.audit("purged")) == 1
    assert stage.view.scope("default").overdue == ""


def test_a_fix_before_the_deadline_loses_nothing_though_nobody_probes_until_after_it(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    stage.clock.advance(580)  # the keeper was away, as if its machine slept
    vendor.status = 200
    stage.clock.advance(100)
    stage.run(60, step_seconds=1.0)
    assert stage.audit("purged") == []
    assert stage.account.delivered == 1


def test_a_fix_right_after_the_purge_brings_back_what_was_not_purged(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event(id="first")
    stage.run(5)
    stage.clock.advance(300)
    stage.event(id="second")
    while not stage.audit("purged"):
        stage.run(1, step_seconds=0.5)
    vendor.status = 200
    stage.run(60, step_seconds=0.5)
    assert delivered_ids(stage)[1:] == ["second"]
    assert (stage.account.purged, stage.account.delivered, stage.account.waiting) == (1, 1, 0)


def test_an_extension_moves_the_deadline_and_one_that_comes_after_the_purge_brings_nothing_back(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    stage.ask("extend", scope="default", by_ms=600_000)
    stage.run(1_000, step_seconds=1.0)
    assert stage.audit("purged") == []
    stage.run(300, step_seconds=1.0)
    assert len(stage.audit("purged")) == 1
    stage.ask("extend", scope="default", by_ms=600_000)
    stage.run(5)
    assert stage.account.purged == 1


def test_the_clock_of_a_purge_stands_still_while_the_connector_is_suspended(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    stage.ask("suspend")
    stage.run(2_000, step_seconds=1.0)
    assert len(stage.probes.requests) == 1
    stage.ask("resume")
    stage.run(500, step_seconds=1.0)
    assert stage.audit("purged") == []
    stage.run(200, step_seconds=1.0)
    assert len(stage.audit("purged")) == 1


class JumpingClock(MovableClock):
    """The keeper's clock, which somebody sets; and the broker's, which is right."""

    def __init__(self) -> None:
        super().__init__()
        self._error_ms = 0
        self.brokers = BrokersClock(self)

    def jump(self, seconds: float) -> None:
        self._error_ms += round(seconds * 1000)

    def epoch_ms(self) -> int:
        return super().epoch_ms() + self._error_ms

    def true_ms(self) -> int:
        return super().epoch_ms()


class BrokersClock:
    def __init__(self, keepers: JumpingClock) -> None:
        self._keepers = keepers

    def monotonic(self) -> float:
        return self._keepers.monotonic()

    def epoch_ms(self) -> int:
        return self._keepers.true_ms()


def test_nothing_is_purged_by_a_clock_that_jumped_right_before_the_probe(vendor: Vendor) -> None:
    vendor.status = 401
    clock = JumpingClock()
    stage = Stage(vendor, grace_seconds=600.0, kafka=FakeKafka(clock=clock.brokers), clock=clock)
    stage.event()
    stage.run(5)
    clock.jump(3_600.0)
    stage.run(120)
    assert stage.audit("purged") == []
    assert "differ by 3600 s" in stage.view.scope("default").overdue
    clock.jump(-3_600.0)
    stage.run(600, step_seconds=1.0)
    assert len(stage.audit("purged")) == 1


def test_a_keeper_purges_nothing_by_the_probe_of_one_whose_clock_was_ahead(vendor: Vendor) -> None:
    vendor.status = 401
    clock = JumpingClock()
    first = Stage(vendor, grace_seconds=600.0, kafka=FakeKafka(clock=clock.brokers), clock=clock)
    first.event()
    first.run(5)
    first.clock.advance(295)
    clock.jump(400.0)
    first.run(5)  # its probe is refused 5 minutes after the letter was parked, and says 12
    clock.jump(-400.0)  # another machine's clock is right
    vendor.status = 200
    clock.advance(560)
    second = Stage(vendor, grace_seconds=600.0, kafka=first.kafka, clock=clock, instance="sink-1")
    second.run(60, step_seconds=1.0)
    assert second.audit("purged") == []
    assert second.account.delivered == 1


def test_nothing_is_purged_by_a_probe_that_began_while_the_keepers_own_clock_was_ahead(vendor: Vendor) -> None:
    vendor.status = 401
    clock = JumpingClock()
    stage = Stage(vendor, grace_seconds=600.0, kafka=FakeKafka(clock=clock.brokers), clock=clock)
    stage.event()
    stage.run(5)
    stage.clock.advance(295)
    clock.jump(400.0)
    stage.run(5)
    clock.jump(-400.0)
    vendor.status, stage.probes.is_holding = 200, True
    clock.advance(560)
    stage.ask("cancel", job="of nobody")  # what answers it compares the clocks, which agree again
    stage.run(10)
    assert stage.audit("purged") == []
    stage.probes.is_holding = False
    stage.run(60, step_seconds=1.0)
    assert stage.audit("purged") == []
    assert stage.account.delivered == 1


def test_nothing_is_purged_while_an_order_waits_that_may_move_the_deadline(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    stage.clock.advance(640)  # nobody kept, as if the machine slept
    for _ in range(8):
        stage.ask("cancel", job="of nobody")
    stage.ask("extend", scope="default", by_ms=600_000)
    stage.run(300, step_seconds=0.25)
    assert stage.audit("purged") == []
    stage.run(600, step_seconds=1.0)
    assert len(stage.audit("purged")) == 1


def test_nothing_is_purged_while_the_brokers_clock_differs_from_the_keepers(vendor: Vendor) -> None:
    vendor.status = 401
    kafka = FakeKafka(clock=MovableClock(1_795_521_600_000 - 600_000))
    stage = Stage(vendor, grace_seconds=600.0, kafka=kafka)
    stage.event()
    stage.run(1_000, step_seconds=1.0)
    assert stage.audit("purged") == []
    assert "differ by" in stage.view.scope("default").overdue


def test_each_alert_goes_out_once_whatever_restarts(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    assert len(stage.notifier.told) == 1
    title, text = stage.notifier.told[0]
    assert "growth/default" in title
    assert "401 Invalid credentials" in text
    second = Stage(
        vendor, grace_seconds=600.0, kafka=stage.kafka, clock=stage.clock, instance="sink-1", notifier=stage.notifier
    )
    second.run(560, step_seconds=1.0)
    assert [title.rsplit(": ", 1)[1] for title, _ in stage.notifier.told] == [
        "credentials are INVALID",
        "credentials are still INVALID, half of the grace is over",
        "credentials are still INVALID, 90 % of the grace is over",
    ]


def test_who_was_told_that_credentials_died_is_told_that_they_are_good_again(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    stage.event()
    stage.run(5)
    vendor.status = 200
    stage.run(120)
    titles = [title for title, _ in stage.notifier.told]
    assert titles == [
        "streams: growth/default: credentials are INVALID",
        "streams: growth/default: credentials are VALID again",
    ]
    assert all("Runbook: docs/runbooks/credentials-invalid.md" in text for _, text in stage.notifier.told)
    assert all(f"\nContact: {CONTACT}\n" in text for _, text in stage.notifier.told)


def test_letters_that_were_purged_are_told_at_most_once_an_hour_whatever_restarts(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    for _ in range(3):
        stage.event()
        stage.run(100, step_seconds=1.0)
    stage.run(900, step_seconds=1.0)
    assert stage.account.purged == 3

    def told() -> list[str]:
        return [text for title, text in stage.notifier.told if title.endswith("purged")]

    assert ["1 dead letters were purged:" in text for text in told()] == [True]
    assert "Runbook: docs/runbooks/purging.md" in told()[0]
    second = Stage(
        vendor, grace_seconds=600.0, kafka=stage.kafka, clock=stage.clock, instance="sink-1", notifier=stage.notifier
    )
    second.run(3_600, step_seconds=1.0)
    assert ["2 dead letters were purged since" in text for text in told()] == [False, True]


def test_an_alert_that_no_channel_took_is_told_again(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    stage.notifier.is_down = True
    stage.event()
    stage.run(30)
    stage.notifier.is_down = False
    stage.run(90)
    assert len(stage.notifier.told) == 1


def test_a_keeper_that_was_replaced_is_fenced_and_changes_nothing(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    stage.event()
    stage.run(5)
    successor = Stage(vendor, grace_seconds=600.0, kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    successor.keeper.own(True)
    successor.keeper.step()
    vendor.status = 200
    records = len(stage.kafka.read("streams.state"))
    stage.clock.advance(40)
    for _ in range(5):
        stage.keeper.step()
    assert stage.keeper.lease is None
    assert len(stage.kafka.read("streams.state")) == records
    for _ in range(5):
        successor.keeper.step()
        stage.clock.advance(1)
    assert stage.view.scope("default").state == "VALID"


def test_suspended_by_an_operator_sends_and_parks_nothing_until_resumed(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(2)
    stage.ask("suspend")
    stage.run(1)
    for _ in range(10):
        stage.event()
    stage.run(20)
    assert (stage.committed, len(stage.transport.requests)) == (1, 1)
    assert stage.view.state.by == "operator"
    assert stage.consumer.paused == {(TOPIC, 0)}
    stage.ask("resume")
    stage.run(5)
    assert stage.counts["delivered"] == 11


def test_a_suspended_connector_stays_so_over_a_restart(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(2)
    stage.ask("suspend")
    stage.run(1)
    stage.consumer.close()
    again = Stage(vendor, kafka=stage.kafka, clock=stage.clock)
    again.event()
    again.run(20)
    assert again.transport.requests == []


def test_a_flood_of_refusals_suspends_after_settling_the_batch_that_tripped_it() -> None:
    stage = Stage(flood=FloodRules(share=0.2, records_min=100))
    for number in range(300):
        stage.event("users.behaviors.CustomEvent", properties="[1]" if number % 3 == 0 else "{}")
    stage.run(5)
    assert (stage.view.state.state, stage.view.state.by) == ("SUSPENDED", "flood")
    assert "were rejected" in stage.view.state.reason
    assert len(stage.notifier.told) == 1
    settled = stage.counts["delivered"] + sum(stage.counts["parked"].values())
    assert settled == stage.committed >= 100
    stage.ask("resume")
    stage.run(5)
    stage.event()
    stage.run(5)
    assert stage.view.state.state == "RUNNING"
    assert stage.account.waiting == 0


def test_other_feeds_go_on_beside_one_whose_credentials_died_and_only_its_records_are_parked() -> None:
    def answer(request: Request) -> Response:
        user = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).split(b":")[0]
        return Response(403, {}, b"") if user == b"ios-key" else imports_all(request)

    stage = Stage(answer, destination="mparticle")
    stage.event("users.messages.pushnotification.Open", platform="ios")
    for _ in range(50):
        stage.event("users.messages.pushnotification.Open", platform="roku")
        stage.run(0.3)
    stage.run(2)
    assert stage.counts["delivered"] == 50
    assert len(stage.credential_letters("ios")) == 1
    assert stage.committed == 51
    assert stage.view.scope("unbound").state == "VALID"


def test_a_fixed_secret_is_read_again_and_is_part_of_what_is_sent() -> None:
    new = "f" * 32

    def answer(request: Request) -> Response:
        tokens = {event["properties"]["token"] for event in events_of(request)}
        return imports_all(request) if tokens == {new} else Response(401, JSON, REFUSAL)

    stage = Stage(answer, settings=dict(MIXPANEL))
    stage.probes.is_holding = True
    for _ in range(3):
        stage.event()
    stage.run(3)
    stage.settings["project_token"] = new  # fixed while the first probe is under way
    stage.probes.is_holding = False
    stage.run(45)
    assert stage.counts["delivered"] == 3


def test_a_purge_is_done_once_whatever_transaction_is_refused(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, grace_seconds=600.0)
    for _ in range(4):
        stage.event()
    stage.run(5)
    stage.run(625, step_seconds=1.0)
    stage.kafka.refuse_commits = 3
    stage.run(60, step_seconds=1.0)
    assert [line["letters"] for line in stage.audit("purged")] == [4]
    assert stage.account.purged == 4


def test_rejected_letters_expire_after_fourteen_days_with_a_receipt(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event("users.behaviors.CustomEvent", properties="[1]")
    stage.run(5)
    assert stage.account.parked == {"rejected": 1}
    stage.clock.advance(14 * 86_400 - 120)
    stage.run(60, step_seconds=1.0)
    assert stage.audit("expired") == []
    stage.run(300, step_seconds=1.0)
    (receipt,) = stage.audit("expired")
    assert (receipt["letters"], receipt["causes"]) == (1, {"rejected": 1})
    assert (stage.account.parked, stage.account.expired) == ({"rejected": 0}, 1)


def answers(stage: Stage) -> dict[str, Any]:
    return {name: (one.outcome, one.detail) for name, one in stage.view.answers.items()}


def test_a_request_that_makes_no_sense_is_refused_with_a_sentence(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(2)
    stage.ask("resume")
    stage.ask("extend", scope="default", by_ms=1_000)
    stage.ask("probe", scopes=["nowhere"])
    stage.run(3)
    outcomes = [outcome for outcome, _ in answers(stage).values()]
    assert outcomes == ["refused"] * 3
    details = " | ".join(detail for _, detail in answers(stage).values())
    assert "growth is RUNNING already" in details
    assert "not INVALID" in details
    assert "there is no scope nowhere; there are default" in details
    assert stage.view.requests == {}


def test_a_request_that_expired_before_a_keeper_saw_it_is_not_carried_out(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.ask("suspend")
    stage.clock.advance(120)
    stage.run(3)
    assert stage.view.state.state == "RUNNING"
    ((outcome, detail),) = answers(stage).values()
    assert outcome == "refused"
    assert "expired" in detail


def test_a_replay_of_credential_letters_beside_the_redrive_sends_each_letter_once(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor)
    for number in range(2_500):
        stage.event(id=f"event-{number}")
    stage.run(10)
    vendor.status = 200
    while not 0 < stage.view.totals.redriven.get("credentials", 0) < 2_500:
        stage.run(0.05)
    stage.ask(
        "replay",
        selection={"letters": "credentials.default", "until": stage.clock.epoch_ms() + 1},
        ends={"credentials.default/0": 2_500},
        planned=2_000,
    )
    stage.run(60)
    totals = stage.view.totals
    assert totals.replayed.get("credentials", 0) > 0
    assert totals.redriven.get("credentials", 0) + totals.replayed.get("credentials", 0) == 2_500
    assert len(stage.kafka.read(TOPIC)) == 5_000
    assert (stage.account.delivered, stage.account.waiting) == (2_500, 0)


def test_a_group_whose_commits_were_forgotten_goes_on_where_the_keepers_copy_says(vendor: Vendor) -> None:
    stage = Stage(vendor)
    for _ in range(5):
        stage.event()
    stage.run(40)
    stage.consumer.close()
    stage.kafka.committed.clear()  # no member for a week
    again = Stage(vendor, kafka=stage.kafka, clock=stage.clock)
    again.event()
    again.run(5)
    assert len(delivered_ids(again)) == 1
    assert again.counts["delivered"] == 6
    (line,) = again.audit("started at a copy")
    assert line["partitions"] == {"0": 5}


def test_what_a_gap_really_lost_is_counted_once_somebody_could_count(vendor: Vendor) -> None:
    stage = Stage(vendor)
    stage.event()
    stage.run(2)
    stage.sink.gap(Gap(TOPIC, 0, 1, 11))
    stage.run(2)
    assert stage.counts["lost"] == 10
    assert [title for title, _ in stage.notifier.told if "lost" in title] == []
    stage.excess = 4  # four of the ten offsets held markers
    stage.run(65)
    assert (stage.view.totals.overcounted, stage.view.totals.reconciled) == (4, 10)
    stage.run(65)
    assert stage.view.totals.overcounted == 4
    assert [title for title, _ in stage.notifier.told] == ["streams: growth: 6 records were lost"]


def test_letters_on_their_way_back_wait_for_their_share_of_the_accounts_rate(vendor: Vendor) -> None:
    vendor.status = 401
    stage = Stage(vendor, returning_rate=10.0)
    for _ in range(40):
        stage.event()
    stage.run(5)
    assert len(stage.credential_letters()) == 40
    stage.returning.take("replay", 1_000, stage.clock.monotonic())  # a replay took the share of the next 100 s
    vendor.status = 200
    stage.run(60)
    assert stage.view.scope("default").state == "VALID"
    assert len(stage.kafka.read(TOPIC)) == 40
    stage.run(100)
    assert len(stage.kafka.read(TOPIC)) == 80


def test_a_redrive_waits_until_a_replay_paid_its_share_of_the_accounts_rate(vendor: Vendor) -> None:
    """Both draw from one bucket: the debt of the replay holds the redrive back, too."""
    rate, replayed, redriven = 2.0, 60, 40
    vendor.status = 401
    stage = Stage(vendor, returning_rate=rate)
    for _ in range(replayed):
        stage.write(b"not an event")
    stage.run(5)
    for number in range(redriven):
        stage.event(id=f"event-{number}")
    stage.run(5)
    assert (len(stage.letters), len(stage.credential_letters())) == (replayed, redriven)
    first = len(stage.kafka.read(TOPIC))
    stage.ask(
        "replay",
        selection={"letters": "rejected", "until": stage.clock.epoch_ms() + 1},
        ends={"rejected/0": replayed},
        planned=replayed,
    )
    began = stage.clock.monotonic()
    while stage.view.totals.replayed.get("rejected", 0) == 0:
        stage.run(0.25, step_seconds=0.25)
        assert stage.clock.monotonic() - began < 30.0, "the replay does not begin"
    taken, vendor.status = stage.view.totals.replayed["rejected"], 200
    stage.run((taken - rate) / rate - 1.0, step_seconds=0.5)
    assert stage.view.scope("default").state == "VALID" or taken < 2 * rate
    assert len(stage.kafka.read(TOPIC)) == first + taken
    began = stage.clock.monotonic()
    while stage.view.totals.redriven.get("credentials", 0) < redriven:
        stage.run(1.0, step_seconds=0.5)
        assert stage.clock.monotonic() - began < 120.0, "the redrive does not begin"


def test_a_replay_and_a_redrive_that_share_the_accounts_rate_each_get_half_of_it(vendor: Vendor) -> None:
    """A redrive looks first, and takes whole pages: by turns alone the replay would starve behind it."""
    rate, each = 20.0, 400
    vendor.status = 401
    stage = Stage(vendor, returning_rate=rate, flood=FloodRules(records_min=100_000))
    for _ in range(each):
        stage.write(b"not an event")
    stage.run(5)
    for number in range(5 * each):
        stage.event(id=f"event-{number}")
    stage.run(5)
    assert len(stage.letters) == each
    vendor.status = 200
    while stage.view.totals.redriven.get("credentials", 0) == 0:
        stage.run(1.0, step_seconds=0.25)
    stage.ask(
        "replay",
        selection={"letters": "rejected", "until": stage.clock.epoch_ms() + 1},
        ends={"rejected/0": each},
        planned=each,
    )
    began = stage.view.totals.redriven["credentials"]
    waited = stage.clock.monotonic()
    while stage.view.totals.replayed.get("rejected", 0) < each // 2:
        stage.run(1.0, step_seconds=0.25)
        assert stage.clock.monotonic() - waited < 100.0, "the replay starves behind the redrive"
    redriven = stage.view.totals.redriven["credentials"] - began
    assert each // 8 < redriven < 2 * each, "both go on"
