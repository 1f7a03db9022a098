"""Our router and sinks as contenders: the real workers from the real composition, ended when all is settled."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from streams.adapters.telemetry.log import configure_log
from streams.cli.assembly.keeper import kept
from streams.cli.assembly.observation import observed
from streams.cli.assembly.processes import named
from streams.cli.assembly.router import router
from streams.cli.assembly.sink import sink
from streams.config import load
from streams.ports.kafka import Start
from streams.workers.candidate import Candidate
from streams.workers.keeper.keeper import Keeper
from streams.workers.router.worker import Router
from streams.workers.sink.worker import Sink
from tests.bench.measurement import report


def run(config: Path, role: str, port: int | None) -> None:
    """Run the router, or a connector's sink, until SIGTERM, and report what it cost since it had partitions.

    With a `port` it counts and listens; it traces where `OTEL_*` says so.
    """
    configure_log("json", "warning")  # on stderr: stdout is for the report
    settings = load(config)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    started: list[tuple[float, float]] = []
    with ExitStack() as stack:
        worker: Router | Sink | Candidate[Keeper]
        instance = stack.enter_context(named(role))
        observation = stack.enter_context(observed(role, port, instance))
        if role == "router":
            worker, keeper = stack.enter_context(router(settings, observation, instance))
        else:
            worker, keeper = stack.enter_context(sink(settings, settings.connectors[role], observation, instance))
        stack.enter_context(kept(keeper, stop))
        assigned = worker.assigned

        def begin(starts: Sequence[Start]) -> None:
            started.append((time.process_time(), time.monotonic()))
            assigned(starts)

        worker.assigned = begin  # type: ignore[method-assign]
        worker.run(stop)
        report(started[0] if started else (time.process_time(), time.monotonic()))  # one of many may get no partition


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if sys.argv[3:] else None)
