"""`make bench`: our workers against bare loops, alternating in one run, on Apache Kafka; one JSON object and a table.

Each contender runs in a process of its own and reports its CPU seconds, with all its threads. A row's figure is the
median over the rounds of (records per CPU-second of ours) / (of the bare loop run next to it).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.cli.assembly.installation import connect
from streams.config import load, topology
from streams.delivery.account import RouterCounts, SinkCounts
from streams.destinations.wire import basic
from streams.emulators.braze.options import BrazeOptions
from streams.emulators.braze.options import Limits as BrazeLimits
from streams.emulators.mixpanel.options import Limits as MixpanelLimits
from streams.emulators.mixpanel.options import MixpanelOptions
from streams.emulators.mparticle.options import Limits as MParticleLimits
from streams.emulators.mparticle.options import MParticleOptions
from streams.events.samples import MIX, sample_events
from streams.operations.accounts import Accounts
from streams.testing.brokers import Broker, choose
from streams.testing.emulators import BrazeEmulator, MixpanelEmulator, MParticleEmulator
from streams.testing.processes import free_port
from tests.bench import console, http_inlet
from tests.bench.dead_letters import fill, top
from tests.bench.delays import (
    EVENT_TYPE,
    Feed,
    Pipeline,
    demo_cold_start_seconds,
    help_seconds,
    kill_to_delivery_seconds,
    latency_seconds,
    pipeline,
)
from tests.bench.growth import PLOTS, draw, growths
from tests.bench.ingest import ingest_row
from tests.bench.inlet_delays import inlet_delays
from tests.bench.measurement import Measurement
from tests.bench.way_back import events, fill_memory
from tests.bench.worst_days import worst_days
from tests.telemetry.collector import Collector

PARTITIONS = 4
MAPPED_BY_BOTH = [event_type for event_type in MIX if event_type.startswith(("users.messages.", "users.canvas."))]
UNLIMITED = 10**12
BROKER_SETTINGS = {
    # For `kill_to_delivery_consumer_seconds`: with Kafka's own 45 s a row would measure nothing but that wait.
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "2000",
    "group.consumer.heartbeat.interval.ms": "2000",
}
PATIENCE_SECONDS = 300.0
COMPILE_SECONDS_MAX = 900.0
LOOK_SECONDS = 0.2
Result = TypeVar("Result")
RECEIVED_AT_ONCE = 100
"""Records of a partition in one transaction of a busy receiver."""
PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
UNUSED_RULES = {"privacy": {"drop": ["orphaned_by_id", "sending_ip", "inbound_phone_number"]}}
"""Fields that no event of the mix has."""
SCRAPE_SECONDS = 1.0
"""Prometheus looks every 15 s or more; a round is over before."""


class Bench:
    """Topics full of events, and contenders that read them."""

    def __init__(self, broker: Broker, folder: Path, records: int) -> None:
        self.bootstrap = broker.bootstrap_servers
        self.folder = folder
        self.records = records
        self.count = str(records)
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self.tag = uuid4().hex[:8]
        self.source_prefix = f"currents-{self.tag}."
        """Of Currents topics that nobody reads: connectors' topics are filled here as if a router had."""
        self.topic(self.source_prefix + "mix", 1)

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        for future in self.admin.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(30)
        return name

    def fill(
        self, topic: str, event_types: Sequence[str] | None, *, is_routed: bool, records: int | None = None
    ) -> None:
        """Write the events of the mix (or of these types in turn), as the router or as Braze would.

        `records` where it is not as many as of a round.
        """
        producer = Producer({"bootstrap.servers": self.bootstrap, "compression.type": "lz4", "linger.ms": 20})
        many = self.records if records is None else records
        events = sample_events(many, seed=1, now_s=int(time.time()), event_types=event_types)
        for number, event in enumerate(events):
            headers: list[tuple[str, str | bytes | None]] = [("source", b"bench")]
            if is_routed:
                headers.append(("streams-origin", b"currents.%b/0/%d" % (event.event_type.encode(), number)))
            producer.produce(topic, event.value, event.key, headers=headers)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush(120)

    def count_routed(self, config: Path, connector: str, records: int) -> None:
        """Commit what the router would have counted, so that the connector's account adds up.

        Where more is delivered than was routed, the sink's survey reads the account twenty times before it gives up.
        """
        counts = RouterCounts({connector: records}, read=records)
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": load(config).groups.router})
        place = TopicPartition(f"{self.source_prefix}mix", 0, records, metadata=counts.to_metadata())
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()

    def fill_with(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Write these keys and values in batches as small as a receiver's: of what came within 10 ms."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": "lz4",
                "linger.ms": 20,
                "batch.num.messages": RECEIVED_AT_ONCE,
            }
        )
        for number, (key, value) in enumerate(records):
            producer.produce(topic, value, key)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush(120)

    def configuration(
        self,
        prefix: str,
        connectors: dict[str, Any],
        source_prefix: str = "",
        inlets: dict[str, Any] | None = None,
        receiver: dict[str, Any] | None = None,
        **kafka: Any,
    ) -> Path:
        source_prefix = source_prefix or self.source_prefix
        content = {
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "topic_prefix": prefix,
                "topics": {"partitions": PARTITIONS},
                **kafka,
            },
            "source": {"topics": [f"^{source_prefix}.+"], "topic_prefix": source_prefix},
            "connectors": connectors,
            "inlets": inlets or {},
            "receiver": receiver or {},
        }
        path = self.folder / f"{prefix}yaml"
        path.write_text(yaml.safe_dump(content))
        settings = load(path)
        for topic in topology.wanted_topics(settings, 1):
            Administration(settings.kafka.client_config("bench")).create_topic(
                topic.name, topic.partitions, topic.replication, topic.configuration
            )
        return path

    def finished(self, module: str, *arguments: str) -> Measurement:
        """Run a contender that ends by itself."""
        return self.measured(self.started(module, *arguments), PATIENCE_SECONDS)

    def ours(self, config: Path, role: str, traces_to: str = "", *, is_observed: bool = True) -> Measurement:
        """Run one of our workers until its commits say that all is settled.

        `is_observed`: it counts, is scraped each second, and traces to a collector where one is given.
        """
        [measured] = self.group(config, role, 1, self.records, traces_to, is_observed=is_observed)
        return measured

    def group(
        self,
        config: Path,
        role: str,
        processes: int,
        records: int,
        traces_to: str = "",
        *,
        is_observed: bool = True,
    ) -> list[Measurement]:
        """Run so many of our workers of one group until their commits say that so many records are settled."""
        settings = load(config)
        accounts = Accounts(connect(settings, "streams-bench"))
        ports = [free_port() for _ in range(processes)]
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces_to} if traces_to else {}
        running = [
            self.started("ours", str(config), role, *([str(port)] if is_observed else []), **environment)
            for port in ports
        ]
        deadline = time.monotonic() + PATIENCE_SECONDS
        scrape_at = time.monotonic() + SCRAPE_SECONDS
        while (
            settled(accounts, role) < records
            and all(process.poll() is None for process in running)
            and time.monotonic() < deadline
        ):
            time.sleep(LOOK_SECONDS)
            if is_observed and time.monotonic() >= scrape_at:
                scrape_at = time.monotonic() + SCRAPE_SECONDS
                for port in ports:
                    scrape(port)
        for process in running:
            process.terminate()
        return [self.measured(process, PATIENCE_SECONDS) for process in running]

    @contextmanager
    def mixpanel(self) -> Iterator[dict[str, Any]]:
        """Mixpanel's emulator, which answers at once; gives the connector to it."""
        with _emulator("mixpanel") as emulator:
            yield _connector("mixpanel", emulator, self.folder)

    def per_cpu_second(self, measurement: Measurement) -> float:
        return self.records / measurement.cpu_seconds

    def started(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A contender that runs until it is told to stop."""
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments],
            env={**os.environ, "STREAMS_LOG_LEVEL": "error", "STREAMS_INSTANCE": uuid4().hex, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def measured(self, process: subprocess.Popen[str], seconds_max: float) -> Measurement:
        """What a contender that was started reports at its end."""
        output, errors = process.communicate(timeout=seconds_max)
        if process.returncode != 0:
            raise SystemExit(f"a contender ended with {process.returncode}\n{output}\n{errors[-4000:]}")
        return Measurement(**json.loads(output.splitlines()[-1]))


def scrape(port: int) -> None:
    """As Prometheus would. A process that does not listen yet, or any more, is no event."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        answer.read()


def settled(accounts: Accounts, role: str) -> int:
    """Records that the role's group has committed past, by the counts of its commits.

    Not by the account: that is read until it adds up, and the process that is measured would wait for it.
    """
    if role == "router":
        return accounts.router().read
    counts = SinkCounts()
    for commit in accounts.sink_commits(role).values():
        counts.add(SinkCounts.from_metadata(commit.metadata))
    return counts.delivered + sum(counts.parked.values()) + sum(counts.skipped.values())


def sink_row(shape: str, bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our sink and the bare loop, in turn, from one connector's topic to one emulator that answers at once."""
    name = f"bench-{shape}"
    ratios, ours, bare = [], [], []
    # A sink to Braze sends one request of each partition at a time: it is measured with as many as a new topic gets.
    kafka: dict[str, Any] = {"topics": {}} if shape == "braze" else {}
    with _emulator(shape) as emulator:
        for number in range(rounds):
            prefix = f"bench-{bench.tag}-{shape}-{number}."
            config = bench.configuration(prefix, {name: _connector(shape, emulator, bench.folder / prefix)}, **kafka)
            topic = f"{prefix}connector.{name}"
            if shape == "braze":
                bench.fill_with(topic, events(bench.records))
            else:
                bench.fill(topic, None if shape == "mixpanel" else MAPPED_BY_BOTH, is_routed=True)
                bench.count_routed(config, name, bench.records)
            target = (emulator.base_url, _authorization(emulator))
            bare.append(
                bench.finished("bare_sink", shape, bench.bootstrap, topic, f"{prefix}bare", bench.count, *target)
            )
            ours.append(bench.ours(config, name))
            ratios.append(bare[-1].cpu_seconds / ours[-1].cpu_seconds)
    return ratios, ours, bare


def telemetry_row(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our Mixpanel sink with metrics, scrapes and traces, and without, in turn; which one is first changes."""
    name, ratios = "bench-telemetry", []
    measured: dict[bool, list[Measurement]] = {True: [], False: []}
    with _emulator("mixpanel") as emulator, Collector() as collector:
        for number in range(rounds):
            for is_observed in (True, False) if number % 2 else (False, True):
                prefix = f"bench-{bench.tag}-telemetry-{number}-{int(is_observed)}."
                config = bench.configuration(prefix, {name: _connector("mixpanel", emulator, bench.folder)})
                bench.fill(f"{prefix}connector.{name}", None, is_routed=True)
                bench.count_routed(config, name, bench.records)
                traces_to = collector.endpoint if is_observed else ""
                measured[is_observed].append(bench.ours(config, name, traces_to, is_observed=is_observed))
            ratios.append(measured[False][-1].cpu_seconds / measured[True][-1].cpu_seconds)
    return ratios, measured[True], measured[False]


def privacy_row(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our Mixpanel sink with rules of privacy that no event of the mix needs, and without any, in turn."""
    name, ratios = "bench-privacy", []
    measured: dict[bool, list[Measurement]] = {True: [], False: []}
    with _emulator("mixpanel") as emulator:
        for number in range(rounds):
            for has_rules in (True, False) if number % 2 else (False, True):
                prefix = f"bench-{bench.tag}-privacy-{number}-{int(has_rules)}."
                connector = _connector("mixpanel", emulator, bench.folder) | (UNUSED_RULES if has_rules else {})
                config = bench.configuration(prefix, {name: connector})
                bench.fill(f"{prefix}connector.{name}", None, is_routed=True)
                bench.count_routed(config, name, bench.records)
                measured[has_rules].append(bench.ours(config, name))
            ratios.append(measured[False][-1].cpu_seconds / measured[True][-1].cpu_seconds)
    return ratios, measured[True], measured[False]


def router_row(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our router to one connector and a bare transactional copy, in turn, from one Currents topic."""
    source_prefix = f"bench-{bench.tag}-currents."
    event_type = "users.messages.email.Open"
    topic = bench.topic(source_prefix + event_type)
    bench.fill(topic, [event_type], is_routed=False)
    ratios, ours, bare = [], [], []
    connector = {
        "destination": "mixpanel",
        "base_url": "http://127.0.0.1:1",
        "project_token": "0123456789abcdef0123456789abcdef",
        "events": [event_type],
    }
    for number in range(rounds):
        prefix = f"streams-{bench.tag}-{number}."
        output = bench.topic(f"copy-{bench.tag}-{number}")
        config = bench.configuration(prefix, {"copy": connector}, source_prefix)
        bare.append(bench.finished("bare_copy", bench.bootstrap, topic, f"{prefix}bare", bench.count, output))
        ours.append(bench.ours(config, "router"))
        ratios.append(bare[-1].cpu_seconds / ours[-1].cpu_seconds)
    return ratios, ours, bare


def http_inlet_row(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our receiver with an HTTP inlet and a bare aiohttp loop, in turn, with the same requests."""
    contents = http_inlet.bodies()
    ratios, ours, bare = [], [], []
    for number in range(rounds):
        prefix = f"bench-{bench.tag}-inlet-{number}."
        port, path = free_port(), "/currents/bench"
        process = bench.started("bare_inlet", bench.bootstrap, bench.topic(f"{prefix}bare"), str(port))
        bare.append(_fed(bench, process, port, path, contents))
        port = free_port()
        inlets = {"bench": {"kind": "http", "tokens": [http_inlet.TOKEN]}}
        config = bench.configuration(prefix, {}, f"currents-{prefix}", inlets=inlets, receiver={"port": port})
        ours.append(_fed(bench, bench.started("our_inlet", str(config), "0"), port, path, contents))
        ratios.append(bare[-1].cpu_seconds / ours[-1].cpu_seconds)
    return ratios, ours, bare


def _fed(bench: Bench, process: subprocess.Popen[str], port: int, path: str, contents: list[bytes]) -> Measurement:
    try:
        http_inlet.feed(port, path, contents, bench.records, process)
    finally:
        process.terminate()
    return bench.measured(process, PATIENCE_SECONDS)


def dead_letters(bench: Bench, letters: int) -> dict[str, Any]:
    """`streams dlq top` on so many dead letters, and the pages of the console."""
    prefix = f"bench-{bench.tag}-letters."
    config = bench.configuration(prefix, console.connectors())
    fill(bench.bootstrap, f"{prefix}dead-letter.full.rejected", letters, PARTITIONS)
    measured, pages = top(config, "full"), console.pages(config)
    share = 1_000_000 / letters
    return {
        "letters": letters,
        "dlq_top_rss_mib": round(measured.rss_mib, 1),
        "dlq_top_1m_seconds": round(measured.seconds * share, 2),
        "dlq_top_1m_cpu_seconds": round(measured.cpu_seconds * share, 2),
        "console_page_p95_seconds": round(pages.p95_seconds, 3),
        "console_page_p95_seconds_by_page": pages.by_page,
        "console_pages": pages.requests,
        "console_rss_mib": round(pages.rss_mib, 1),
    }


def way_back(bench: Bench, users: int) -> dict[str, float]:
    """A sink's memory of so many users, filled from Kafka into an empty folder."""
    topic = bench.topic(f"bench-{bench.tag}-sent", 1)
    fill_memory(bench.bootstrap, topic, users)
    command = [sys.executable, "-m", "tests.bench.way_back", bench.bootstrap, topic]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS)
    measured = json.loads(done.stdout.splitlines()[-1])
    if measured["rows"] != users:
        raise SystemExit(f"the memory has {measured['rows']} rows of {users}")
    share = 1_000_000 / users
    return {
        "users": users,
        "way_back_rebuild_1m_seconds": round(measured["wall_seconds"] * share, 1),
        "way_back_rebuild_1m_cpu_seconds": round(measured["cpu_seconds"] * share, 1),
        "way_back_rss_mib": round(measured["rss_mib"], 1),
        "way_back_scratch_1m_mb": round(measured["bytes"] * share / 1_000_000),
    }


def delays(bench: Bench, seconds: float, rounds: int) -> dict[str, float]:
    """What takes time on the clock: the latency at a steady rate for so long, a killed sink, starts."""
    p50, p99 = _with_pipeline(bench, "latency", 1, lambda running: latency_seconds(running, seconds))
    classic = [_with_pipeline(bench, f"kill-{number}", 2, kill_to_delivery_seconds) for number in range(rounds)]
    consumer = [
        _with_pipeline(bench, f"kill-consumer-{number}", 2, kill_to_delivery_seconds, group_protocol="consumer")
        for number in range(rounds)
    ]
    return {
        "latency_p50_seconds": round(p50, 3),
        "latency_p99_seconds": round(p99, 3),
        "kill_to_delivery_seconds": round(statistics.median(classic), 1),
        "kill_to_delivery_consumer_seconds": round(statistics.median(consumer), 1),
        "demo_cold_start_seconds": round(demo_cold_start_seconds(rounds), 1),
        "help_seconds": round(help_seconds(2 * rounds + 1), 2),
    }


def _with_pipeline(bench: Bench, name: str, sinks: int, measure: Callable[[Pipeline], Result], **kafka: Any) -> Result:
    source_prefix = f"bench-{bench.tag}-{name}-currents."
    feed = Feed(bench.bootstrap, bench.topic(source_prefix + EVENT_TYPE))
    with MixpanelEmulator(is_process=True) as emulator:
        connector = {**_connector("mixpanel", emulator, bench.folder), "events": [EVENT_TYPE]}
        config = bench.configuration(f"bench-{bench.tag}-{name}.", {"bench": connector}, source_prefix, **kafka)
        with pipeline(config, "bench", emulator, feed, sinks) as running:
            return measure(running)


Emulator = MixpanelEmulator | MParticleEmulator | BrazeEmulator


def _emulator(shape: str) -> Emulator:
    if shape == "braze":
        requests = BrazeLimits(requests_per_window=UNLIMITED)
        return BrazeEmulator(BrazeOptions(keep="discard", limits=requests), is_process=True)
    if shape == "mixpanel":
        limits = MixpanelLimits(rate_bytes=UNLIMITED, rate_events=UNLIMITED)
        return MixpanelEmulator(MixpanelOptions(keep="discard", limits=limits), is_process=True)
    return MParticleEmulator(
        MParticleOptions(keep="discard", limits=MParticleLimits(batches_per_second=UNLIMITED)), is_process=True
    )


def _connector(shape: str, emulator: Emulator, scratch: Path) -> dict[str, Any]:
    if isinstance(emulator, BrazeEmulator):
        receive = {"data": {"kind": "mparticle_events", "keys": ["sixteen-characters"]}}
        keys = {"base_url": emulator.base_url, "rest_key": emulator.rest_key, "rate": 1_000_000.0}
        return {"destination": shape, **keys, "scratch": str(scratch), "receive": receive}
    common = {"destination": shape, "base_url": emulator.base_url, "events": ["all"], "rate": 1_000_000.0}
    if isinstance(emulator, MixpanelEmulator):
        return {**common, "project_token": emulator.project_token}
    unbound = emulator.feeds["unbound"]
    return {**common, "feeds": {"unbound": {"key": unbound.key, "secret": unbound.secret}}}


def _authorization(emulator: Emulator) -> str:
    if isinstance(emulator, BrazeEmulator):
        return f"Bearer {emulator.rest_key}"
    if isinstance(emulator, MixpanelEmulator):
        return basic(emulator.project_token, "")
    unbound = emulator.feeds["unbound"]
    return basic(unbound.key, unbound.secret)


def compiled(
    row: Callable[[Bench, int], tuple[list[float], list[Measurement], list[Measurement]]],
) -> Callable[[Bench, int], tuple[list[float], list[Measurement], list[Measurement]]]:
    """The same row with the hot modules compiled. They are compiled in this folder, and plain Python again after it."""

    def measure(bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
        tool = [sys.executable, "tools/compile.py"]
        subprocess.run(tool, check=True, capture_output=True, timeout=COMPILE_SECONDS_MAX)
        try:
            return row(bench, rounds)
        finally:
            subprocess.run([*tool, "--undo"], check=True, capture_output=True, timeout=COMPILE_SECONDS_MAX)

    return measure


ROWS: dict[str, tuple[str, Callable[[Bench, int], tuple[list[float], list[Measurement], list[Measurement]]]]] = {
    "mixpanel": ("mixpanel_sink_to_bare", partial(sink_row, "mixpanel")),
    "mparticle": ("mparticle_sink_to_bare", partial(sink_row, "mparticle")),
    "braze": ("braze_sink_to_bare", partial(sink_row, "braze")),
    "mixpanel-compiled": ("mixpanel_sink_compiled_to_bare", compiled(partial(sink_row, "mixpanel"))),
    "mparticle-compiled": ("mparticle_sink_compiled_to_bare", compiled(partial(sink_row, "mparticle"))),
    "braze-compiled": ("braze_sink_compiled_to_bare", compiled(partial(sink_row, "braze"))),
    "router": ("router_to_bare_copy", router_row),
    "router-compiled": ("router_compiled_to_bare_copy", compiled(router_row)),
    "telemetry": ("telemetry_on_to_off", telemetry_row),
    "privacy": ("privacy_unused_to_none", privacy_row),
    "ingest": ("ingest_to_bare", ingest_row),
    "http_inlet": ("http_inlet_to_bare", http_inlet_row),
}

PARTS: dict[str, Callable[[Bench, argparse.Namespace], dict[str, Any]]] = {
    "console": lambda bench, options: dead_letters(bench, options.letters),
    "way_back": lambda bench, options: way_back(bench, options.users),
    "delays": lambda bench, options: delays(bench, options.latency, options.rounds),
    "inlet_delays": lambda bench, options: inlet_delays(
        bench.bootstrap, bench.folder / "inlet-delays", options.inlet_files, max(1, options.inlet_files // 10)
    ),
    "worst_days": lambda bench, options: worst_days(bench, options.worst_days),
}
"""Figures without a bare loop beside them."""


def main() -> None:
    """Run the rows that were asked for, and print them."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=[*ROWS, *PARTS], default=[*ROWS, *PARTS], help="only these")
    parser.add_argument("--records", type=int, default=300_000, help="records per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, alternating; the median counts")
    parser.add_argument(
        "--letters",
        type=int,
        default=1_000_000,
        help="dead letters that `dlq top` and the console read",
    )
    parser.add_argument("--users", type=int, default=1_000_000, help="users whom a sink of Braze remembers")
    parser.add_argument("--latency", type=float, default=30.0, help="seconds of a steady rate")
    parser.add_argument("--inlet-files", type=int, default=30, help="files that appear, and a tenth as many kills")
    parser.add_argument("--worst-days", type=int, default=1_000_000, help="records of each worst day")
    parser.add_argument(
        "--plots", nargs="*", choices=[*PLOTS], help="measure how cost grows and draw it; without a name all of it"
    )
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="the folder of the plots")
    options = parser.parse_args()
    if options.plots is not None:
        plots(options.records, options.rounds, options.plots, options.pictures)
        return
    results: dict[str, Any] = {}
    table: list[tuple[str, str, str, str, str]] = []
    with choose(settings=BROKER_SETTINGS) as broker, tempfile.TemporaryDirectory() as folder:
        for row in (row for row in ROWS if row in options.rows):
            key, measure = ROWS[row]
            bench = Bench(broker, Path(folder), options.records)  # topics of its own: two rows may measure one sink
            ratios, ours, bare = measure(bench, options.rounds)
            results[key] = round(statistics.median(ratios), 3)
            if row == "http_inlet":
                results["http_inlet_events_per_cpu_second"] = round(
                    statistics.median(bench.per_cpu_second(one) for one in ours)
                )
            results[f"{row}_rss_mib"] = round(max(one.rss_mib for one in ours), 1)
            results[f"{row}_start_cpu_seconds"] = _start_cpu_seconds(ours)
            results[f"{row}_bare_start_cpu_seconds"] = _start_cpu_seconds(bare)
            table.append(
                (
                    key,
                    f"{results[key]:.2f}",
                    " ".join(f"{ratio:.2f}" for ratio in ratios),
                    _per_second(bench, ours),
                    _per_second(bench, bare),
                )
            )
            print(*table[-1], file=sys.stderr, flush=True)  # a run takes an hour: what is known is shown
        bench = Bench(broker, Path(folder), options.records)
        for part in (part for part in PARTS if part in options.rows):
            results |= PARTS[part](bench, options)
        kind = broker.kind
    print(json.dumps({"v": 1, "broker": kind, "records": options.records, "rounds": options.rounds, **results}))
    columns = ("row", "ratio", "each round", "ours, k/CPU-s", "bare, k/CPU-s")
    widths = [max(len(line[index]) for line in (columns, *table)) for index in range(len(columns))]
    for line in (columns, *table):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _start_cpu_seconds(measurements: Sequence[Measurement]) -> float:
    return round(statistics.median(one.start_cpu_seconds for one in measurements), 2)


def plots(records: int, rounds: int, wanted: Sequence[str], folder: Path) -> None:
    """Draw how cost grows, and print the figures as one JSON object."""
    with choose() as broker, tempfile.TemporaryDirectory() as scratch:
        bench = Bench(broker, Path(scratch), records)
        for growth in growths(bench, rounds, wanted):
            path = draw(growth, folder)
            figures = {name: [round(value, 2) for value in values] for name, values in growth.values.items()}
            figure = {"plot": growth.name, "records": records, "rounds": rounds, "steps": growth.steps, "up": growth.up}
            print(json.dumps({**figure, "values": figures, "file": path.name, "broker": broker.kind}), flush=True)


def _per_second(bench: Bench, measurements: list[Measurement]) -> str:
    return f"{statistics.median(bench.per_cpu_second(one) for one in measurements) / 1000:.1f}"


if __name__ == "__main__":
    main()
