"""The part of the table of metrics that is about inlets, from storage and over HTTP."""

from __future__ import annotations

from streams.adapters.telemetry.metric import BODY_BUCKETS, REQUEST_BUCKETS, Metric

_INLET = ("inlet",)

INLET_METRICS: tuple[Metric, ...] = (
    Metric("streams_inlet_active", _INLET, "inlet", "1 if this process is the inlet's active one, else 0."),
    Metric(
        "streams_inlet_records_total", ("inlet", "topic"), "inlet", "Records of files that were written to a topic."
    ),
    Metric("streams_inlet_files_total", _INLET, "inlet", "Files that were taken whole."),
    Metric(
        "streams_inlet_rewritten_total",
        _INLET,
        "inlet",
        "Files that were written again under their name with other records: all of those were taken.",
    ),
    Metric(
        "streams_inlet_copies_total",
        _INLET,
        "inlet",
        "Files that were taken before under another name, or by hand.",
    ),
    Metric("streams_inlet_lost_total", _INLET, "inlet", "Files that vanished before they were read."),
    Metric(
        "streams_inlet_passed_records_total", _INLET, "inlet", "Records that Kafka does not take, named in the log."
    ),
    Metric("streams_inlet_pending_files", _INLET, "inlet", "Files that were found and are not taken yet."),
    Metric("streams_inlet_pending_bytes", _INLET, "inlet", "Their size."),
    Metric(
        "streams_inlet_oldest_pending_seconds",
        _INLET,
        "inlet",
        "Age of the oldest file that is not taken yet; 0 if there is none. Parked files are not counted.",
    ),
    Metric(
        "streams_inlet_damaged_files",
        _INLET,
        "inlet",
        "Files that could not be read and wait for a correct version.",
    ),
    Metric("streams_inlet_parked_files", _INLET, "inlet", "Files that cannot be read: a person must decide."),
    Metric("streams_inlet_listing_age_seconds", _INLET, "inlet", "Since the last listing that was finished."),
    Metric(
        "streams_inlet_failing",
        ("inlet", "reason"),
        "inlet",
        "1 while the inlet cannot continue: the store is `forbidden`, `throttled` or `unreachable`, or a `topic` is "
        "missing and may not be created.",
    ),
    Metric(
        "streams_inlet_silence_seconds",
        ("inlet", "event_type"),
        "inlet",
        "Since the newest file of an event type was written. Types that this process saw are reported.",
    ),
    Metric(
        "streams_inlet_notices_total",
        ("inlet", "worth"),
        "inlet",
        "Messages of `notify_queue`: `useful` ones start a listing. `useless`, `foreign` (another bucket or prefix) "
        "and `malformed` ones are only deleted.",
    ),
    Metric(
        "streams_http_inlet_requests_total",
        ("inlet", "code"),
        "receiver",
        "Requests of Braze to an HTTP inlet, by the status of the answer; `none` if Braze went away. The inlet is "
        "`-` for a name that none has.",
    ),
    Metric(
        "streams_http_inlet_seconds",
        _INLET,
        "receiver",
        "From a request's header to its answer, which comes after the commit.",
        REQUEST_BUCKETS,
    ),
    Metric("streams_http_inlet_body_bytes", _INLET, "receiver", "Size of whole bodies, as inflated.", BODY_BUCKETS),
    Metric("streams_http_inlet_events_total", _INLET, "receiver", "Events that were written to Currents topics."),
    Metric(
        "streams_http_inlet_skipped_total",
        ("inlet", "reason"),
        "receiver",
        "What did not become an event: `undecodable` are dead letters of `source`, `repeated` came twice in one "
        "request, `refused_by_kafka` no topic takes.",
    ),
    Metric(
        "streams_http_inlet_auth_failures_total",
        _INLET,
        "receiver",
        "Requests with a wrong token, or without one. Braze sends their events again, if they are answered 503.",
    ),
)
