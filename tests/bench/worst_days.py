"""Worst days, measured: a large backlog, slow answers, one dead connector of twenty, every event type in turn, a start
with a million dead letters, a long suspension that is caught up. None may stall another, and none may grow memory.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.adapters.state.requests import KeeperRequests
from streams.cli.assembly.installation import connect
from streams.config import load
from streams.destinations import OWN
from streams.emulators.mixpanel.options import Limits, MixpanelOptions
from streams.operations.accounts import Accounts
from streams.testing.emulators import MixpanelEmulator
from streams.testing.processes import free_port
from tests.bench.dead_letters import fill
from tests.chaos.scene import WorkerProcess
from tests.soak.readings import process_reading
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.bench.__main__ import Bench

NAME = "worst"
UNLIMITED = 10**12
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 900.0
SLOW_SECONDS = 2.0
"""Before each answer."""
BYTE_SECONDS = 0.05
"""Before each byte of an answer: about 3 s for each."""
CONNECTORS = 20
EVENT_TYPE = "users.messages.email.Open"


@dataclass(frozen=True, slots=True)
class Run:
    """How long it took until all was delivered, and the resident memory of the sink meanwhile, in MiB."""

    seconds: float
    rss_mib: Sequence[float]

    @property
    def peak_mib(self) -> float:
        return max(self.rss_mib, default=0.0)

    @property
    def growth_mib(self) -> float:
        """From the second third of the time to the last: the first one fills caches."""
        third = len(self.rss_mib) // 3
        if not third:
            return 0.0
        return statistics.median(self.rss_mib[-third:]) - statistics.median(self.rss_mib[third : 2 * third])


def worst_days(bench: Bench, records: int) -> dict[str, float]:
    """Every one of them, with so many records or letters; fewer where each of them takes seconds."""
    few = max(2_000, records // 20)
    backlog = _drained(bench, "backlog", records)
    suspended = _drained(bench, "suspended", records, is_suspended_first=True)
    slow = _drained(bench, "slow", few, fault={"delay": SLOW_SECONDS})
    bytewise = _drained(bench, "bytewise", few, fault={"byte_seconds": BYTE_SECONDS})
    mapped = sorted(OWN["mixpanel"].events)
    every_type = _drained(bench, "types", records // 3, event_types=mapped)
    letters = _start_with_letters(bench, records)
    all_well, one_dead = (_connectors_side_by_side(bench, few // 10, has_dead=dead) for dead in (False, True))
    return {
        "worst_days_records": records,
        "backlog_events_per_second": round(records / backlog.seconds),
        "backlog_rss_mib": round(backlog.peak_mib, 1),
        "backlog_rss_growth_mib": round(backlog.growth_mib, 1),
        "suspension_caught_up_events_per_second": round(records / suspended.seconds),
        "suspension_rss_mib": round(suspended.peak_mib, 1),
        "answer_after_2_seconds_events_per_second": round(few / slow.seconds),
        "answer_after_2_seconds_rss_mib": round(slow.peak_mib, 1),
        "answer_byte_by_byte_events_per_second": round(few / bytewise.seconds),
        "answer_byte_by_byte_rss_mib": round(bytewise.peak_mib, 1),
        "every_type_events_per_second": round(records // 3 / every_type.seconds),
        "every_type_rss_mib": round(every_type.peak_mib, 1),
        "start_with_letters_seconds": round(letters.seconds, 1),
        "start_with_letters_rss_mib": round(letters.peak_mib, 1),
        "one_dead_of_20_to_none_dead": round(one_dead / all_well, 2),
    }


def _drained(
    bench: Bench,
    name: str,
    records: int,
    *,
    fault: dict[str, Any] | None = None,
    event_types: Sequence[str] | None = None,
    is_suspended_first: bool = False,
) -> Run:
    """A sink that finds so many records on its topic, until the last one is delivered.

    `is_suspended_first`: they come while its connector is SUSPENDED, and the time begins when it is resumed.
    """
    with _emulator() as emulator:
        config = bench.configuration(f"worst-{bench.tag}-{name}.", {NAME: _connector(emulator.base_url, emulator)})
        settings = load(config)
        topic, accounts = settings.topics.connector(NAME), Accounts(connect(settings, "streams-bench"))
        if fault is not None:
            emulator.fail(**fault, count=None)
        if not is_suspended_first:
            bench.fill(topic, event_types, is_routed=True, records=records)
        with _running(config, ["sink", NAME]) as sink:
            if is_suspended_first:
                keepers = KeeperRequests(settings)
                wait_until(lambda: _asked(keepers, "suspend"), "the keeper to suspend", PATIENCE_SECONDS)
                bench.fill(topic, event_types, is_routed=True, records=records)
                wait_until(lambda: _asked(keepers, "resume"), "the keeper to resume", PATIENCE_SECONDS)
            return _watched(sink, lambda: accounts.of([NAME])[NAME].delivered >= records)


def _start_with_letters(bench: Bench, letters: int) -> Run:
    """A sink whose dead-letter topic is full, until it delivers its first record."""
    with _emulator() as emulator:
        config = bench.configuration(f"worst-{bench.tag}-letters.", {NAME: _connector(emulator.base_url, emulator)})
        settings = load(config)
        partitions = settings.kafka.topics.partitions
        fill(bench.bootstrap, settings.topics.dead_letter_rejected(NAME), letters, partitions)
        bench.fill(settings.topics.connector(NAME), [EVENT_TYPE], is_routed=True, records=1)
        accounts = Accounts(connect(settings, "streams-bench"))
        with _running(config, ["sink", NAME]) as sink:
            return _watched(sink, lambda: accounts.of([NAME])[NAME].delivered >= 1)


def _connectors_side_by_side(bench: Bench, records: int, *, has_dead: bool) -> float:
    """Seconds until all of twenty sinks, or all but the dead one, have delivered so many records each."""
    with _emulator() as emulator:
        connectors = {f"c-{number}": _connector(emulator.base_url, emulator) for number in range(CONNECTORS)}
        if has_dead:
            connectors["c-0"] = _connector(f"http://127.0.0.1:{free_port()}", emulator)
        config = bench.configuration(f"worst-{bench.tag}-many-{int(has_dead)}.", connectors)
        settings = load(config)
        for name in connectors:
            bench.fill(settings.topics.connector(name), [EVENT_TYPE], is_routed=True, records=records)
        alive = [name for name in connectors if not (has_dead and name == "c-0")]
        accounts = Accounts(connect(settings, "streams-bench"))
        with _running(config, *(["sink", name] for name in connectors)) as first:
            run = _watched(first, lambda: all(one.delivered >= records for one in accounts.of(alive).values()))
    return run.seconds


def _watched(process: WorkerProcess, is_done: Callable[[], bool]) -> Run:
    began, memory = time.monotonic(), list[float]()
    while not is_done():
        if time.monotonic() >= began + PATIENCE_SECONDS:
            raise SystemExit(f"not done after {PATIENCE_SECONDS:.0f} s: {process.last_words()}")
        if (reading := process_reading(process.pid)) is not None:
            memory.append(reading.rss_mib)
        time.sleep(LOOK_SECONDS)
    return Run(time.monotonic() - began, memory)


@contextmanager
def _running(config: Path, *commands: list[str]) -> Iterator[WorkerProcess]:
    """The first of these processes. All of them run, and have partitions, when the block begins."""
    processes = [
        WorkerProcess(command, config, f"{config.stem}-{number}", config.with_suffix(f".{number}.log"))
        for number, command in enumerate(commands)
    ]
    try:
        for process in processes:
            process.start()
        wait_until(lambda: all(one.has_partitions() for one in processes), "partitions for each", PATIENCE_SECONDS)
        yield processes[0]
    finally:
        for process in processes:
            process.end()


def _asked(keepers: KeeperRequests, what: Any) -> bool:
    answer = keepers.ask(NAME, what, {}, who="bench", reason="bench", wait_seconds=60.0)
    return answer.outcome == "done"


def _emulator() -> MixpanelEmulator:
    limits = Limits(rate_bytes=UNLIMITED, rate_events=UNLIMITED)
    return MixpanelEmulator(MixpanelOptions(keep="discard", limits=limits), is_process=True)


def _connector(base_url: str, emulator: MixpanelEmulator) -> dict[str, Any]:
    keys = {"base_url": base_url, "project_token": emulator.project_token, "rate": 1_000_000.0}
    return {"destination": "mixpanel", "events": ["all"], **keys}
