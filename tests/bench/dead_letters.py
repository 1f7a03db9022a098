"""A dead-letter topic as large as a bad week makes it, and `streams dlq top` on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from confluent_kafka import Producer

from streams.delivery.letter import Origin, Reason, letter_headers
from streams.events.samples import sample_events

DETAILS = (
    (400, "properties.time: must be an integer"),
    (400, "'distinct_id' is not a valid identifier: '{number}'"),
    (400, "event {number} is older than 5 years"),
    (413, "batch of {number} bytes is too large"),
)
LOOK_SECONDS = 0.02
SAMPLES = 1_100
"""Each written many times: what is measured is reading."""


def fill(bootstrap_servers: str, topic: str, letters: int, partitions: int) -> None:
    """Write so many dead letters of a mix of event types, causes and messages, parked one a millisecond."""
    producer = Producer(
        {"bootstrap.servers": bootstrap_servers, "compression.type": "lz4", "linger.ms": 20, "batch.size": 1_000_000}
    )
    now_ms = int(time.time() * 1000)
    events = sample_events(SAMPLES, seed=1, now_s=now_ms // 1000)
    for number, event in enumerate(islice(cycle(list(events)), letters)):
        status, detail = DETAILS[number % len(DETAILS)]
        origin = Origin(f"currents.{event.event_type}", number % 6, number)
        reason = Reason(
            cause="gave-up" if status == 413 else "rejected",
            status=status,
            detail=detail.format(number=number),
            scope="default",
            event_type=event.event_type,
            attempts=1,
            parked_at_ms=now_ms - letters + number,
        )
        headers: list[tuple[str, str | bytes | None]] = [
            *letter_headers([("streams-origin", origin.to_header())], origin, reason)
        ]
        while True:
            try:
                producer.produce(topic, event.value, event.key, number % partitions, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(300)


@dataclass(frozen=True, slots=True)
class Top:
    """What `streams dlq top` took, the start of Python included. CPU seconds are those of all its threads: on a machine
    with other work they say more than the time on the clock."""

    seconds: float
    cpu_seconds: float
    rss_mib: float


def top(config: Path, connector: str) -> Top:
    """Run it once, and wait for its end."""
    command = [sys.executable, "-m", "streams", "dlq", "top", connector, "--config", str(config), "--output", "json"]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak_kib = ended = 0
    while not ended:
        peak_kib = max(peak_kib, _peak_kib(process.pid))
        time.sleep(LOOK_SECONDS)
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"`streams dlq top` ended with {process.returncode}")
    return Top(seconds, usage.ru_utime + usage.ru_stime, peak_kib / 1024)


def _peak_kib(pid: int) -> int:
    """Of the program alone: what `getrusage` says of a child counts the memory of the process that forked it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 0 if match is None else int(match[1])
