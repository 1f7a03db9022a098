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
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.cli.assembly.installation import connect
from streams.config import load, topology
from streams.destinations.wire import basic
from streams.emulators.mixpanel.options import Limits as MixpanelLimits
from streams.emulators.mixpanel.options import MixpanelOptions
from streams.emulators.mparticle.options import Limits as MParticleLimits
from streams.emulators.mparticle.options import MParticleOptions
from streams.events.samples import MIX, sample_events
from streams.operations.accounts import Accounts
from streams.testing.brokers import Broker, choose
from streams.testing.emulators import MixpanelEmulator, MParticleEmulator
from streams.testing.processes import free_port
from tests.bench.dead_letters import fill, top_seconds
from tests.bench.measuring import Measurement
from tests.telemetry.collector import Collector

PARTITIONS = 4
MAPPED_BY_BOTH = [event_type for event_type in MIX if event_type.startswith(("users.messages.", "users.canvas."))]
UNLIMITED = 10**12
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.2
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

    def topic(self, name: str, partitions: int = PARTITIONS) -> str:
        for future in self.admin.create_topics([NewTopic(name, partitions, 1)]).values():
            future.result(30)
        return name

    def fill(self, topic: str, event_types: Sequence[str] | None, *, is_routed: bool) -> None:
        """Write the events of the mix (or of these types in turn), as the router or as Braze would."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "compression.type": "lz4", "linger.ms": 20})
        events = sample_events(self.records, seed=1, now_s=int(time.time()), event_types=event_types)
        for number, event in enumerate(events):
            headers: list[tuple[str, str | bytes | None]] = [("source", b"bench")]
            if is_routed:
                headers.append(("streams-origin", b"currents.%b/0/%d" % (event.event_type.encode(), number)))
            producer.produce(topic, event.value, event.key, headers=headers)
            if number % 1000 == 0:
                producer.poll(0)
        producer.flush(120)

    def configuration(self, prefix: str, connectors: dict[str, Any], source_prefix: str = "nothing.") -> Path:
        content = {
            "kafka": {
                "bootstrap_servers": self.bootstrap,
                "topic_prefix": prefix,
                "topics": {"partitions": PARTITIONS},
            },
            "source": {"topics": [f"^{source_prefix}.+"], "topic_prefix": source_prefix},
            "connectors": connectors,
        }
        path = self.folder / f"{prefix}yaml"
        path.write_text(yaml.safe_dump(content))
        settings = load(path)
        for topic in topology.wanted_topics(settings, 1):
            Administration(settings.kafka.client_config("bench")).create_topic(
                topic.name, topic.partitions, topic.replication, topic.configuration
            )
        return path

    def bare(self, module: str, *arguments: str) -> Measurement:
        """Run a bare loop, which ends by itself."""
        return self._finished(self._started(module, *arguments), PATIENCE_SECONDS)

    def ours(self, config: Path, role: str, traces_to: str = "", *, is_observed: bool = True) -> Measurement:
        """Run one of our workers until its account says that all is settled.

        `is_observed`: it counts, is scraped each second, and traces to a collector where one is given.
        """
        settings = load(config)
        accounts = Accounts(connect(settings, "streams-bench"))
        port = free_port()
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces_to} if traces_to else {}
        process = self._started("ours", str(config), role, *([str(port)] if is_observed else []), **environment)
        deadline = time.monotonic() + PATIENCE_SECONDS
        scrape_at = time.monotonic() + SCRAPE_SECONDS
        while settled(accounts, role) < self.records and process.poll() is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            if is_observed and time.monotonic() >= scrape_at:
                scrape_at = time.monotonic() + SCRAPE_SECONDS
                scrape(port)
        process.terminate()
        return self._finished(process, PATIENCE_SECONDS)

    def per_cpu_second(self, measurement: Measurement) -> float:
        return self.records / measurement.cpu_seconds

    def _started(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments],
            env={**os.environ, "STREAMS_LOG_LEVEL": "error", "STREAMS_INSTANCE": uuid4().hex, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _finished(self, process: subprocess.Popen[str], seconds_max: float) -> Measurement:
        output, errors = process.communicate(timeout=seconds_max)
        if process.returncode != 0:
            raise SystemExit(f"a contender ended with {process.returncode}\n{output}\n{errors[-4000:]}")
        return Measurement(**json.loads(output.splitlines()[-1]))


def scrape(port: int) -> None:
    """As Prometheus would. A process that does not listen yet, or any more, is no event."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        answer.read()


def settled(accounts: Accounts, role: str) -> int:
    """Records that the role's group has committed past, by its own account."""
    if role == "router":
        return accounts.router().read
    account = accounts.of([role])[role]
    return account.delivered + sum(account.parked.values()) + sum(account.skipped.values())


