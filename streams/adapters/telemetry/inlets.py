"""The meter of storage inlets on prometheus_client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from streams.adapters.telemetry.prometheus import Metrics
from streams.inlets.progress import Counts
from streams.ports.meters import InletState

REASONS = ("forbidden", "throttled", "unreachable", "topic")
OBJECTS = {
    "taken": "streams_inlet_files_total",
    "rewritten": "streams_inlet_rewritten_total",
    "copies": "streams_inlet_copies_total",
    "lost": "streams_inlet_lost_total",
    "passed": "streams_inlet_passed_records_total",
}
"""Counters by what is counted."""


class InletTelemetry:
    """What the process reports that is active for an inlet. One that is not reports only that."""

    def __init__(self, metrics: Metrics, inlet: str) -> None:
        self._metrics = metrics
        self._inlet = inlet
        self._types = set[str]()
        metrics.gauge("streams_inlet_active", inlet)
        for name in asdict(Counts()).keys() - {"records"}:
            metrics.counter(OBJECTS[name], inlet)

    def lease_held(self, is_held: bool) -> None:
        self._metrics.gauge("streams_inlet_active", self._inlet).set(int(is_held))
        if not is_held:
            self.stands(InletState(0, 0, 0.0, 0, 0, 0.0, "", dict.fromkeys(self._types, 0.0)))

    def committed(self, topics: Mapping[str, int], objects: Mapping[str, int]) -> None:
        for topic, records in topics.items():
            self._metrics.counter("streams_inlet_records_total", self._inlet, topic).inc(records)
        for name, count in objects.items():
            self._metrics.counter(OBJECTS[name], self._inlet).inc(count)

    def noticed(self, worth: str) -> None:
        self._metrics.counter("streams_inlet_notices_total", self._inlet, worth).inc()

    def stands(self, state: InletState) -> None:
        for name, value in (
            ("streams_inlet_pending_files", state.pending),
            ("streams_inlet_pending_bytes", state.pending_bytes),
            ("streams_inlet_oldest_pending_seconds", state.oldest_pending_seconds),
            ("streams_inlet_parked_files", state.parked),
            ("streams_inlet_damaged_files", state.damaged),
            ("streams_inlet_listing_age_seconds", state.listing_seconds),
        ):
            self._metrics.gauge(name, self._inlet).set(value)
        for reason in REASONS:
            self._metrics.gauge("streams_inlet_failing", self._inlet, reason).set(int(reason == state.failing))
        for event_type, seconds in state.silence_seconds.items():
            self._types.add(event_type)
            self._metrics.gauge("streams_inlet_silence_seconds", self._inlet, event_type).set(seconds)
