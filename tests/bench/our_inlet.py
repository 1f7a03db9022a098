"""Our receiver as a contender: the real one from the real composition, with an HTTP inlet."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from streams.adapters.telemetry.log import configure_log
from streams.cli.assembly.observation import observed
from streams.cli.assembly.processes import named
from streams.cli.assembly.receiver import receiver
from streams.config import load
from streams.web.currents import CurrentsRoutes
from tests.bench.measurement import report


def run(config: Path, health_port: int) -> None:
    """Until SIGTERM; then report what it cost since the first request."""
    configure_log("json", "warning")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    started: list[tuple[float, float]] = []
    answer = CurrentsRoutes.answer

    async def first(self: CurrentsRoutes, *arguments: Any) -> Any:
        if not started:
            started.append((time.process_time(), time.monotonic()))
        return await answer(self, *arguments)

    CurrentsRoutes.answer = first  # type: ignore[method-assign,assignment]
    with (
        named("receiver") as instance,
        observed("receiver", health_port, instance) as observation,
        receiver(load(config), observation, instance) as serve,
    ):
        serve(stop)
    report(started[0])


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
