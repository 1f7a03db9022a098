"""What every contender reports: records, CPU seconds of the process with all its threads, wall seconds, memory."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contender's run."""

    cpu_seconds: float
    wall_seconds: float
    rss_mib: float
    start_cpu_seconds: float = 0.0
    """What it needed before: the start of Python, imports, and joining the group."""


def report(started: tuple[float, float]) -> None:
    """Print what was spent since `started`, (process_time, monotonic), as one JSON line on stdout."""
    cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
    measured = {"cpu_seconds": cpu, "wall_seconds": wall, "rss_mib": peak_mib(), "start_cpu_seconds": started[0]}
    print(json.dumps(measured))


def peak_mib() -> float:
    """The most memory that this program held. Not `ru_maxrss`: that counts the process that forked it, too."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None, "Linux tells a process its peak"
    return int(match[1]) / 1024
