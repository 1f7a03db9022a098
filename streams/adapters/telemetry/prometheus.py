"""Meters on prometheus_client: what workers report becomes the metrics of the table in `metrics`, in classic names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from streams import __version__
from streams.adapters.telemetry.metric import Metric
from streams.adapters.telemetry.metrics import METRICS
from streams.adapters.telemetry.way_back import WayBackCounters
from streams.config.names import SOURCE
from streams.delivery.account import Cause, RouterCounts, RouterSkip, SinkSkip
from streams.delivery.batch import Batch
from streams.delivery.contract import Delivered, NoResponse, Refused, Verdict
from streams.delivery.ledger import ParkedRecord
from streams.operations.survey import Surveyed
from streams.ports.clock import Clock
from streams.ports.http import Answer
from streams.ports.kafka import Message
from streams.ports.meters import Kept, Memorized, Moved
from streams.state.state_view import CONNECTOR_SCOPE
from streams.state.worker_records import Waits
from streams.workers.reading.waiting_partitions import Why

STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx", "none")
SUSPENDERS = ("operator", "flood", "configuration")
PURGE_REASONS = ("deadline", "ordered", "expired")
UNDECODABLE = "undecodable"
"""The router counts both causes of its letters as this one."""
ALERTS = ("invalid", "half", "most", "recovered", "refused", "suspended", "purged", "lost")

EventTime = Callable[[Message], int | None]
"""An event's own time in seconds since 1970; None where its record does not tell."""


class RouterSpans(Protocol):
    """Traces of the router, where somebody wants them."""

    def began(self, messages: Sequence[Message]) -> bytes: ...
    def committed(self, counts: RouterCounts) -> None: ...
    def aborted(self) -> None: ...


class SinkSpans(Protocol):
    """Traces of a sink, where somebody wants them."""

    def sent(self, ticket: int, batch: Batch[Message]) -> None: ...
    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None: ...


class Metrics:
    """The metrics of one process, in a registry of its own. May be written and read from any thread."""

    def __init__(self) -> None:
        # Else each counter has a second series, which no rule or dashboard of ours reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._of: dict[str, Counter | Gauge | Histogram] = {}
        self.gauge("streams_build_info", __version__).set(1)

    def counter(self, name: str, *labels: str) -> Counter:
        """A counter of the table, with these values of its labels; it begins at 0."""
        found = self._child(METRICS[name], labels)
        assert isinstance(found, Counter)
        return found

    def gauge(self, name: str, *labels: str) -> Gauge:
        found = self._child(METRICS[name], labels)
        assert isinstance(found, Gauge)
        return found

    def histogram(self, name: str, *labels: str) -> Histogram:
        found = self._child(METRICS[name], labels)
        assert isinstance(found, Histogram)
        return found

    def forget(self, name: str, *labels: str) -> None:
        """A series that nobody keeps up any more is not shown."""
        if name in self._of:
            self._of[name].remove(*labels)

    def exposition(self) -> bytes:
        """Prometheus' text format, version 0.0.4."""
        return generate_latest(self._registry)

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Counter | Gauge | Histogram:
        found = self._of.get(metric.name)
        if found is None:
            found = self._of[metric.name] = self._made(metric)
        return found.labels(*labels) if metric.labels else found

    def _made(self, metric: Metric) -> Counter | Gauge | Histogram:
        meaning = metric.meaning.replace("`", "")
        match metric.kind:
            case "counter":
                return Counter(metric.name, meaning, metric.labels, registry=self._registry)
            case "histogram":
                return Histogram(metric.name, meaning, metric.labels, buckets=metric.buckets, registry=self._registry)
            case _:
                return Gauge(metric.name, meaning, metric.labels, registry=self._registry)