def sink_row(shape: str, bench: Bench, rounds: int) -> tuple[list[float], list[Measurement], list[Measurement]]:
    """Our sink and the bare loop, in turn, from one connector's topic to one emulator that answers at once."""
    name = f"bench-{shape}"
    ratios, ours, bare = [], [], []
    with _emulator(shape) as emulator:
        for number in range(rounds):
            prefix = f"bench-{bench.tag}-{shape}-{number}."
            config = bench.configuration(prefix, {name: _connector(shape, emulator)})
            topic = f"{prefix}connector.{name}"
            bench.fill(topic, None if shape == "mixpanel" else MAPPED_BY_BOTH, is_routed=True)
            target = (emulator.base_url, _authorization(emulator))
            bare.append(bench.bare("bare_sink", shape, bench.bootstrap, topic, f"{prefix}bare", bench.count, *target))
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
                config = bench.configuration(prefix, {name: _connector("mixpanel", emulator)})
                bench.fill(f"{prefix}connector.{name}", None, is_routed=True)
                traces_to = collector.endpoint if is_observed else ""
                measured[is_observed].append(bench.ours(config, name, traces_to, is_observed=is_observed))
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
        bare.append(bench.bare("bare_copy", bench.bootstrap, topic, f"{prefix}bare", bench.count, output))
        ours.append(bench.ours(config, "router"))
        ratios.append(bare[-1].cpu_seconds / ours[-1].cpu_seconds)
    return ratios, ours, bare


def dead_letters(bench: Bench, letters: int) -> tuple[float, float]:
    """Seconds of `streams dlq top` on so many dead letters, and its memory in MiB."""
    prefix = f"bench-{bench.tag}-letters."
    connector = {"destination": "mixpanel", "project_token": "0123456789abcdef0123456789abcdef"}
    config = bench.configuration(prefix, {"full": connector})
    fill(bench.bootstrap, f"{prefix}dead-letter.full.rejected", letters, PARTITIONS)
    return top_seconds(config, "full")


def _emulator(shape: str) -> MixpanelEmulator | MParticleEmulator:
    if shape == "mixpanel":
        limits = MixpanelLimits(rate_bytes=UNLIMITED, rate_events=UNLIMITED)
        return MixpanelEmulator(MixpanelOptions(keep="discard", limits=limits), is_process=True)
    return MParticleEmulator(
        MParticleOptions(keep="discard", limits=MParticleLimits(batches_per_second=UNLIMITED)), is_process=True
    )


def _connector(shape: str, emulator: MixpanelEmulator | MParticleEmulator) -> dict[str, Any]:
    common = {"destination": shape, "base_url": emulator.base_url, "events": ["all"], "rate": 1_000_000.0}
    if isinstance(emulator, MixpanelEmulator):
        return {**common, "project_token": emulator.project_token}
    unbound = emulator.feeds["unbound"]
    return {**common, "feeds": {"unbound": {"key": unbound.key, "secret": unbound.secret}}}


def _authorization(emulator: MixpanelEmulator | MParticleEmulator) -> str:
    if isinstance(emulator, MixpanelEmulator):
        return basic(emulator.project_token, "")
    unbound = emulator.feeds["unbound"]
    return basic(unbound.key, unbound.secret)


ROWS: dict[str, tuple[str, Callable[[Bench, int], tuple[list[float], list[Measurement], list[Measurement]]]]] = {
    "mixpanel": ("mixpanel_sink_to_bare", partial(sink_row, "mixpanel")),
    "mparticle": ("mparticle_sink_to_bare", partial(sink_row, "mparticle")),
    "router": ("router_to_bare_copy", router_row),
    "telemetry": ("telemetry_on_to_off", telemetry_row),
}


def main() -> None:
    """Run the rows that were asked for, and print them."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rows", nargs="*", default=[*ROWS])
    parser.add_argument("--records", type=int, default=300_000, help="records per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, alternating; the median counts")
    parser.add_argument(
        "--letters", type=int, default=1_000_000, help="dead letters that `dlq top` reads; 0 leaves this out"
    )
    options = parser.parse_args()
    results: dict[str, float] = {}
    table: list[tuple[str, str, str, str, str]] = []
    with choose() as broker, tempfile.TemporaryDirectory() as folder:
        bench = Bench(broker, Path(folder), options.records)
        for row in options.rows:
            key, measure = ROWS[row]
            ratios, ours, bare = measure(bench, options.rounds)
            results[key] = round(statistics.median(ratios), 3)
            results[f"{row}_rss_mib"] = round(max(one.rss_mib for one in ours), 1)
            table.append(
                (
                    key,
                    f"{results[key]:.2f}",
                    " ".join(f"{ratio:.2f}" for ratio in ratios),
                    _per_second(bench, ours),
                    _per_second(bench, bare),
                )
            )
        if options.letters:
            seconds, rss_mib = dead_letters(bench, options.letters)
            results |= {"letters": options.letters, "dlq_top_rss_mib": round(rss_mib, 1)}
            results["dlq_top_1m_seconds"] = round(seconds * 1_000_000 / options.letters, 2)
        kind = broker.kind
    print(json.dumps({"v": 1, "broker": kind, "records": options.records, "rounds": options.rounds, **results}))
    columns = ("row", "ratio", "each round", "ours, k/CPU-s", "bare, k/CPU-s")
    widths = [max(len(line[index]) for line in (columns, *table)) for index in range(len(columns))]
    for line in (columns, *table):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _per_second(bench: Bench, measurements: list[Measurement]) -> str:
    return f"{statistics.median(bench.per_cpu_second(one) for one in measurements) / 1000:.1f}"


if __name__ == "__main__":
    main()
