"""What the workers report: a sink, its keeper and a router on fakes, and what a scrape of their process then shows."""

from __future__ import annotations

import json
from dataclasses import dataclass

from streams.adapters.telemetry.prometheus import KeeperTelemetry, Metrics, RouterTelemetry, SinkTelemetry
from streams.delivery.account import SinkCounts
from streams.delivery.contract import NoResponse, Request, Response
from streams.events.schemas import shipped
from streams.operations.survey import Surveyed
from streams.ports.kafka import Gap
from streams.testing.clock import MovableClock
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from tests.telemetry.scrape import Scrape
from tests.workers.stage import Stage, events_of, imports_all
from tests.workers.test_router import Stage as RouterStage
from tests.workers.test_router import known

IN_SCOPE = {"connector": "growth", "scope": "default"}


@dataclass
class Vendor:
    """Answers with its status; a 200 imports all but the events named in `refuses`."""

    status: int = 200
    refuses: str = ""
    is_away: bool = False

    def __call__(self, request: Request) -> Response | NoResponse:
        if self.is_away:
            return NoResponse("no answer in time")
        if self.status != 200:
            return Response(self.status, {"content-type": "application/json"}, b'{"error":"no","status":0}')
        refused = [
            index for index, event in enumerate(events_of(request)) if event["properties"]["$insert_id"] == self.refuses
        ]
        if not refused:
            return imports_all(request)
        failed = [{"index": index, "$insert_id": self.refuses, "field": "x", "message": "bad"} for index in refused]
        body = {"code": 400, "status": 0, "error": "some", "failed_records": failed}
        body["num_records_imported"] = len(events_of(request)) - len(refused)
        return Response(400, {"content-type": "application/json"}, json.dumps(body).encode())


class Watched:
    """A sink and its keeper whose process can be scraped."""

    def __init__(self, vendor: Vendor, grace_seconds: float = 600.0) -> None:
        self.metrics, self.vendor, clock = Metrics(), vendor, MovableClock()
        events = EventReader(
            SchemaResolver(
                shipped(),
                [],
                None,
                encoding="auto",
                source_topic_prefix="currents.",
                unknown_schema_seconds_max=60.0,
                clock=clock,
            )
        )
        meter = SinkTelemetry(
            self.metrics, "growth", ["default"], event_time=lambda message: events.read(message).time, clock=clock
        )
        self.keeper_meter = KeeperTelemetry(self.metrics, "growth", ["default"])
        self.stage = Stage(
            vendor, clock=clock, grace_seconds=grace_seconds, meter=meter, keeper_meter=self.keeper_meter
        )

    @property
    def scrape(self) -> Scrape:
        return Scrape(self.metrics.exposition())


def test_every_series_of_a_sink_is_there_at_0_before_its_first_record() -> None:
    scrape = Watched(Vendor()).scrape
    assert scrape.value("streams_delivered_records_total", **IN_SCOPE) == 0
    assert scrape.value("streams_parked_records_total", cause="credentials", **IN_SCOPE) == 0
    assert scrape.value("streams_delivery_requests_total", status_class="5xx", **IN_SCOPE) == 0
    assert scrape.value("streams_lost_records_total", connector="growth") == 0
    assert scrape.value("streams_keeper", connector="growth") == 0


def test_what_is_delivered_is_counted_with_its_request_and_its_freshness() -> None:
    watched = Watched(Vendor())
    seven_seconds_ago = watched.stage.clock.epoch_ms() // 1000 - 7
    for number in range(5):
        watched.stage.event(id=f"event-{number}", time=seven_seconds_ago)
    watched.stage.run(1)
    scrape = watched.scrape
    assert scrape.value("streams_delivered_records_total", **IN_SCOPE) == 5
    assert scrape.value("streams_delivery_requests_total", status_class="2xx", **IN_SCOPE) == 1
    assert scrape.value("streams_delivery_request_seconds_count", **IN_SCOPE) == 1
    assert scrape.value("streams_batch_records_sum", connector="growth") == 5
    (request,) = watched.stage.transport.requests
    assert scrape.value("streams_delivery_bytes_total", connector="growth") == len(request.body)
    assert scrape.value("streams_requests_in_flight", **IN_SCOPE) == 0
    assert scrape.value("streams_delivery_freshness_seconds_bucket", connector="growth", le="5.0") == 0
    assert scrape.value("streams_delivery_freshness_seconds_bucket", connector="growth", le="10.0") == 1


def test_a_request_without_an_answer_is_in_flight() -> None:
    watched = Watched(Vendor())
    watched.stage.transport.is_holding = True
    watched.stage.event()
    watched.stage.run(1)
    assert watched.scrape.value("streams_requests_in_flight", **IN_SCOPE) == 1


