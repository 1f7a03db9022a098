"""Our router and sinks as contenders: the real workers from the real composition, ended when all is settled."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from streams.cli.composition import router, sink
from streams.config import load
from streams.workers.ports import Start
from tests.bench.measuring import report


def run(config: Path, role: str) -> None:
    """Run the router, or a connector's sink, until SIGTERM, and report what it cost since it had partitions."""
    settings = load(config)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    started: list[tuple[float, float]] = []
    with router(settings) if role == "router" else sink(settings, settings.connectors[role]) as worker:
        assigned = worker.assigned

        def begin(starts: Sequence[Start]) -> None:
            started.append((time.process_time(), time.monotonic()))
            assigned(starts)

        worker.assigned = begin  # type: ignore[method-assign]
        worker.run(stop)
        report(started[0])


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
