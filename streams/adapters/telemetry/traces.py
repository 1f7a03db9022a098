"""Traces by the OpenTelemetry SDK: a span per router transaction, per sink batch and per HTTP attempt.

Imported only where the `OTEL_*` variables ask for traces; the SDK is the extra `otel`. Spans link to sampled events by
their `traceparent` headers; a record's key and value, whole URLs and whatever is a secret never become attributes.
Names are those of OpenTelemetry's semantic conventions 1.44 (messaging: in development; HTTP: stable).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from streams import __version__
from streams.delivery.account import RouterCounts
from streams.delivery.batch import Batch
from streams.delivery.contract import Delivered, NoResponse, Refused, Request, Undetermined, Verdict
from streams.ports.http import Answer
from streams.ports.kafka import Message
from streams.ports.meters import TRACEPARENT_HEADER

log = structlog.get_logger(__name__)

SAMPLED_SHARE = 0.01
"""Of transactions and batches, unless `OTEL_TRACES_SAMPLER` says otherwise: a span costs 19 µs, one not sampled 5."""
LINKS_MAX = 32
LOOKED_AT_MAX = 200
"""Records of a sampled batch whose headers are read for links: reading 2,000 would cost more than sending them."""
OPEN_BATCHES_MAX = 256
"""Batches that were sent and not settled; those that were parked or taken away are ended when there are more."""
CLOSE_SECONDS_MAX = 3.0
"""What is not exported by then is dropped: a stop has 25 s, and a collector that is away must not take them."""
SAY_SECONDS = 60.0

_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TracingUnavailable(Exception):
    """The `OTEL_*` variables ask for what cannot be had; the text says what would be right."""


class Tracing:
    """The traces of one process."""

    def __init__(self, service: str, instance: str, exporter: SpanExporter, sampler: Sampler | None = None) -> None:
        """A `sampler` of None is the one that `OTEL_TRACES_SAMPLER` names."""
        resource = Resource.create(
            {"service.name": service, "service.version": __version__, "service.instance.id": instance}
        )
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("streams", __version__)
        self._sinks: list[SinkTraces] = []

    def router(self, group: str) -> RouterTraces:
        return RouterTraces(self._tracer, group)

    def sink(self, connector: str, topic: str, group: str) -> SinkTraces:
        sink = SinkTraces(self._tracer, connector, topic, group)
        self._sinks.append(sink)
        return sink

    def flush(self) -> None:
        """Wait until everything that ended was exported."""
        self._provider.force_flush()

    def close(self) -> None:
        """Export what ended, as far as the collector takes it in time."""
        for sink in self._sinks:
            sink.close()
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS_MAX)


class RouterTraces:
    """One transaction at a time."""

    def __init__(self, tracer: Tracer, group: str) -> None:
        self._tracer = tracer
        self._name = f"process {group}"
        self._attributes = _messaging(group)
        self._span: Span | None = None

    def began(self, messages: Sequence[Message]) -> bytes:
        """The `traceparent` of what the transaction writes; empty where it is not sampled."""
        self._span = span = self._tracer.start_span(
            self._name, Context(), SpanKind.CONSUMER, attributes=self._attributes
        )
        if not span.is_recording():
            return b""
        _link(span, messages)
        context = span.get_span_context()
        return b"00-%032x-%016x-01" % (context.trace_id, context.span_id)

    def committed(self, counts: RouterCounts) -> None:
        if self._span is not None:
            self._span.set_attribute("messaging.batch.message_count", counts.read)
            self._end()

    def aborted(self) -> None:
        if self._span is not None:
            self._span.set_attribute("error.type", "transaction_aborted")
            self._span.set_status(StatusCode.ERROR)
            self._end()

    def _end(self) -> None:
        if self._span is not None:
            self._span.end()
            self._span = None


class SinkTraces:
    """A span for each batch from its first request until it is settled, and within it one for each request."""

    def __init__(self, tracer: Tracer, connector: str, topic: str, group: str) -> None:
        self._tracer = tracer
        self._name = f"process {topic}"
        self._attributes = {
            **_messaging(group),
            "messaging.destination.name": topic,
            "streams.connector": connector,
        }
        self._batches: dict[Batch[Message], Span] = {}
        self._requests: dict[int, tuple[Span, int]] = {}
        """By ticket, with when it was sent (ns since 1970)."""

    def sent(self, ticket: int, batch: Batch[Message]) -> None:
        parent = self._batches.get(batch)
        if parent is None:
            parent = self._begun(batch)
        request = batch.request
        assert request is not None, "a batch that was sent has a request"
        began = time.time_ns()
        span = self._tracer.start_span(
            request.method,
            set_span_in_context(parent, Context()),
            SpanKind.CLIENT,
            attributes=_http(request, batch.attempts) if parent.is_recording() else None,
            start_time=began,
        )
        self._requests[ticket] = (span, began)

    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None:
        span, began = self._requests.pop(answer.ticket)
        outcome = answer.outcome
        if isinstance(outcome, NoResponse):
            span.set_attribute("error.type", "configuration" if outcome.is_misconfigured else "no_answer")
            span.set_status(StatusCode.ERROR)
        else:
            span.set_attribute("http.response.status_code", outcome.status)
            if outcome.status >= 400:
                span.set_attribute("error.type", str(outcome.status))
                span.set_status(StatusCode.ERROR)
        span.end(began + round(answer.seconds * 1e9))
        if isinstance(verdict, Delivered | Refused | Undetermined):
            settled = self._batches.pop(batch, None)
            if settled is not None:
                settled.set_attribute("streams.outcome", type(verdict).__name__.lower())
                settled.end()

    def close(self) -> None:
        """End what is open: nobody waits for its answer any more."""
        for span, _ in self._requests.values():
            span.end()
        for batch_span in self._batches.values():
            batch_span.end()
        self._requests.clear()
        self._batches.clear()

    def _begun(self, batch: Batch[Message]) -> Span:
        while len(self._batches) >= OPEN_BATCHES_MAX:
            self._batches.pop(next(iter(self._batches))).end()
        span = self._tracer.start_span(self._name, Context(), SpanKind.CONSUMER, attributes=self._attributes)
        if span.is_recording():
            span.set_attribute("streams.scope", batch.scope)
            span.set_attribute("messaging.batch.message_count", len(batch))
            _link(span, batch.sources)
        self._batches[batch] = span
        return span


def tracing_from(environment: Mapping[str, str], service: str, instance: str) -> Tracing:
    """Traces as the `OTEL_*` variables say. Raises `TracingUnavailable`."""
    name = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    exporter: SpanExporter
    if name == "otlp":
        exporter = _otlp(environment)
    elif name == "console":
        exporter = ConsoleSpanExporter()
    else:
        raise TracingUnavailable(f"OTEL_TRACES_EXPORTER is {name}: use otlp, console or none")
    _say_what_is_not_exported()
    sampler = None if environment.get("OTEL_TRACES_SAMPLER") else ParentBased(TraceIdRatioBased(SAMPLED_SHARE))
    return Tracing(environment.get("OTEL_SERVICE_NAME") or service, instance, exporter, sampler)


def _otlp(environment: Mapping[str, str]) -> SpanExporter:
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(variable)
        if protocol and protocol != "http/protobuf":
            raise TracingUnavailable(f"{variable} is {protocol}: give http/protobuf (collectors: port 4318)")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _messaging(group: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": group,
    }


def _http(request: Request, attempts: int) -> dict[str, str | int]:
    """Of the URL only what names the place: a query may hold a project's id."""
    url = urlsplit(request.url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    attributes: dict[str, str | int] = {
        "http.request.method": request.method,
        "url.full": f"{url.scheme}://{host}:{port}{url.path}",
        "server.address": host,
        "server.port": port,
        "http.request.body.size": len(request.body),
    }
    if attempts > 1:
        attributes["http.request.resend_count"] = attempts - 1
    return attributes


def _link(span: Span, messages: Sequence[Message]) -> None:
    """Link to the traces of sampled records, each once."""
    seen = set()
    for message in messages[:LOOKED_AT_MAX]:
        context = _traced(message)
        if context is None or (context.trace_id, context.span_id) in seen:
            continue
        seen.add((context.trace_id, context.span_id))
        span.add_link(context)
        if len(seen) >= LINKS_MAX:
            return


def _traced(message: Message) -> SpanContext | None:
    for name, value in message.headers() or ():
        if name == TRACEPARENT_HEADER and value and (parts := _TRACEPARENT.fullmatch(value)):
            flags = TraceFlags(int(parts[3], 16))
            context = SpanContext(int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=flags)
            return context if context.is_valid and flags.sampled else None
    return None


class _OneLine(logging.Handler):
    """The SDK's complaints as lines of our log, one a minute: a collector that is away is no reason to flood it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._say_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now >= self._say_at:
            self._say_at = now + SAY_SECONDS
            with suppress(ValueError, TypeError):  # a message that does not fit its arguments
                log.warning("traces are not exported", says=record.getMessage())


def _say_what_is_not_exported() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers = [_OneLine()]
    logger.propagate = False