def test_a_refused_record_is_parked_and_the_others_of_its_request_are_delivered() -> None:
    watched = Watched(Vendor(refuses="bad"))
    for event_id in ("good", "bad", "fine"):
        watched.stage.event(id=event_id)
    watched.stage.run(2)
    scrape = watched.scrape
    assert scrape.value("streams_delivered_records_total", **IN_SCOPE) == 2
    assert scrape.value("streams_parked_records_total", cause="rejected", **IN_SCOPE) == 1
    assert scrape.value("streams_delivery_requests_total", status_class="4xx", **IN_SCOPE) == 1


def test_a_record_that_breaks_a_rule_before_it_has_a_scope_is_parked_under_a_dash() -> None:
    watched = Watched(Vendor())
    watched.stage.write(b"no event")
    watched.stage.run(65, step_seconds=1.0)
    assert watched.scrape.value("streams_parked_records_total", connector="growth", cause="rejected", scope="-") == 1


def test_what_is_sent_again_is_a_retry_and_no_answer_has_a_class_of_its_own() -> None:
    watched = Watched(Vendor(is_away=True))
    watched.stage.event()
    watched.stage.run(30)
    watched.vendor.is_away = False
    watched.stage.run(70)
    scrape = watched.scrape
    unanswered = scrape.value("streams_delivery_requests_total", status_class="none", **IN_SCOPE)
    assert unanswered
    assert scrape.value("streams_delivery_retries_total", **IN_SCOPE) == unanswered
    assert scrape.value("streams_delivered_records_total", **IN_SCOPE) == 1


def test_what_retention_deleted_is_counted_as_lost() -> None:
    watched = Watched(Vendor())
    watched.stage.event()
    watched.stage.run(1)
    watched.stage.sink.gap(Gap("streams.connector.growth", 0, 1, 41))
    assert watched.scrape.value("streams_lost_records_total", connector="growth") == 40


def test_dead_credentials_show_since_when_and_until_when() -> None:
    watched = Watched(Vendor(status=401))
    watched.stage.event()
    watched.stage.run(2)
    scrape, since = watched.scrape, watched.stage.view.scope("default").since / 1000
    assert since > 0
    assert scrape.value("streams_keeper", connector="growth") == 1
    assert scrape.value("streams_scope_valid", **IN_SCOPE) == 0
    assert scrape.value("streams_scope_invalid_since_seconds", **IN_SCOPE) == since
    assert scrape.value("streams_purge_deadline_seconds", **IN_SCOPE) == since + 600
    assert scrape.value("streams_parked_records_total", cause="credentials", **IN_SCOPE) == 1
    assert scrape.value("streams_alerts_total", connector="growth", kind="invalid") == 1
    assert scrape.value("streams_connector_state", connector="growth", state="running") == 1


def test_fixed_credentials_are_valid_without_a_deadline_and_their_letters_are_redriven() -> None:
    watched = Watched(Vendor(status=401))
    watched.stage.event()
    watched.stage.run(5)
    watched.vendor.status = 200
    watched.stage.run(60)
    scrape = watched.scrape
    assert scrape.value("streams_scope_valid", **IN_SCOPE) == 1
    assert scrape.value("streams_scope_invalid_since_seconds", **IN_SCOPE) == 0
    assert scrape.value("streams_purge_deadline_seconds", **IN_SCOPE) == 0
    assert scrape.value("streams_redriven_records_total", connector="growth") == 1
    assert scrape.value("streams_delivered_records_total", **IN_SCOPE) == 1


def test_a_purge_by_deadline_is_told_with_its_reason() -> None:
    watched = Watched(Vendor(status=401))
    for _ in range(3):
        watched.stage.event()
    watched.stage.run(700, step_seconds=1.0)
    scrape = watched.scrape
    assert scrape.value("streams_purged_records_total", connector="growth", reason="deadline") == 3
    assert scrape.value("streams_purged_records_total", connector="growth", reason="ordered") == 0
    kinds = {kind: scrape.value("streams_alerts_total", connector="growth", kind=kind) for kind in ("half", "most")}
    assert kinds == {"half": 1, "most": 1}


def test_a_purge_that_cannot_be_done_is_overdue() -> None:
    watched = Watched(Vendor(status=401))
    watched.stage.event()
    watched.stage.run(5)
    watched.vendor.status = 500
    watched.stage.run(800, step_seconds=1.0)
    assert watched.scrape.value("streams_purge_overdue", **IN_SCOPE) == 1


def test_a_suspension_says_who_did_it() -> None:
    watched = Watched(Vendor(status=404))
    watched.stage.event()
    watched.stage.run(3)
    scrape = watched.scrape
    assert scrape.value("streams_connector_state", connector="growth", state="suspended") == 1
    assert scrape.value("streams_connector_state", connector="growth", state="running") == 0
    assert scrape.value("streams_connector_suspended_info", connector="growth", by="configuration") == 1
    assert scrape.value("streams_connector_suspended_info", connector="growth", by="operator") == 0
    assert scrape.value("streams_alerts_total", connector="growth", kind="suspended") == 1


