"""`make soak HOURS=2`: all roles under a steady load, with now and then a fault, read each minute.

Writes each reading as a line of JSON to a file while it runs. At the end it prints a table, and a line of JSON with the
verdict: whether anything leaks (`tests/soak/verdict.py` says what a leak is), and whether the accounts add up. The exit
code is 1 if something leaks or does not add up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.testing.brokers import choose
from tests.soak.load import FILE_SECONDS, REQUEST_SECONDS
from tests.soak.readings import Reading
from tests.soak.verdict import Growth, Judgement, judged
from tests.soak.world import BRAZE, World, world

SECONDS_AN_HOUR = 3600.0
TICK_SECONDS = 0.5
READ_SECONDS = 60.0
FAULT_SECONDS = (45.0, 180.0)
"""Between two faults, at least and at most."""
WARM_UP_MINUTES_MAX = 20.0
WARM_UP_SHARE = 1 / 3
"""Of a short soak, so much is warm-up."""


def soak(running: World, seconds: float, rate: float, seed: int, to: Path) -> list[Reading]:
    """Send, break and read for so long; at the end wait until all is quiet, and read once more."""
    random, readings = Random(seed), list[Reading]()
    began = now = time.monotonic()
    due = {"file": began, "request": began, "reading": began, "fault": began + FAULT_SECONDS[0]}
    sent = 0
    while (now := time.monotonic()) < began + seconds:
        running.load.events(max(0, round((now - began) * rate) - sent))
        sent = round((now - began) * rate)
        if now >= due["file"]:
            running.load.file()
            due["file"] += FILE_SECONDS
        if now >= due["request"]:
            running.load.http_inlet(running.receiver)
            running.load.webhooks(running.receiver, BRAZE)
            due["request"] = max(due["request"] + REQUEST_SECONDS, now)
        if now >= due["reading"]:
            _read(running, readings, now - began, to)
            due["reading"] = max(due["reading"] + READ_SECONDS, now)
        if now >= due["fault"]:
            running.happen(random)
            due["fault"] = time.monotonic() + random.uniform(*FAULT_SECONDS)
        running.settle_faults()
        running.start_ended()
        time.sleep(TICK_SECONDS)
    running.settle_faults(is_last=True)
    running.load.flush()
    running.await_quiet()
    _read(running, readings, time.monotonic() - began, to)
    return readings


def _read(running: World, readings: list[Reading], seconds: float, to: Path) -> None:
    try:
        reading = running.reading(seconds / 60)
    except (KafkaUnreachable, KafkaRefusal) as error:
        print(f"no reading: {error}", file=sys.stderr)
        return
    readings.append(reading)
    with to.open("a") as file:
        file.write(json.dumps(reading.to_json()) + "\n")


def table(found: Sequence[Judgement]) -> str:
    """`grew` is the growth so far, `may` what it may grow by."""
    head = ("process", "what", "first", "last", "peak", "calm minutes", "grew", "may", "outages", "grew", "may", "")
    lines: list[tuple[str, ...]] = [head]
    for one in found:
        levels = [f"{number:.1f}" for number in (one.first, one.last, one.peak)]
        outages = ("too few", "", "") if one.by_outages is None else _cells(one.by_outages)
        leaks = one.leaks and f"LEAK {one.leaks}"
        lines.append((one.subject, one.quantity, *levels, *_cells(one.calm), *outages, leaks))
    widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cells(growth: Growth) -> tuple[str, ...]:
    return (f"{growth.over:.0f}", f"{growth.growth:+.1f}", f"{growth.growth_max:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second onto the Currents topics")
    parser.add_argument("--seed", type=int, default=1, help="of what happens, and when")
    parser.add_argument("--to", type=Path, default=Path("soak.jsonl"), help="where each reading is written")
    options = parser.parse_args()
    options.to.unlink(missing_ok=True)
    seconds = options.hours * SECONDS_AN_HOUR
    warm_up = min(WARM_UP_MINUTES_MAX, seconds / 60 * WARM_UP_SHARE)
    os.environ.pop("KAFKA_BOOTSTRAP", None)  # its broker restarts: it must be its own
    with choose() as broker, tempfile.TemporaryDirectory() as folder, world(broker, Path(folder)) as running:
        readings = soak(running, seconds, options.rate, options.seed, options.to)
        problems = running.problems()
    found = judged(readings, warm_up)
    leaks = [f"{one.subject}: {one.quantity} {one.leaks}" for one in found if one.leaks]
    summary: dict[str, Any] = {
        "v": 1,
        "hours": options.hours,
        "rate": options.rate,
        "seed": options.seed,
        "warm_up_minutes": round(warm_up, 1),
        "readings": len(readings),
        "written": dict(running.load.written),
        "not_accepted": dict(running.load.refused),
        "happened": dict(running.happened),
        "ended_by_themselves": running.endings,
        "most_waiting": max((sum(one.waiting.values()) for one in readings), default=0),
        "accounts": dict(readings[-1].accounts) if readings else {},
        "judgements": [asdict(one) for one in found],
        "leaks": leaks,
        "problems": problems,
    }
    print(table(found))
    print(json.dumps(summary))
    sys.exit(bool(leaks or problems))


if __name__ == "__main__":
    main()
