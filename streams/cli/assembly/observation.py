"""What can be seen of a process from outside: its HTTP port, and traces where `OTEL_*` asks for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from streams.adapters.clock import SystemClock
from streams.cli.errors import CommandError, ExitCode
from streams.ports.clock import Clock
from streams.ports.meters import UNMEASURED, InletMeter, KeeperMeter, ReceiverMeter, RouterMeter, SinkMeter
from streams.ports.pulse import Pulse

if TYPE_CHECKING:
    from streams.adapters.telemetry.prometheus import EventTime, KeeperTelemetry, Metrics
    from streams.adapters.telemetry.traces import Tracing
    from streams.config import Settings
    from streams.config.receiver import Entries
    from streams.operations.survey import Survey
    from streams.web.page_server import Page

log = structlog.get_logger(__name__)

HOST = "0.0.0.0"  # noqa: S104 - a probe comes from the node, a scrape from another pod
SURVEY_SECONDS = 15.0
"""Between two looks at Kafka for what no process knows by itself; Prometheus looks as often."""
LEASE_SECONDS = 1.0
"""How soon a new keeper looks for the first time."""
STOP_SECONDS_MAX = 2.0

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")


@dataclass(frozen=True, slots=True)
class Observation:
    """What the workers of a process report to. Without metrics and traces they report to nobody."""

    pulse: Pulse
    metrics: Metrics | None = None
    tracing: Tracing | None = None
    is_listening: bool = False

    def router_meter(self, connectors: Sequence[str], group: str) -> RouterMeter:
        if self.metrics is None:
            return UNMEASURED
        from streams.adapters.telemetry.prometheus import RouterTelemetry

        return RouterTelemetry(self.metrics, connectors, None if self.tracing is None else self.tracing.router(group))

    def sink_meter(
        self, connector: str, scopes: Sequence[str], *, topic: str, group: str, event_time: EventTime, clock: Clock
    ) -> SinkMeter:
        if self.metrics is None:
            return UNMEASURED
        from streams.adapters.telemetry.prometheus import SinkTelemetry

        spans = None if self.tracing is None else self.tracing.sink(connector, topic, group)
        return SinkTelemetry(self.metrics, connector, scopes, event_time=event_time, clock=clock, spans=spans)

    def receiver_meter(self, entries: Entries, inlets: Iterable[str]) -> ReceiverMeter:
        if self.metrics is None:
            return UNMEASURED
        from streams.adapters.telemetry.receiver import ReceiverTelemetry

        places = [(name, entry) for name, those in entries.items() for entry in those]
        return ReceiverTelemetry(self.metrics, places, inlets)

    def inlet_meter(self, name: str) -> InletMeter:
        if self.metrics is None:
            return UNMEASURED
        from streams.adapters.telemetry.inlets import InletTelemetry

        return InletTelemetry(self.metrics, name)

    def keeper_meter(self, settings: Settings, connector: str, scopes: Sequence[str], stack: ExitStack) -> KeeperMeter:
        """With a thread that counts what Kafka tells while the lease is held; it ends with the stack."""
        if self.metrics is None or not self.is_listening:
            return UNMEASURED
        from streams.adapters.telemetry.prometheus import KeeperTelemetry
        from streams.cli.assembly.installation import connect
        from streams.operations.survey import CLIENT_ID, Survey

        meter = KeeperTelemetry(self.metrics, connector, scopes)
        stop = threading.Event()
        survey = Survey(connect(settings, CLIENT_ID), connector)
        thread = threading.Thread(target=_look_around, args=(survey, meter, stop), name="survey", daemon=True)
        thread.start()
        stack.callback(thread.join, STOP_SECONDS_MAX)
        stack.callback(stop.set)
        return meter


@contextmanager
def observed(
    role: str, port: int | None, instance: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Observation]:
    """From here on the process can be looked at: on its port, if it has one, and through traces.

    Raises `CommandError` where the port is taken, or the traces that are asked for cannot be had.
    """
    pulse = Pulse(SystemClock())
    wants_traces = _wants_traces(environment)
    if port is None and not wants_traces:
        yield Observation(pulse)
        return
    from streams.adapters.telemetry.prometheus import Metrics

    with ExitStack() as stack:
        metrics = Metrics()
        tracing = None
        if wants_traces:
            tracing = _tracing(f"streams-{role}", instance, environment)
            stack.callback(tracing.close)
        if port is not None:
            _serve(port, environment.get("STREAMS_HTTP_HOST") or HOST, pulse, metrics, stack)
        yield Observation(pulse, metrics, tracing, is_listening=port is not None)


def _serve(port: int, host: str, pulse: Pulse, metrics: Metrics, stack: ExitStack) -> None:
    from streams.web.page_server import Page, PageServer
    from streams.web.server import PortTaken

    def metrics_page() -> Page:
        return Page(200, metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8")

    pages = {
        "/livez": lambda: _verdict(pulse.standstill()),
        "/readyz": lambda: _verdict(pulse.unready()),
        "/metrics": metrics_page,
    }
    try:
        server = PageServer(host, port, pages)
    except PortTaken as error:
        raise CommandError(f"{error}; give another --http-port, or 0 for any", ExitCode.USAGE) from error
    stack.callback(server.close)
    log.info("listening", host=host, port=server.port, paths=list(pages))


def _verdict(problem: str) -> Page:
    from streams.web.page_server import Page

    return Page(503, f"{problem}\n".encode()) if problem else Page(200, b"ok\n")


def _wants_traces(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(environment.get(name) for name in _ENDPOINTS)


def _tracing(service: str, instance: str, environment: Mapping[str, str]) -> Tracing:
    asked = next(name for name in _ENDPOINTS if environment.get(name))
    try:
        from streams.adapters.telemetry.traces import TracingUnavailable, tracing_from

        try:
            return tracing_from(environment, service, instance)
        except TracingUnavailable as error:
            raise CommandError(str(error), ExitCode.USAGE) from error
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{asked} asks for traces, but {error.name} is not installed: pip install 'currents-streams[otel]', "
            f"or unset {asked}",
            ExitCode.USAGE,
        ) from error


def _look_around(survey: Survey, meter: KeeperTelemetry, stop: threading.Event) -> None:
    due = 0.0
    while not stop.wait(LEASE_SECONDS):
        if not meter.holds_lease:
            due = 0.0
        elif time.monotonic() >= due:
            due = time.monotonic() + SURVEY_SECONDS
            surveyed = survey.look()
            if surveyed is not None:
                meter.surveyed(surveyed)
    survey.close()
