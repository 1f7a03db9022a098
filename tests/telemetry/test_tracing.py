"""Spans of a router's transactions and a sink's batches and requests, as an exporter in memory gets them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from streams.adapters.telemetry.prometheus import Metrics, RouterTelemetry, SinkTelemetry
from streams.adapters.telemetry.traces import LINKS_MAX, OPEN_BATCHES_MAX, Tracing, TracingUnavailable, tracing_from
from streams.cli.assembly.observation import observed
from streams.cli.errors import CommandError, ExitCode
from streams.delivery.contract import NoResponse, Request, Response
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.testing.clock import MovableClock
from tests.workers.stage import MIXPANEL, TOKEN, TOPIC, Stage, imports_all
from tests.workers.test_router import SOURCE, known
from tests.workers.test_router import Stage as RouterStage

GROUP = "streams.sink.growth"
TRACE, OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
SPAN = "b7ad6b7169203331"


class Traced:
    """Spans that ended, by name."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing("streams-test", "instance-0", self._exporter, sampler)

    def spans(self, name: str) -> Sequence[ReadableSpan]:
        self.tracing.flush()
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def everything(self) -> str:
        self.tracing.flush()
        return "\n".join(span.to_json() for span in self._exporter.get_finished_spans())

    def sink(self, answer: Stage | object = imports_all, **keys: object) -> Stage:
        clock = MovableClock()
        spans = self.tracing.sink("growth", TOPIC, GROUP)
        meter = SinkTelemetry(
            Metrics(), "growth", ["default"], event_time=lambda _message: None, clock=clock, spans=spans
        )
        return Stage(answer, clock=clock, meter=meter, **keys)  # type: ignore[arg-type]

    def router(self) -> RouterStage:
        return RouterStage(RouterTelemetry(Metrics(), ["one"], self.tracing.router("streams.router")))


@pytest.fixture
def traced() -> Traced:
    return Traced()


def write_traced(stage: RouterStage, number: int, traceparent: str) -> None:
    from random import Random

    record = sample_record("users.messages.email.Open", Random(number), 1_790_000_000)
    value = encode_single_object(known(), {**record, "external_user_id": f"user-{number}"})
    stage.kafka.write(SOURCE, value, b"key", [("traceparent", traceparent.encode())])


def traceparents(stage: RouterStage) -> list[str]:
    routed = stage.kafka.read("streams.connector.one")
    return [(value or b"").decode() for one in routed for name, value in one.headers() or [] if name == "traceparent"]


def test_a_transaction_of_the_router_is_one_span_with_the_number_of_its_records(traced: Traced) -> None:
    stage = traced.router()
    for number in range(3):
        stage.write(number, known())
    stage.run(1)
    (span,) = traced.spans("process streams.router")
    assert span.kind is SpanKind.CONSUMER
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "streams.router",
        "messaging.batch.message_count": 3,
    }


def test_what_a_sampled_transaction_writes_carries_its_context_and_what_came_with_one_keeps_its_own(
    traced: Traced,
) -> None:
    stage = traced.router()
    write_traced(stage, 1, f"00-{TRACE}-{SPAN}-01")
    stage.write(2, known())
    stage.run(1)
    (span,) = traced.spans("process streams.router")
    assert span.context is not None
    own = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
    assert traceparents(stage) == [f"00-{TRACE}-{SPAN}-01", own]
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]


def test_what_is_not_sampled_gets_no_header() -> None:
    traced = Traced(ALWAYS_OFF)
    stage = traced.router()
    stage.write(1, known())
    stage.run(1)
    assert len(stage.kafka.read("streams.connector.one")) == 1
    assert traceparents(stage) == []


