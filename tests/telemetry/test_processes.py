"""Processes as their orchestrator sees them: dead credentials, a Kafka that is away, a stop under load, traces."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import yaml
from confluent_kafka import Producer
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from streams.cli.assembly.processes import LEAVE_SECONDS_MAX, STOP_SECONDS_MAX
from streams.emulators.faults import DELAY_SECONDS_MAX
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker, choose
from streams.testing.emulators import MixpanelEmulator
from streams.testing.processes import free_port
from tests.chaos.scene import Scene, WorkerProcess, staged
from tests.pipeline.line import mixpanel_connector
from tests.telemetry.collector import Collector, attributes
from tests.telemetry.scrape import Scrape, get
from tests.waiting import wait_until

pytestmark = pytest.mark.apache

OPEN = "users.messages.email.Open"
NAME = "analytics"
NEAR = {"connector": NAME, "scope": "default"}
ROOT = Path(__file__).parents[2]
KAFKA_LOST = b"the Kafka client reports an error"


def write(scene: Scene, topic: str, count: int) -> None:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    producer, random = Producer({"bootstrap.servers": scene.bootstrap_servers}), Random(3)
    for number in range(count):
        record = {**sample_record(OPEN, random, int(time.time())), "external_user_id": f"user-{number % 9}"}
        producer.produce(topic, encode_single_object(schema, record), b"key")
    assert producer.flush(60) == 0


def scrape(port: int) -> Scrape:
    status, body = get(port, "/metrics")
    assert status in (0, 200)
    return Scrape(body)


def is_ready(port: int) -> bool:
    return get(port, "/readyz")[0] == 200


def has_left_in_time(process: WorkerProcess) -> bool:
    """Once it was told to stop. A process that takes longer than an orchestrator's grace ends itself before, with 1."""
    assert LEAVE_SECONDS_MAX < STOP_SECONDS_MAX
    return process.terminate() == 0


def ended_as_a_pod(process: WorkerProcess) -> int:
    """The exit code of a process that is told to stop, and is killed where the chart's grace period is over first."""
    assert process._process is not None
    values = yaml.safe_load((ROOT / "helm" / "values.yaml").read_text())
    process._process.send_signal(signal.SIGTERM)
    try:
        return process._process.wait(values["pod"]["terminationGracePeriodSeconds"])
    except subprocess.TimeoutExpired:
        process.kill()
        return process._process.wait()


@pytest.fixture
def scene(kafka: Broker, mixpanel: MixpanelEmulator, tmp_path: Path) -> Iterator[Scene]:
    with staged(kafka.bootstrap_servers, tmp_path, {NAME: mixpanel_connector(mixpanel)}) as scene:
        yield scene


def test_dead_credentials_leave_a_sink_alive_and_ready_and_are_told_by_its_metrics(
    scene: Scene, mixpanel: MixpanelEmulator
) -> None:
    mixpanel.revoke()
    port, topic = free_port(), scene.settings.topics.connector(NAME)
    write(scene, topic, 50)
    began = time.time()
    scene.process("sink", NAME, "--http-port", str(port), instance="sink")
    scene.wait_until(lambda: scrape(port).value("streams_scope_valid", **NEAR) == 0, "INVALID to be told")
    assert get(port, "/livez")[0] == 200
    assert is_ready(port)
    # One metric is told after the other: a scrape may come in between.
    scene.wait_until(lambda: bool(scrape(port).value("streams_purge_deadline_seconds", **NEAR)), "the deadline")
    found = scrape(port)
    since = found.value("streams_scope_invalid_since_seconds", **NEAR) or 0
    assert began - 1 <= since <= time.time() + 1
    assert found.value("streams_purge_deadline_seconds", **NEAR) == since + 48 * 3600
    scene.wait_until(
        lambda: scrape(port).value("streams_dead_letters", connector=NAME, cause="credentials") == 50,
        "letters to be counted",
    )
    scene.wait_until(
        lambda: scrape(port).value("streams_parked_records_total", cause="credentials", **NEAR) == 50,
        "the sink to tell what it parked",
    )
    assert get(port, "/livez")[0] == 200
    assert is_ready(port)


def test_what_waits_and_how_long_is_told_while_a_destination_is_away(scene: Scene, mixpanel: MixpanelEmulator) -> None:
    mixpanel.fail(status=503, count=100_000)
    port = free_port()
    scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
    write(scene, scene.source_prefix + OPEN, 30)
    scene.process("router", instance="router")
    scene.process("sink", NAME, "--http-port", str(port), instance="sink")
    scene.wait_until(
        lambda: scrape(port).value("streams_waiting_records", connector=NAME) == 30, "waiting records to be told"
    )
    scene.wait_until(lambda: (scrape(port).value("streams_lag_seconds", connector=NAME) or 0) > 0, "their age")
    assert is_ready(port)