class RouterTelemetry:
    """What a router reports. Every series is there from the start, at 0: so a rate sees the first record."""

    def __init__(self, metrics: Metrics, connectors: Sequence[str], spans: RouterSpans | None = None) -> None:
        self._spans = spans
        self._read = metrics.counter("streams_source_records_total")
        self._undecodable = metrics.counter("streams_undecodable_records_total")
        self._lost = metrics.counter("streams_lost_records_total", SOURCE)
        self._waits = WaitGauges(metrics, SOURCE, ())
        self._aborted = metrics.counter("streams_aborted_transactions_total", SOURCE)
        self._routed = {name: metrics.counter("streams_routed_records_total", name) for name in connectors}
        self._skipped = {
            reason: metrics.counter("streams_router_skipped_records_total", reason) for reason in get_args(RouterSkip)
        }

    def began(self, messages: Sequence[Message]) -> bytes:
        return b"" if self._spans is None else self._spans.began(messages)

    def committed(self, counts: RouterCounts) -> None:
        self._read.inc(counts.read)
        self._undecodable.inc(counts.undecodable)
        self._lost.inc(counts.lost)
        for connector, count in counts.routed.items():
            self._routed[connector].inc(count)
        for reason, count in counts.skipped.items():
            self._skipped[reason].inc(count)
        if self._spans is not None:
            self._spans.committed(counts)

    def waits(self, waits: Waits) -> None:
        self._waits.set(waits)

    def aborted(self) -> None:
        self._aborted.inc()
        if self._spans is not None:
            self._spans.aborted()

    def lost(self, records: int) -> None:
        self._lost.inc(records)


class WaitGauges:
    """What one process waits for."""

    def __init__(self, metrics: Metrics, connector: str, scopes: Sequence[str]) -> None:
        self._partitions = {why: metrics.gauge("streams_waiting_partitions", connector, why) for why in get_args(Why)}
        self._scopes = {scope: metrics.gauge("streams_backing_off", connector, scope) for scope in scopes}

    def set(self, waits: Waits) -> None:
        for why, gauge in self._partitions.items():
            gauge.set(sum(one.why == why for one in waits.partitions.values()))
        for scope, gauge in self._scopes.items():
            gauge.set(scope in waits.back_offs)


class SinkTelemetry:
    """What one connector's sink reports."""

    def __init__(
        self,
        metrics: Metrics,
        connector: str,
        scopes: Sequence[str],
        *,
        event_time: EventTime,
        clock: Clock,
        spans: SinkSpans | None = None,
    ) -> None:
        self._metrics = metrics
        self._connector = connector
        self._event_time = event_time
        self._clock = clock
        self._spans = spans
        self._bytes = metrics.counter("streams_delivery_bytes_total", connector)
        self._truncated = metrics.counter("streams_truncated_strings_total", connector)
        self._lost = metrics.counter("streams_lost_records_total", connector)
        self._batch_records = metrics.histogram("streams_batch_records", connector)
        self._freshness = metrics.histogram("streams_delivery_freshness_seconds", connector)
        self._waits = WaitGauges(metrics, connector, scopes)
        self._aborted = metrics.counter("streams_aborted_transactions_total", connector)
        for reason in get_args(SinkSkip):
            metrics.counter("streams_skipped_records_total", connector, reason)
        metrics.counter("streams_parked_records_total", connector, "rejected", CONNECTOR_SCOPE)
        self._of_scope = {scope: _ScopeMetrics(metrics, connector, scope) for scope in scopes}

    def sent(self, ticket: int, batch: Batch[Message]) -> None:
        request = batch.request
        assert request is not None, "a batch that was sent has a request"
        self._of_scope[batch.scope].in_flight.inc()
        self._bytes.inc(len(request.body))
        self._batch_records.observe(len(batch))
        if batch.attempts > 1:
            self._of_scope[batch.scope].retries.inc()
        if self._spans is not None:
            self._spans.sent(ticket, batch)

    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None:
        scope = self._of_scope[batch.scope]
        scope.in_flight.dec()
        scope.seconds.observe(answer.seconds)
        scope.requests(status_class(answer)).inc()
        if isinstance(verdict, Delivered | Refused):
            scope.delivered.inc(delivered(batch, verdict))
            event_time = self._event_time(batch.sources[0])
            if event_time is not None:
                # Restamped samples and clocks that differ lie in the future: as fresh as can be.
                self._freshness.observe(max(0.0, self._clock.epoch_ms() / 1000 - event_time))
        if self._spans is not None:
            self._spans.answered(batch, answer, verdict)

    def committed(self, skipped: Mapping[str, int], letters: Sequence[ParkedRecord[Message]]) -> None:
        for reason, count in skipped.items():
            self._metrics.counter("streams_skipped_records_total", self._connector, reason).inc(count)
        parked: dict[tuple[str, str], int] = {}
        for letter in letters:
            place = (letter.cause, letter.scope or CONNECTOR_SCOPE)
            parked[place] = parked.get(place, 0) + 1
        for (cause, scope), count in parked.items():
            self._metrics.counter("streams_parked_records_total", self._connector, cause, scope).inc(count)

    def truncated(self, strings: int) -> None:
        self._truncated.inc(strings)

    def lost(self, records: int) -> None:
        self._lost.inc(records)

    def aborted(self) -> None:
        self._aborted.inc()

    def waits(self, waits: Waits) -> None:
        self._waits.set(waits)

    def remembers(self, memorized: Memorized) -> None:
        for name, value in (
            ("streams_sent_rows", memorized.rows),
            ("streams_scratch_bytes", memorized.scratch_bytes),
            ("streams_sessions_open", memorized.open_copies),
            ("streams_session_open_seconds", memorized.oldest_copy_seconds),
        ):
            self._metrics.gauge(name, self._connector).set(value)