def test_an_aborted_transaction_is_a_failed_span(traced: Traced) -> None:
    stage = traced.router()
    stage.write(1, known())
    stage.kafka.refuse_commits = 1
    stage.run(2)
    aborted, committed = traced.spans("process streams.router")
    assert (aborted.status.status_code, (aborted.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        "transaction_aborted",
    )
    assert committed.status.status_code is StatusCode.UNSET


def event_with(stage: Stage, traceparent: str) -> None:
    value = stage.event().value()
    del stage.kafka.records[TOPIC, 0][-1]
    stage.kafka.write(TOPIC, value, b"alice", [("traceparent", traceparent.encode())])


def test_a_batch_is_a_span_that_links_to_sampled_events_once_each(traced: Traced) -> None:
    stage = traced.sink()
    for traceparent in (
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01",
        f"00-{OTHER_TRACE}-{SPAN}-00",
        "00-nonsense",
    ):
        event_with(stage, traceparent)
    stage.run(1)
    (batch,) = traced.spans(f"process {TOPIC}")
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [TRACE]
    found = batch.attributes or {}
    assert found["messaging.batch.message_count"] == 4
    assert found["messaging.destination.name"] == TOPIC
    assert (found["streams.connector"], found["streams.scope"]) == ("growth", "default")


def test_the_links_of_a_batch_are_bounded(traced: Traced) -> None:
    stage = traced.sink()
    for number in range(100):
        event_with(stage, f"00-{number + 1:032x}-{SPAN}-01")
    stage.run(1)
    (batch,) = traced.spans(f"process {TOPIC}")
    assert len(batch.links) == LINKS_MAX


def test_each_attempt_is_a_span_of_its_own_within_its_batch(traced: Traced) -> None:
    answers: list[Response | NoResponse] = [NoResponse("no answer in time"), Response(503, {}, b"")]

    def answer(request: Request) -> Response | NoResponse:
        return answers.pop(0) if answers else imports_all(request)

    stage = traced.sink(answer)
    stage.event()
    stage.run(60)
    (batch,) = traced.spans(f"process {TOPIC}")
    attempts = traced.spans("POST")
    assert [span.parent and span.parent.span_id for span in attempts] == [batch.context and batch.context.span_id] * 3
    found = [span.attributes or {} for span in attempts]
    assert [one.get("http.response.status_code") for one in found] == [None, 503, 200]
    assert [one.get("error.type") for one in found] == ["no_answer", "503", None]
    assert [one.get("http.request.resend_count") for one in found] == [None, 1, 2]
    assert {span.kind for span in attempts} == {SpanKind.CLIENT}
    assert found[0]["server.address"] == "mixpanel.test"
    assert found[0]["url.full"] == "http://mixpanel.test:80/import"


def test_batches_that_are_parked_for_dead_credentials_leave_no_more_open_spans_than_are_allowed(traced: Traced) -> None:
    stage = traced.sink(lambda _request: Response(401, {"content-type": "application/json"}, b'{"error":"no"}'))
    spans = traced.tracing._sinks[0]
    stage.event()
    stage.run(5)
    assert len(spans._batches) <= OPEN_BATCHES_MAX
    traced.tracing.close()
    assert len(traced.spans(f"process {TOPIC}")) == 1


def test_no_secret_and_nothing_of_a_person_is_in_a_span(traced: Traced) -> None:
    secret, email = "hunter2-hunter2-hunter2-hunter2", "alice@example.com"
    account = {"username": "robot", "secret": secret, "project_id": "4711"}
    settings = {**MIXPANEL, "auth": {"service_account": account}}
    stage = traced.sink(settings=settings)
    stage.event(email_address=email)
    stage.run(1)
    (request,) = stage.transport.requests
    assert "4711" in request.url
    everything = traced.everything()
    assert "mixpanel.test" in everything
    for private in (secret, email, "4711", "robot", TOKEN, "alice", "Basic"):
        assert private not in everything, private


def test_a_protocol_that_is_not_there_is_an_error_that_names_the_right_one() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(TracingUnavailable, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is grpc.*http/protobuf"):
        tracing_from(environment, "streams", "one")


def test_an_exporter_that_is_not_there_is_an_error_that_lists_what_is() -> None:
    with pytest.raises(TracingUnavailable, match="zipkin: use otlp, console or none"):
        tracing_from({"OTEL_TRACES_EXPORTER": "zipkin"}, "streams", "one")


def test_traces_without_the_extra_are_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "streams.adapters.telemetry.traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    process = observed("router", None, "one", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    with pytest.raises(CommandError, match=r"currents-streams\[otel\]") as failure:
        process.__enter__()
    assert failure.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
def test_nobody_traces_unless_asked(environment: dict[str, str]) -> None:
    with observed("router", None, "one", environment) as observation:
        assert observation.tracing is None
