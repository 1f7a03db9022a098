"""A dead-letter topic as large as a bad week makes it, and `streams dlq top` on it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
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


def top_seconds(config: Path, connector: str) -> tuple[float, float]:
    """How long `streams dlq top` takes, the start of Python included, and its peak memory in MiB."""
    command = [sys.executable, "-m", "streams", "dlq", "top", connector, "--config", str(config), "--output", "json"]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak_kib = 0
    while process.poll() is None:
        peak_kib = max(peak_kib, _peak_kib(process.pid))
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"`streams dlq top` ended with {process.returncode}")
    return seconds, peak_kib / 1024


def _peak_kib(pid: int) -> int:
    """Of the program alone: what `getrusage` says of a child counts the memory of the process that forked it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return 0 if match is None else int(match[1])
