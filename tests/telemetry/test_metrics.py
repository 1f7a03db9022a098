"""The metrics are those that alerts, dashboards and the page are written against."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streams import __version__
from streams.adapters.telemetry.metrics import END, METRICS, renewed
from streams.adapters.telemetry.prometheus import Metrics
from tests.telemetry.scrape import Scrape

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

CONTRACT = {
    "streams_build_info": ("gauge", "version"),
    "streams_source_records_total": ("counter", ""),
    "streams_routed_records_total": ("counter", "connector"),
    "streams_router_skipped_records_total": ("counter", "reason"),
    "streams_undecodable_records_total": ("counter", ""),
    "streams_delivered_records_total": ("counter", "connector scope"),
    "streams_skipped_records_total": ("counter", "connector reason"),
    "streams_parked_records_total": ("counter", "connector cause scope"),
    "streams_redriven_records_total": ("counter", "connector"),
    "streams_replayed_records_total": ("counter", "connector"),
    "streams_purged_records_total": ("counter", "connector reason"),
    "streams_lost_records_total": ("counter", "connector"),
    "streams_truncated_strings_total": ("counter", "connector"),
    "streams_delivery_requests_total": ("counter", "connector scope status_class"),
    "streams_delivery_request_seconds": ("histogram", "connector scope"),
    "streams_delivery_retries_total": ("counter", "connector scope"),
    "streams_delivery_bytes_total": ("counter", "connector"),
    "streams_requests_in_flight": ("gauge", "connector scope"),
    "streams_batch_records": ("histogram", "connector"),
    "streams_delivery_freshness_seconds": ("histogram", "connector"),
    "streams_source_waiting_records": ("gauge", "topic"),
    "streams_source_lag_seconds": ("gauge", "topic"),
    "streams_waiting_partitions": ("gauge", "connector reason"),
    "streams_backing_off": ("gauge", "connector scope"),
    "streams_aborted_transactions_total": ("counter", "connector"),
    "streams_lag_seconds": ("gauge", "connector"),
    "streams_waiting_records": ("gauge", "connector"),
    "streams_dead_letters": ("gauge", "connector cause"),
    "streams_connector_state": ("gauge", "connector state"),
    "streams_connector_suspended_info": ("gauge", "connector by"),
    "streams_scope_valid": ("gauge", "connector scope"),
    "streams_scope_invalid_since_seconds": ("gauge", "connector scope"),
    "streams_purge_deadline_seconds": ("gauge", "connector scope"),
    "streams_purge_overdue": ("gauge", "connector scope"),
    "streams_scope_refused_though_valid": ("gauge", "connector scope"),
    "streams_deletion_overdue": ("gauge", "connector"),
    "streams_keeper": ("gauge", "connector"),
    "streams_alerts_total": ("counter", "connector kind"),
    "streams_braze_data_points_total": ("counter", "connector kind"),
    "streams_braze_dropped_values_total": ("counter", "connector reason"),
    "streams_braze_maybe_doubled_total": ("counter", "connector"),
    "streams_braze_unaccounted_total": ("counter", "connector"),
    "streams_sessions_dropped_total": ("counter", "connector"),
    "streams_segments_cut_total": ("counter", "connector"),
    "streams_sent_rows": ("gauge", "connector"),
    "streams_scratch_bytes": ("gauge", "connector"),
    "streams_sessions_open": ("gauge", "connector"),
    "streams_session_open_seconds": ("gauge", "connector"),
    "streams_receiver_requests_total": ("counter", "connector entry code"),
    "streams_receiver_requests_in_hand": ("gauge", ""),
    "streams_receiver_seconds": ("histogram", "connector entry"),
    "streams_receiver_body_bytes": ("histogram", "connector entry"),
    "streams_receiver_records_total": ("counter", "connector entry"),
    "streams_receiver_skipped_total": ("counter", "connector entry reason"),
    "streams_receiver_auth_failures_total": ("counter", "connector entry"),
    "streams_receiver_aborted_transactions_total": ("counter", ""),
    "streams_http_inlet_requests_total": ("counter", "inlet code"),
    "streams_http_inlet_seconds": ("histogram", "inlet"),
    "streams_http_inlet_body_bytes": ("histogram", "inlet"),
    "streams_http_inlet_events_total": ("counter", "inlet"),
    "streams_http_inlet_skipped_total": ("counter", "inlet reason"),
    "streams_http_inlet_auth_failures_total": ("counter", "inlet"),
    "streams_inlet_active": ("gauge", "inlet"),
    "streams_inlet_records_total": ("counter", "inlet topic"),
    "streams_inlet_files_total": ("counter", "inlet"),
    "streams_inlet_rewritten_total": ("counter", "inlet"),
    "streams_inlet_copies_total": ("counter", "inlet"),
    "streams_inlet_lost_total": ("counter", "inlet"),
    "streams_inlet_passed_records_total": ("counter", "inlet"),
    "streams_inlet_notices_total": ("counter", "inlet worth"),
    "streams_inlet_pending_files": ("gauge", "inlet"),
    "streams_inlet_pending_bytes": ("gauge", "inlet"),
    "streams_inlet_oldest_pending_seconds": ("gauge", "inlet"),
    "streams_inlet_damaged_files": ("gauge", "inlet"),
    "streams_inlet_parked_files": ("gauge", "inlet"),
    "streams_inlet_listing_age_seconds": ("gauge", "inlet"),
    "streams_inlet_failing": ("gauge", "inlet reason"),
    "streams_inlet_silence_seconds": ("gauge", "inlet event_type"),
}


def test_names_kinds_and_labels_are_what_alerts_are_written_against() -> None:
    assert {name: (metric.kind, " ".join(metric.labels)) for name, metric in METRICS.items()} == CONTRACT


def test_a_metric_is_named_in_whole_words_and_a_counter_says_that_it_is_one() -> None:
    for metric in METRICS.values():
        assert re.fullmatch(r"streams_[a-z_]+", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name


def test_the_page_holds_the_table_as_it_is_declared() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert renewed(page) == page, "run: python -m streams.adapters.telemetry.metrics docs/metrics.md"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="marks"):
        renewed(f"{END} nothing")


def test_a_scrape_tells_the_version_and_the_process_and_no_times_of_creation() -> None:
    metrics = Metrics()
    metrics.counter("streams_source_records_total")
    scrape = Scrape(metrics.exposition())
    assert scrape.value("streams_build_info", version=__version__) == 1
    assert scrape.value("streams_source_records_total") == 0
    assert scrape.value("process_resident_memory_bytes") is not None
    assert "_created" not in scrape.text


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.counter("streams_source_records_total").inc(5)
    assert Scrape(other.exposition()).value("streams_source_records_total") is None