class _ScopeMetrics:
    """What each request of a scope is counted on: looked up once, for a look-up costs more than a count."""

    def __init__(self, metrics: Metrics, connector: str, scope: str) -> None:
        place = (connector, scope)
        self.delivered = metrics.counter("streams_delivered_records_total", *place)
        self.retries = metrics.counter("streams_delivery_retries_total", *place)
        self.seconds = metrics.histogram("streams_delivery_request_seconds", *place)
        self.in_flight = metrics.gauge("streams_requests_in_flight", *place)
        self._requests: dict[str, Counter] = {}
        self._new_requests = partial(metrics.counter, "streams_delivery_requests_total", *place)
        for status in STATUS_CLASSES:
            self.requests(status)
        for cause in get_args(Cause):
            metrics.counter("streams_parked_records_total", connector, cause, scope)

    def requests(self, status: str) -> Counter:
        """Of a status class, which may be one that no server should answer with."""
        found = self._requests.get(status)
        if found is None:
            found = self._requests[status] = self._new_requests(status)
        return found


class KeeperTelemetry:
    """What one connector's keeper reports; how it stands is shown only while the lease is held."""

    def __init__(self, metrics: Metrics, connector: str, scopes: Sequence[str]) -> None:
        self._metrics = metrics
        self._connector = connector
        self._is_source = connector == SOURCE
        self._causes: tuple[str, ...] = (UNDECODABLE,) if self._is_source else get_args(Cause)
        self._scopes = scopes
        self._lease_held = metrics.gauge("streams_keeper", connector)
        self._redriven = metrics.counter("streams_redriven_records_total", connector)
        self._replayed = metrics.counter("streams_replayed_records_total", connector)
        self._purged = {why: metrics.counter("streams_purged_records_total", connector, why) for why in PURGE_REASONS}
        self._alerts = {kind: metrics.counter("streams_alerts_total", connector, kind) for kind in ALERTS}
        self._topics: frozenset[str] = frozenset()
        self._way_back = WayBackCounters(connector, metrics.counter, metrics.forget)
        self.holds_lease = False

    def lease_held(self, is_held: bool) -> None:
        self.holds_lease = is_held
        self._lease_held.set(is_held)
        if not is_held:
            self.forget()

    def stands(self, kept: Kept) -> None:
        self._metrics.gauge("streams_deletion_overdue", self._connector).set(kept.is_deletion_overdue)
        if self._is_source:
            return
        name = self._connector
        gauge = self._metrics.gauge
        for state in ("running", "suspended"):
            gauge("streams_connector_state", name, state).set(kept.state.state.lower() == state)
        for by in SUSPENDERS:
            is_so = kept.state.state == "SUSPENDED" and kept.state.by == by
            gauge("streams_connector_suspended_info", name, by).set(is_so)
        for scope, state_of_scope in kept.scopes.items():
            is_invalid = state_of_scope.state == "INVALID"
            gauge("streams_scope_valid", name, scope).set(not is_invalid)
            since = state_of_scope.since / 1000 if is_invalid else 0
            gauge("streams_scope_invalid_since_seconds", name, scope).set(since)
            gauge("streams_purge_deadline_seconds", name, scope).set(kept.deadlines.get(scope, 0) / 1000)
            gauge("streams_purge_overdue", name, scope).set(bool(state_of_scope.overdue))
            gauge("streams_scope_refused_though_valid", name, scope).set(bool(state_of_scope.refused_though_good))

    def moved(self, moved: Moved) -> None:
        self._redriven.inc(moved.redriven)
        self._replayed.inc(moved.replayed)
        for reason, count in moved.purged.items():
            self._purged[reason].inc(count)
        for kind, count in moved.alerts.items():
            self._alerts[kind].inc(count)

    def surveyed(self, surveyed: Surveyed) -> None:
        """What was counted in Kafka; nothing of it is shown when the process is no longer the keeper."""
        if surveyed.waiting is not None:
            self._metrics.gauge("streams_waiting_records", self._connector).set(surveyed.waiting)
        if surveyed.lag_seconds is not None:
            self._metrics.gauge("streams_lag_seconds", self._connector).set(surveyed.lag_seconds)
        for cause in self._causes:
            self._metrics.gauge("streams_dead_letters", self._connector, cause).set(surveyed.dead_letters.get(cause, 0))
        for topic in self._topics - surveyed.topics.keys():
            self._forget_topic(topic)
        for topic, found in surveyed.topics.items():
            self._metrics.gauge("streams_source_waiting_records", topic).set(found.waiting)
            self._metrics.gauge("streams_source_lag_seconds", topic).set(found.lag_seconds)
        self._topics = frozenset(surveyed.topics)
        if surveyed.composed is not None:
            self._way_back.follow(surveyed.composed)
        if not self.holds_lease:
            self.forget()

    def _forget_topic(self, topic: str) -> None:
        for metric in ("streams_source_waiting_records", "streams_source_lag_seconds"):
            self._metrics.forget(metric, topic)

    def forget(self) -> None:
        """The next keeper tells it, from another process."""
        self._way_back.forget()
        name = self._connector
        topics, self._topics = self._topics, frozenset()
        for topic in topics:
            self._forget_topic(topic)
        for metric in ("streams_waiting_records", "streams_lag_seconds", "streams_deletion_overdue"):
            self._metrics.forget(metric, name)
        for cause in self._causes:
            self._metrics.forget("streams_dead_letters", name, cause)
        for state in ("running", "suspended"):
            self._metrics.forget("streams_connector_state", name, state)
        for by in SUSPENDERS:
            self._metrics.forget("streams_connector_suspended_info", name, by)
        for metric in (
            "streams_scope_valid",
            "streams_scope_invalid_since_seconds",
            "streams_purge_deadline_seconds",
            "streams_purge_overdue",
            "streams_scope_refused_though_valid",
        ):
            for scope in self._scopes:
                self._metrics.forget(metric, name, scope)


def status_class(answer: Answer) -> str:
    """`2xx` to `5xx`; `none` where no whole answer came."""
    if isinstance(answer.outcome, NoResponse):
        return "none"
    return f"{answer.outcome.status // 100}xx"


def delivered(batch: Batch[Message], verdict: Delivered | Refused) -> int:
    """Records of the batch that were delivered, and are still this process's to settle."""
    if isinstance(verdict, Delivered):
        return sum(span.end - span.first for span in batch.spans if not span.ledger.is_closed)
    places = enumerate(batch.places())
    return sum(not ledger.is_closed and index not in verdict.details for index, (ledger, _) in places)