def test_a_lease_that_is_lost_leaves_no_state_behind_that_nobody_keeps_up() -> None:
    watched = Watched(Vendor())
    watched.stage.event()
    watched.stage.run(1)
    watched.keeper_meter.surveyed(Surveyed(12, 3.0, {"rejected": 2}))
    assert watched.scrape.value("streams_waiting_records", connector="growth") == 12
    assert watched.scrape.value("streams_dead_letters", connector="growth", cause="credentials") == 0
    watched.stage.keeper.own(False)
    watched.stage.keeper.step()
    watched.keeper_meter.surveyed(Surveyed(12, 3.0, {"rejected": 2}))  # a look that was under way
    scrape = watched.scrape
    assert scrape.value("streams_keeper", connector="growth") == 0
    for name in (
        "waiting_records",
        "lag_seconds",
        "dead_letters",
        "scope_valid",
        "connector_state",
        "purge_overdue",
        "deletion_overdue",
    ):
        assert scrape.all(f"streams_{name}") == {}, name


def test_what_sinks_of_braze_counted_is_told_by_the_keeper_as_it_was_committed() -> None:
    watched = Watched(Vendor())
    watched.stage.event()
    watched.stage.run(1)
    tallies = {"data_points.events": 5, "dropped_values.type": 2, "unaccounted": 1, "sessions_dropped": 3}
    for maybe_doubled in (4, 4, 6):
        counts = SinkCounts(maybe_doubled=maybe_doubled, tallies=tallies)
        watched.keeper_meter.surveyed(Surveyed(0, 0.0, {}, composed=counts))
    scrape = watched.scrape
    assert scrape.value("streams_braze_maybe_doubled_total", connector="growth") == 6
    assert scrape.value("streams_braze_data_points_total", connector="growth", kind="events") == 5
    assert scrape.value("streams_braze_dropped_values_total", connector="growth", reason="type") == 2
    assert scrape.value("streams_braze_unaccounted_total", connector="growth") == 1
    assert scrape.value("streams_sessions_dropped_total", connector="growth") == 3
    watched.stage.keeper.own(False)
    watched.stage.keeper.step()
    assert scrape.value("streams_braze_maybe_doubled_total", connector="growth") == 6
    assert watched.scrape.all("streams_braze_maybe_doubled_total") == {}
    assert watched.scrape.all("streams_braze_data_points_total") == {}


def test_what_a_keeper_did_before_is_not_told_again_by_the_next() -> None:
    first = Watched(Vendor(status=401))
    first.stage.event()
    first.stage.run(5)
    first.vendor.status = 200
    first.stage.run(60)
    metrics = Metrics()
    second = Stage(
        first.vendor,
        kafka=first.stage.kafka,
        clock=first.stage.clock,
        instance="sink-1",
        keeper_meter=KeeperTelemetry(metrics, "growth", ["default"]),
    )
    second.run(5)
    scrape = Scrape(metrics.exposition())
    assert scrape.value("streams_keeper", connector="growth") == 1
    assert scrape.value("streams_redriven_records_total", connector="growth") == 0
    assert scrape.value("streams_alerts_total", connector="growth", kind="invalid") == 0


def test_a_router_counts_what_it_committed_and_nothing_of_what_was_aborted() -> None:
    metrics = Metrics()
    stage = RouterStage(RouterTelemetry(metrics, ["one"]))
    for number in range(4):
        stage.write(number, known())
    stage.kafka.write("currents.users.messages.email.Open", b"no event", b"key")
    stage.kafka.refuse_commits = 1
    stage.run(1)
    scrape = Scrape(metrics.exposition())
    assert scrape.value("streams_source_records_total") == 5
    assert scrape.value("streams_routed_records_total", connector="one") == 4
    assert scrape.value("streams_undecodable_records_total") == 1
    assert scrape.value("streams_router_skipped_records_total", reason="no_mapping") == 0
    assert scrape.value("streams_lost_records_total", connector="source") == 0


def test_strings_that_were_cut_and_records_that_no_feed_takes_are_counted() -> None:
    metrics, clock = Metrics(), MovableClock()
    meter = SinkTelemetry(metrics, "growth", ["ios"], event_time=lambda _message: None, clock=clock)
    feeds = {"ios": {"key": "ios-key", "secret": "ios-secret"}}
    settings = {"base_url": "http://mparticle.test", "feeds": feeds, "feed_fallback": "skip"}
    stage = Stage(destination="mparticle", settings=settings, clock=clock, meter=meter)
    push = "users.messages.pushnotification.Open"
    stage.event(push, platform="ios", campaign_name="x" * 5_000)
    stage.event(push, platform="android", campaign_name="short")
    stage.run(2)
    scrape = Scrape(metrics.exposition())
    assert scrape.value("streams_truncated_strings_total", connector="growth") == 1
    no_feed = scrape.value("streams_skipped_records_total", connector="growth", reason="no_credentials_for_feed")
    assert no_feed == 1
