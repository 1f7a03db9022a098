"""What every contender reports: records, CPU seconds of the process with all its threads, wall seconds, memory."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contender's run."""

    cpu_seconds: float
    wall_seconds: float
    rss_mib: float


def report(started: tuple[float, float]) -> None:
    """Print what was spent since `started`, (process_time, monotonic), as one JSON line on stdout."""
    cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"cpu_seconds": cpu, "wall_seconds": wall, "rss_mib": peak_kib / 1024}))
