"""Our router and sinks as contenders: the real workers from the real composition, stopped when all is settled."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from streams.adapters.accounts import Accounts
from streams.adapters.admin import Administration
from streams.cli.composition import router, sink
from streams.config import load
from tests.bench.measuring import report

LOOK_SECONDS = 0.5


def settled(accounts: Accounts, role: str) -> int:
    """Records that the role's group has committed past, by its own account."""
    if role == "router":
        return accounts.router().read
    account = accounts.of([role])[role]
    return account.delivered + sum(account.parked.values()) + sum(account.skipped.values())


def run(config: Path, role: str, records: int) -> None:
    """Run the router, or a connector's sink, until `records` are settled, and report what it cost.

    The clock starts with the first poll, as the bare loop's does with its first records.
    """
    settings = load(config)
    stop = threading.Event()
    started: list[tuple[float, float]] = []

    def step_until_done() -> None:
        with router(settings) if role == "router" else sink(settings, settings.connectors[role]) as worker:
            started.append((time.process_time(), time.monotonic()))
            worker.run(stop)

    thread = threading.Thread(target=step_until_done)
    thread.start()
    accounts = Accounts(settings, Administration(settings.kafka.client_config("bench")))
    while settled(accounts, role) < records and thread.is_alive():
        time.sleep(LOOK_SECONDS)
    stop.set()
    thread.join()
    report(settled(accounts, role), started[0])


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