def test_a_spare_router_is_ready_and_one_that_was_frozen_for_longer_than_its_session_becomes_ready_again(
    scene: Scene,
) -> None:
    scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
    ports = [free_port(), free_port()]
    routers = [
        scene.process("router", "--http-port", str(port), instance=f"router-{number}")
        for number, port in enumerate(ports)
    ]
    scene.wait_until(lambda: all(is_ready(port) for port in ports), "both to be ready")

    def owning() -> list[WorkerProcess]:
        return [router for router in routers if router.partitions()]

    scene.wait_until(lambda: len(owning()) == 1, "one of them to have the one partition")
    owners = owning()
    [spare] = [router for router in routers if router not in owners]
    owners[0].freeze()
    scene.wait_until(lambda: bool(spare.partitions()), "the spare to take over")
    owners[0].thaw()
    frozen = ports[routers.index(owners[0])]
    scene.wait_until(lambda: b"partitions revoked" in owners[0].log.read_bytes(), "the loss to be seen")
    scene.wait_until(lambda: is_ready(frozen), "it to be ready, as a spare")
    assert all(get(port, "/livez")[0] == 200 for port in ports)


def test_a_kafka_that_goes_away_leaves_processes_alive(tmp_path: Path, mixpanel: MixpanelEmulator) -> None:
    broker = choose()
    if broker.kind == "given":
        pytest.skip("a given broker is not ours to stop")
    ports = {"router": free_port(), "sink": free_port()}
    with broker, staged(broker.bootstrap_servers, tmp_path, {NAME: mixpanel_connector(mixpanel)}) as scene:
        scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
        processes = [
            scene.process("router", "--http-port", str(ports["router"]), instance="router"),
            scene.process("sink", NAME, "--http-port", str(ports["sink"]), instance="sink"),
        ]
        scene.wait_until(lambda: all(is_ready(port) for port in ports.values()), "both to be ready")
        scene.wait_until(
            lambda: scrape(ports["sink"]).value("streams_keeper", connector=NAME) == 1, "a keeper to hold the lease"
        )
        broker.stop()
        for process in processes:
            scene.wait_until(lambda log=process.log: KAFKA_LOST in log.read_bytes(), "the loss to be seen")  # type: ignore[misc]
        for _ in range(20):  # rounds of a loop whose Kafka is away
            for port in ports.values():
                assert get(port, "/livez")[0] == 200
            time.sleep(0.25)
        assert all(process.is_running() for process in processes)
        assert all(is_ready(port) for port in ports.values())
        for process in processes:
            lines = process.whole_lines()
            assert all(json.loads(line)["event"] for line in lines), "each line is JSON, the client's own too"
            assert len(lines) < 200, "a Kafka that is away does not flood the log"


def configuration(folder: Path) -> Path:
    path = folder / "streams.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{free_port()}"}}\n'
        f'connectors: {{{NAME}: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}\n'
    )
    return path


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams", "run", *arguments, "--config", str(configuration(folder))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


@pytest.mark.parametrize("role", [["router"], ["sink", NAME]])
def test_a_process_that_waits_for_kafka_at_its_start_is_alive_and_not_ready(tmp_path: Path, role: list[str]) -> None:
    port = free_port()
    process = started(tmp_path, *role, "--http-port", str(port))
    try:
        wait_until(lambda: get(port, "/livez")[0] == 200, "the port to answer")
        wait_until(lambda: b"waiting for Kafka" in (tmp_path / "log").read_bytes(), "Kafka to be missed")
        status, body = get(port, "/readyz")
        assert status == 503
        assert b"Kafka" in body
        assert get(port, "/livez")[0] == 200
    finally:
        process.kill()
        process.wait()


