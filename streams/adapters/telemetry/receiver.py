"""The receiver's meter on prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from streams.adapters.telemetry.prometheus import Metrics
from streams.wayback.bodies.taken import ReceiverSkip

CODES = ("200", "202", "400", "401", "503")
"""Statuses that are there from the start, at 0: so a rate sees the first one."""

INLET_CODES = ("200", "401", "413", "503")
INLET_SKIPS = ("undecodable", "repeated", "refused_by_kafka")


class ReceiverTelemetry:
    """What a receiver reports. `entries` are all that it serves, as connector and entry; `inlets` by name."""

    def __init__(self, metrics: Metrics, entries: Iterable[tuple[str, str]], inlets: Iterable[str] = ()) -> None:
        self._metrics = metrics
        self._aborted = metrics.counter("streams_receiver_aborted_transactions_total")
        self._in_hand = metrics.gauge("streams_receiver_requests_in_hand")
        for place in entries:
            for code in CODES:
                metrics.counter("streams_receiver_requests_total", *place, code)
            metrics.histogram("streams_receiver_seconds", *place)
            metrics.counter("streams_receiver_records_total", *place)
            metrics.counter("streams_receiver_auth_failures_total", *place)
            for reason in get_args(ReceiverSkip):
                metrics.counter("streams_receiver_skipped_total", *place, reason)

        for inlet in inlets:
            for code in INLET_CODES:
                metrics.counter("streams_http_inlet_requests_total", inlet, code)
            metrics.histogram("streams_http_inlet_seconds", inlet)
            metrics.counter("streams_http_inlet_events_total", inlet)
            metrics.counter("streams_http_inlet_auth_failures_total", inlet)
            for reason in INLET_SKIPS:
                metrics.counter("streams_http_inlet_skipped_total", inlet, reason)

    def answered(self, connector: str, entry: str, code: str, seconds: float) -> None:
        self._metrics.counter("streams_receiver_requests_total", connector, entry, code).inc()
        self._metrics.histogram("streams_receiver_seconds", connector, entry).observe(seconds)

    def in_hand(self, requests: int) -> None:
        self._in_hand.set(requests)

    def read(self, connector: str, entry: str, body_bytes: int) -> None:
        self._metrics.histogram("streams_receiver_body_bytes", connector, entry).observe(body_bytes)

    def not_admitted(self, connector: str, entry: str) -> None:
        self._metrics.counter("streams_receiver_auth_failures_total", connector, entry).inc()

    def written(self, connector: str, entry: str, records: int, skipped: Mapping[str, int]) -> None:
        self._metrics.counter("streams_receiver_records_total", connector, entry).inc(records)
        for reason, count in skipped.items():
            self._metrics.counter("streams_receiver_skipped_total", connector, entry, reason).inc(count)

    def aborted(self) -> None:
        self._aborted.inc()

    def inlet_answered(self, inlet: str, code: str, seconds: float) -> None:
        self._metrics.counter("streams_http_inlet_requests_total", inlet, code).inc()
        self._metrics.histogram("streams_http_inlet_seconds", inlet).observe(seconds)

    def inlet_read(self, inlet: str, body_bytes: int) -> None:
        self._metrics.histogram("streams_http_inlet_body_bytes", inlet).observe(body_bytes)

    def inlet_not_admitted(self, inlet: str) -> None:
        self._metrics.counter("streams_http_inlet_auth_failures_total", inlet).inc()

    def inlet_written(self, inlet: str, events: int, skipped: Mapping[str, int]) -> None:
        self._metrics.counter("streams_http_inlet_events_total", inlet).inc(events)
        for reason, count in skipped.items():
            self._metrics.counter("streams_http_inlet_skipped_total", inlet, reason).inc(count)
