"""The one table of every metric: name, labels, who reports it, what it means; and the page that is made from it.

`python -m streams.adapters.telemetry.metrics docs/metrics.md` renews the table in the page, between its two marks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from streams.adapters.telemetry.inlet_metrics import INLET_METRICS
from streams.adapters.telemetry.metric import (
    BODY_BUCKETS,
    FRESHNESS_BUCKETS,
    RECORDS_BUCKETS,
    REQUEST_BUCKETS,
    Metric,
)

BEGIN = "<!-- metrics: begin (made by python -m streams.adapters.telemetry.metrics) -->"
END = "<!-- metrics: end -->"

_CONNECTOR = ("connector",)
_SCOPED = ("connector", "scope")
_ENTRY = ("connector", "entry")

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("streams_build_info", ("version",), "every process", "Always 1; the version that runs."),
        Metric("streams_source_records_total", (), "router", "Records of Currents topics that were read and settled."),
        Metric(
            "streams_routed_records_total", _CONNECTOR, "router", "Records that were written onto a connector's topic."
        ),
        Metric(
            "streams_router_skipped_records_total",
            ("reason",),
            "router",
            "Records that no connector got: `no_mapping`, `not_selected`, `no_external_user_id`, `refused_by_kafka`.",
        ),
        Metric(
            "streams_undecodable_records_total",
            (),
            "router",
            "Records that went to the dead letters of the source: not a readable event, or an unknown schema.",
        ),
        Metric(
            "streams_lost_records_total",
            _CONNECTOR,
            "sink",
            "Offsets that retention deleted before they were read. The router reports those of Currents topics, "
            "with the connector `source`.",
        ),
        Metric(
            "streams_delivered_records_total",
            _SCOPED,
            "sink",
            "Records that the destination took. A record that is sent again after a crash is counted again.",
        ),
        Metric(
            "streams_skipped_records_total",
            ("connector", "reason"),
            "sink",
            "Records that were not sent: `no_credentials_for_feed`, `forgotten` (of a user to be forgotten), or "
            "`refused_by_kafka` (not even as a dead letter).",
        ),
        Metric(
            "streams_parked_records_total",
            ("connector", "cause", "scope"),
            "sink",
            "Dead letters written: `credentials`, `rejected`, `gave-up`. The scope is `-` if a record broke a rule "
            "before its scope was known.",
        ),
        Metric(
            "streams_truncated_strings_total",
            _CONNECTOR,
            "sink",
            "Strings that were cut to the destination's limit, or had bytes that are not UTF-8 (U+FFFD is sent).",
        ),
        Metric(
            "streams_delivery_requests_total",
            ("connector", "scope", "status_class"),
            "sink",
            "Requests that were answered: `2xx`, `3xx`, `4xx`, `5xx`; `none` if no complete answer came. "
            "Probes are not counted.",
        ),
        Metric(
            "streams_delivery_request_seconds",
            _SCOPED,
            "sink",
            "From a request to its complete answer.",
            REQUEST_BUCKETS,
        ),
        Metric(
            "streams_delivery_retries_total", _SCOPED, "sink", "Requests that were sent again, with the same records."
        ),
        Metric("streams_delivery_bytes_total", _CONNECTOR, "sink", "Bytes of request bodies, as sent (compressed)."),
        Metric("streams_requests_in_flight", _SCOPED, "sink", "Requests that wait for their answer now."),
        Metric("streams_batch_records", _CONNECTOR, "sink", "Records of a request.", RECORDS_BUCKETS),
        Metric(
            "streams_delivery_freshness_seconds",
            _CONNECTOR,
            "sink",
            "From the event's own time to the destination's 2xx, of the first record of each request.",
            FRESHNESS_BUCKETS,
        ),
        Metric(
            "streams_keeper",
            _CONNECTOR,
            "sink",
            "1 if this process is the connector's keeper, else 0. The router reports `source`.",
        ),
        Metric(
            "streams_source_waiting_records",
            ("topic",),
            "router",
            "Records of a Currents topic that were not read, up to its high watermark, with those of open "
            "transactions. Reported by the keeper of the source.",
        ),
        Metric(
            "streams_source_lag_seconds",
            ("topic",),
            "router",
            "Age of the oldest record of a Currents topic that was not read; 0 if there is none. "
            "Reported by the keeper of the source.",
        ),
        Metric(
            "streams_waiting_partitions",
            ("connector", "reason"),
            "sink",
            "Partitions that are stopped at a record: `schema` (not known yet), `registry` (does not answer), `memory` "
            "(what the sink remembers cannot be opened), `counts` (no room for them in a commit). "
            "The router reports those of Currents topics, with the connector `source`.",
        ),
        Metric(
            "streams_backing_off",
            _SCOPED,
            "sink",
            "1 while records wait because the destination answered 429 or 5xx, or did not answer.",
        ),
        Metric(
            "streams_aborted_transactions_total",
            _CONNECTOR,
            "sink",
            "Transactions that were aborted; their records are processed again. The router reports `source`.",
        ),
        Metric("streams_lag_seconds", _CONNECTOR, "keeper", "Age of the oldest record that waits; 0 if none waits."),
        Metric(
            "streams_waiting_records", _CONNECTOR, "keeper", "Records on the connector's topic that are not settled."
        ),
        Metric(
            "streams_dead_letters",
            ("connector", "cause"),
            "keeper",
            "Dead letters that exist now, by cause; those of `source` all count as `undecodable`."
        ),
        Metric(
            "streams_connector_state",
            ("connector", "state"),
            "keeper",
            "1 for the state that the connector is in, 0 for the other: `running`, `suspended`.",
        ),
        Metric(
            "streams_connector_suspended_info",
            ("connector", "by"),
            "keeper",
            "1 while it is suspended; `by` says who did it: `operator`, `flood`, `configuration`.",
        ),
        Metric("streams_scope_valid", _SCOPED, "keeper", "1 while the scope's credentials are VALID, 0 while INVALID."),
        Metric(
            "streams_scope_invalid_since_seconds",
            _SCOPED,
            "keeper",
            "When the credentials became INVALID, in seconds since 1970; 0 while VALID.",
        ),
        Metric(
            "streams_scope_refused_though_valid",
            _SCOPED,
            "keeper",
            "1 while the destination answers 401 or 403 to traffic, and accepts a probe with the same credentials.",
        ),
        Metric(
            "streams_purge_deadline_seconds",
            _SCOPED,
            "keeper",
            "When the first dead letter of INVALID credentials may be purged, in seconds since 1970; 0 while VALID.",
        ),
        Metric(
            "streams_purge_overdue",
            _SCOPED,
            "keeper",
            "1 while letters are past their deadline and not purged: no probe was refused since, or the clocks differ.",
        ),
        Metric(
            "streams_deletion_overdue",
            _CONNECTOR,
            "keeper",
            "1 while Kafka refuses to delete the bytes of settled letters; the keeper tries again.",
        ),
        Metric(
            "streams_redriven_records_total",
            _CONNECTOR,
            "keeper",
            "Dead letters that were redriven after the credentials were VALID again.",
        ),
        Metric(
            "streams_replayed_records_total", _CONNECTOR, "keeper", "Dead letters that a person ordered to replay."
        ),
        Metric(
            "streams_purged_records_total",
            ("connector", "reason"),
            "keeper",
            "Dead letters that were deleted for good: `deadline` (grace over), `ordered` (by a person), `expired`.",
        ),
        Metric(
            "streams_alerts_total",
            ("connector", "kind"),
            "keeper",
            "Alerts that were sent: `invalid`, `half` and `most` of the grace, `recovered`, `refused` (though a probe "
            "is accepted), `suspended`, `purged`, `lost`.",
        ),
        Metric(
            "streams_receiver_requests_total",
            ("connector", "entry", "code"),
            "receiver",
            "Requests of vendors, by the status of the answer; `none` if the sender went away. Connector and entry are "
            "`-` for an address that no entry has.",
        ),
        Metric(
            "streams_braze_data_points_total",
            ("connector", "kind"),
            "keeper",
            "Data points by kind of object, an estimate: custom attributes, events, purchases.",
        ),
        Metric(
            "streams_braze_dropped_values_total",
            ("connector", "reason"),
            "keeper",
            "Values that Braze does not take, left out or `cut`: by `type`, `name`, `reserved`, `value`.",
        ),
        Metric(
            "streams_braze_maybe_doubled_total",
            _CONNECTOR,
            "keeper",
            "Events that Braze may have counted once too often: a crash or a lost answer hides it.",
        ),
        Metric(
            "streams_braze_unaccounted_total",
            _CONNECTOR,
            "keeper",
            "Events that Braze refused without naming one; they cannot be sent again.",
        ),
        Metric(
            "streams_sessions_dropped_total",
            _CONNECTOR,
            "keeper",
            "Full copies of a cohort that never became complete, by partition.",
        ),
        Metric(
            "streams_segments_cut_total",
            _CONNECTOR,
            "keeper",
            "Audiences that had no room in `SegmentMembership`.",
        ),
        Metric(
            "streams_sent_rows",
            _CONNECTOR,
            "sink",
            "Rows that this process remembers of what was sent to Braze: one a user, and few others. With the next "
            "three this is measured every 30 s.",
        ),
        Metric("streams_scratch_bytes", _CONNECTOR, "sink", "Size of the files that hold these rows."),
        Metric(
            "streams_sessions_open",
            _CONNECTOR,
            "sink",
            "Full copies of a cohort of which pages are missing. Each process that has a partition counts a copy once.",
        ),
        Metric(
            "streams_session_open_seconds",
            _CONNECTOR,
            "sink",
            "Since the oldest of these full copies began; 0 if there is none.",
        ),
        Metric("streams_receiver_requests_in_hand", (), "receiver", "Requests that wait for their answer now."),
        Metric(
            "streams_receiver_seconds",
            _ENTRY,
            "receiver",
            "From a request's header to its answer, which comes after the commit.",
            REQUEST_BUCKETS,
        ),
        Metric(
            "streams_receiver_body_bytes", _ENTRY, "receiver", "Size of whole bodies, as inflated.", BODY_BUCKETS
        ),
        Metric(
            "streams_receiver_records_total",
            _ENTRY,
            "receiver",
            "Records that were written onto the connector's topic. A page of a full copy counts once a partition.",
        ),
        Metric(
            "streams_receiver_skipped_total",
            ("connector", "entry", "reason"),
            "receiver",
            "Items that were left out: `loop`, `not_selected`, `no_external_user_id`, `hashed_identity`, `not_mapped`, "
            "`refused_by_kafka`.",
        ),
        Metric(
            "streams_receiver_auth_failures_total", _ENTRY, "receiver", "Requests with a wrong key, or without one."
        ),
        Metric(
            "streams_receiver_aborted_transactions_total",
            (),
            "receiver",
            "Transactions of which nothing is left. Their senders were told to try again.",
        ),
        *INLET_METRICS,
    )
}  # fmt: skip


def table() -> str:
    """The table of the page."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels) or '–'} "
        f"| {metric.by} | {metric.meaning} |"
        for metric in METRICS.values()
    ]
    return "\n".join(["| metric | kind | labels | reported by | meaning |", "|---|---|---|---|---|", *rows])


def renewed(page: str) -> str:
    """The page with its table as it should be. Raises `ValueError` if the marks are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the marks of the metrics")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