def test_a_port_that_is_taken_ends_a_process_with_a_sentence(tmp_path: Path) -> None:
    port = free_port()
    first = started(tmp_path, "router", "--http-port", str(port))
    try:
        wait_until(lambda: get(port, "/livez")[0] == 200, "the port to answer")
        second = subprocess.run(
            [sys.executable, "-m", "streams", "run", "router", "--config", str(tmp_path / "streams.yaml")],
            env={**os.environ, "STREAMS_HTTP_PORT": str(port)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2
    assert f"cannot listen on 0.0.0.0:{port}" in second.stderr
    assert "--http-port" in second.stderr


def test_a_stop_under_load_makes_a_sink_unready_and_settles_what_is_under_way_in_time(
    scene: Scene, mixpanel: MixpanelEmulator
) -> None:
    port, topic = free_port(), scene.settings.topics.connector(NAME)
    mixpanel.fail(delay=5.0, when="before", count=100_000)
    write(scene, topic, 30_000)
    process = scene.process("sink", NAME, "--http-port", str(port), instance="sink")
    scene.wait_until(
        lambda: (scrape(port).value("streams_requests_in_flight", **NEAR) or 0) > 1, "requests to be under way"
    )
    assert is_ready(port)
    assert process._process is not None
    process._process.send_signal(signal.SIGTERM)
    wait_until(lambda: get(port, "/readyz") == (503, b"stopping\n"), "the sink to say that it stops")
    assert has_left_in_time(process)
    account = scene.accounts.of([NAME])[NAME]
    assert 0 < account.delivered < 30_000
    assert len(mixpanel.unique()) == account.delivered


def test_a_stop_while_answers_never_come_ends_by_itself_in_the_charts_grace_and_a_successor_delivers(
    scene: Scene, mixpanel: MixpanelEmulator
) -> None:
    mixpanel.fail(delay=DELAY_SECONDS_MAX, when="before", count=None)
    write(scene, scene.settings.topics.connector(NAME), 30)
    port = free_port()
    process = scene.process("sink", NAME, "--http-port", str(port), instance="stopped")
    scene.wait_until(
        lambda: (scrape(port).value("streams_requests_in_flight", **NEAR) or 0) > 0, "requests to be under way"
    )
    assert ended_as_a_pod(process) == 0, process.last_words()
    assert b"Traceback" not in process.log.read_bytes()
    assert (scene.accounts.of([NAME])[NAME].delivered, mixpanel.unique()) == (0, [])
    mixpanel.clear_faults()
    scene.process("sink", NAME, instance="successor")
    scene.wait_until(lambda: scene.accounts.of([NAME])[NAME].delivered == 30, "the successor to deliver")
    assert len(mixpanel.unique()) == 30


def test_run_all_gives_each_process_a_port_of_its_own(scene: Scene) -> None:
    scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
    process = scene.process("all", "--http-port", "0", instance="all")

    def ports() -> list[int]:
        return [json.loads(line)["port"] for line in process.whole_lines() if '"listening"' in line]

    scene.wait_until(lambda: len(ports()) == 2 and all(is_ready(port) for port in ports()), "both to be ready")
    found = [scrape(port) for port in ports()]
    assert sorted(one.value("streams_source_records_total") is not None for one in found) == [False, True]
    assert process.terminate() == 0


def spans_of(collector: Collector, name: str) -> list[Span]:
    return [span for span in collector.spans if span.name == name]


def test_traces_lead_from_a_request_to_the_routers_transaction_by_otlp(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
        write(scene, scene.source_prefix + OPEN, 20)
        processes = [scene.process("router", instance="router"), scene.process("sink", NAME, instance="sink")]
        topic = scene.settings.topics.connector(NAME)
        scene.wait_until(lambda: bool(spans_of(collector, f"process {topic}")), "a batch's span to arrive")
        assert [process.terminate() for process in processes] == [0, 0]
        assert collector.paths == {"/v1/traces"}
        assert collector.services == {"streams-router", f"streams-sink-{NAME}"}
        transactions = {span.span_id: span for span in spans_of(collector, f"process {scene.settings.groups.router}")}
        assert sum(int(attributes(one)["messaging.batch.message_count"]) for one in transactions.values()) == 20
        batches = spans_of(collector, f"process {topic}")
        assert {link.span_id for batch in batches for link in batch.links} <= transactions.keys()
        assert all(batch.links for batch in batches)
        (attempt, *_) = spans_of(collector, "POST")
        assert attempt.parent_span_id in {batch.span_id for batch in batches}
        assert attributes(attempt)["http.response.status_code"] == 200


def test_a_collector_that_is_away_keeps_nobody_from_working_or_stopping(
    scene: Scene, mixpanel: MixpanelEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    write(scene, scene.settings.topics.connector(NAME), 20)
    process = scene.process("sink", NAME, instance="sink")
    scene.wait_until(lambda: len(mixpanel.unique()) == 20, "everything to be delivered")
    scene.wait_until(lambda: "traces are not exported" in process.log.read_text(), "the collector to be missed")
    assert has_left_in_time(process)
