"""How long things take on the clock: an event from Currents to the destination, a killed sink, the demo, the help."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from confluent_kafka import Producer

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import WorkerProcess
from tests.waiting import wait_until

EVENT_TYPE = "users.messages.email.Open"
RATE = 1_000
"""Events a second."""
TICKS_A_SECOND = 50
WARM_UP_EVENTS = 500
AFTER_KILL_SECONDS = 1.0
"""What is written in this time after the kill must be delivered; its last event tells how long that took."""


class Feed:
    """Writes events to one Currents topic, and remembers when each was written."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})
        self._topic = topic
        self._random = Random(1)
        schema = shipped().by_event_type(EVENT_TYPE)
        assert schema is not None
        self._schema = schema
        self._record = sample_record(EVENT_TYPE, self._random, int(time.time()))
        self.written_ms: dict[str, float] = {}

    def write(self, amount: int) -> None:
        for _ in range(amount):
            number = len(self.written_ms)
            name = f"delay-{number:09}"
            value = encode_single_object(self._schema, {**self._record, "id": name, "time": int(time.time())})
            self.written_ms[name] = time.time() * 1000
            self._producer.produce(self._topic, value, str(number % 997))
        self._producer.poll(0)

    def write_steadily(self, seconds: float) -> None:
        """`RATE` events a second; late ticks are caught up."""
        began = time.monotonic()
        for tick in range(round(seconds * TICKS_A_SECOND)):
            time.sleep(max(0.0, began + tick / TICKS_A_SECOND - time.monotonic()))
            self.write(RATE // TICKS_A_SECOND)

    def close(self) -> None:
        assert self._producer.flush(30) == 0


def arrived_ms(emulator: MixpanelEmulator) -> dict[str, int]:
    """When each event came first."""
    arrived: dict[str, int] = {}
    for request in emulator.requests():
        for name in request["record_ids"]:
            arrived.setdefault(name, request["received_at_ms"])
    return arrived


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A router and sinks of one connector that run, what they read, and where they deliver."""

    feed: Feed
    emulator: MixpanelEmulator
    sinks: list[WorkerProcess]

    def deliver(self, amount: int) -> None:
        """Events that are waited for: whatever has to start has started then."""
        self.feed.write(amount)
        self._wait_for(self.feed.written_ms.keys())

    def delays(self, seconds: float) -> list[float]:
        """Seconds from the write to the arrival, for each event of a steady rate that is written for so long."""
        first = len(self.feed.written_ms)
        self.feed.write_steadily(seconds)
        names = list(self.feed.written_ms)[first:]
        arrived = self._wait_for(set(names))
        return [(arrived[name] - self.feed.written_ms[name]) / 1000 for name in names]

    def _wait_for(self, names: Set[str]) -> dict[str, int]:
        wait_until(lambda: arrived_ms(self.emulator).keys() >= names, "every event at the destination", 120)
        return arrived_ms(self.emulator)


@contextmanager
def pipeline(config: Path, connector: str, emulator: MixpanelEmulator, feed: Feed, sinks: int) -> Iterator[Pipeline]:
    """Processes as in production, each sink with partitions of its own."""
    commands = [["router"], *[["sink", connector]] * sinks]
    processes = [
        WorkerProcess(command, config, f"{config.stem}-{number}", config.with_suffix(f".{number}.log"))
        for number, command in enumerate(commands)
    ]
    for process in processes:
        process.start()
    try:
        wait_until(lambda: all(process.has_partitions() for process in processes), "partitions for each process")
        yield Pipeline(feed, emulator, processes[1:])
    finally:
        for process in processes:
            process.end()


def latency_seconds(running: Pipeline, seconds: float) -> tuple[float, float]:
    """The median and the 99th percentile, from the write to Kafka to the arrival at the destination."""
    running.deliver(WARM_UP_EVENTS)
    percentiles = statistics.quantiles(running.delays(seconds), n=100)
    return percentiles[49], percentiles[98]


def kill_to_delivery_seconds(running: Pipeline) -> float:
    """From the SIGKILL of one of two sinks until what was written in the second after it is delivered."""
    running.deliver(WARM_UP_EVENTS)
    running.sinks[0].kill()
    return max(running.delays(AFTER_KILL_SECONDS))


def help_seconds(rounds: int) -> float:
    """`streams --help`, the median."""
    return statistics.median(_seconds_of("--help") for _ in range(rounds))


def demo_cold_start_seconds(rounds: int) -> float:
    """From the start of `streams demo` to its first delivered event by its own account, the median."""
    return statistics.median(float(_demo()["first_delivery_seconds"]) for _ in range(rounds))


def _seconds_of(*arguments: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "streams", *arguments], check=True, capture_output=True, timeout=60)
    return time.monotonic() - began


def _demo() -> dict[str, Any]:
    command = [sys.executable, "-m", "streams", "demo", "--for", "5s", "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content
