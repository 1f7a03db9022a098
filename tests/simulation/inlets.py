"""A storage inlet as a small deterministic world of its own: files of an object store, two processes, one topic.

Files appear, late ones too; they grow, are written again, cut off, made whole, copied and removed, also while they are
taken. A process dies before or after any call of any of its ports, or another takes over and it goes on as a zombie.
After each step each event is on its Currents topic once at most, and the progress says what is there. At the
end each event of each whole file is there once, and who is not whole is parked with a reason.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import fastavro

from streams.adapters.files.currents import exports
from streams.inlets.inlet_view import InletView, Start
from streams.inlets.progress import State
from streams.inlets.schedule import Schedule
from streams.operations.ingest.places import place_of
from streams.ports.errors import Fenced, StoreUnreachable
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeObjects, FakeTransactions, Killed
from streams.workers.bisection import Bisection
from streams.workers.inlet.batch import Batch
from streams.workers.inlet.lease import InletLease
from streams.workers.inlet.listing import Listing
from streams.workers.inlet.orders import Orders
from streams.workers.inlet.queue import Queue
from streams.workers.inlet.report import Report
from streams.workers.inlet.transfer import Opening, Scratch, Transfer
from streams.workers.inlet.trouble import Trouble
from streams.workers.inlet.worker import InletLoop
from streams.workers.lease_loop import Duty
from tests.cli.files import OPEN_SCHEMA
from tests.inlets.desk import DAMAGED_AFTER, LOOKBACK, NAME, POLL, TOPIC, TOPICS, Meter, avro, events, key
from tests.simulation.failure import Failure, Played, Told, failure, not_told
from tests.simulation.inlet_acts import (
    Act,
    Copy,
    Cut,
    Grow,
    Kill,
    Pass,
    Put,
    Remove,
    Repair,
    Rewrite,
    StoreFails,
    TakeOver,
    Wake,
    Work,
    draw,
)
from tests.simulation.mortal import Life
from tests.simulation.vendor import Broken, require

STEP_SECONDS = 0.1
BATCH_RECORDS = 4
"""So files need several transactions."""
SCRATCH_BYTES = 1_000_000
LATE_HOUR = "2026-11-24-05"
SETTLE_SECONDS = DAMAGED_AFTER + 2 * 900.0
"""Who is cut off is parked then, and the look-back was listed."""
STEPS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Makers:
    """What a test makes in another way, to see that it is found."""

    lease: Callable[..., InletLease] = InletLease
    transactions: Callable[[FakeKafka, str], FakeTransactions] = FakeTransactions


class SmallBatch(Batch):
    """Few records make a transaction."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._bisection = Bisection(BATCH_RECORDS)


@dataclass(slots=True)
class Stored:
    """What somebody wrote under one name."""

    ids: list[str]
    content: bytes
    is_whole: bool = True
    hour: str = ""


@dataclass(slots=True)
class Process:
    life: Life
    loop: InletLoop


@dataclass
class InletWorld:
    """Plays a plan. Raises `Broken` where an invariant does not hold, and what a process raises that it must not."""

    scratch: Path
    makers: Makers = field(default_factory=Makers)

    def __post_init__(self) -> None:
        self.clock = MovableClock()
        self.kafka = FakeKafka(clock=self.clock, writes_markers=True)
        self.store = FakeObjects(self.clock.epoch_ms())
        self.files: dict[str, Stored] = {}
        self.steps = 0
        self.faults = 0
        self._taken: Counter[str] = Counter()
        self._read = 0
        self._view = InletView(NAME)
        self._progress = FakeJournal(self.kafka, TOPICS.inlets)
        self._ids: dict[str, list[str]] = {}
        """What each version of a file holds, by its etag."""
        self._transfers: list[Transfer] = []
        self._zombies: list[Process] = []
        self._active = self._process()

    def close(self) -> None:
        """Close the files that processes left open when they died."""
        for transfer in self._transfers:
            transfer.begin()

    # Acts.

    def play(self, plan: Sequence[Act]) -> None:
        for act in plan:
            self._do(act)
            self.check()
        self._settle()

    def _do(self, act: Act) -> None:
        self.faults += isinstance(act, (Grow, Rewrite, Cut, Repair, Copy, Remove, Kill, TakeOver, StoreFails))
        match act:
            case Put():
                if act.name not in self.files:
                    records = events(act.count, act.name)
                    self._write(act.name, records, act.codec, LATE_HOUR if act.is_late else "2026-11-24-12")
            case Grow() | Rewrite():
                self._change(act)
            case Cut():
                stored = self.files.get(act.name)
                if stored is not None and stored.is_whole and not self._is_copied(act.name):
                    stored.is_whole = False
                    self._put(act.name, _cut_off(stored.content, act.percent))
            case Repair():
                self._repair(act.name)
            case Copy():
                stored = self.files.get(act.name)
                if stored is not None and stored.is_whole and act.to not in self.files:
                    self.files[act.to] = Stored(stored.ids, stored.content, hour=stored.hour)
                    self._put(act.to, stored.content)
            case Remove():
                if act.name in self.files and not self._is_copied(act.name):
                    self.store.delete(key(act.name, self.files.pop(act.name).hour))
            case Work():
                for _ in range(act.steps):
                    self._step(self._active)
            case Pass():
                self._pass(act.seconds)
            case Kill():
                self._active.life.end_at(act.calls, is_after=act.is_after)
            case TakeOver():
                self._zombies.append(self._active)
                self._active = self._process()
            case Wake():
                for _ in range(act.steps):
                    if self._zombies:
                        self._step(self._zombies[0])
            case StoreFails():
                self.store.failing = StoreUnreachable("no route") if act.is_on else None

    def _change(self, act: Grow | Rewrite) -> None:
        """Braze writes a file again: with more at its end, or with other records."""
        stored = self.files.get(act.name)
        if stored is None or not stored.is_whole or self._is_copied(act.name):
            return
        count = len(stored.ids)
        if isinstance(act, Grow):
            self._write(act.name, events(count + act.more, _origin(stored)), "null", stored.hour)
        else:
            self._write(act.name, events(act.count, f"{act.name}-{act.version}"), "null", stored.hour)

    def _is_copied(self, name: str) -> bool:
        """One that lies there twice is left alone. If a file is half taken and then replaced or removed, a copy of it
        is taken whole: `docs/inlets.md` says so."""
        return sum(one.ids == self.files[name].ids for one in self.files.values()) > 1

    def _repair(self, name: str) -> None:
        stored = self.files.get(name)
        if stored is not None and not stored.is_whole:
            stored.is_whole = True
            self._put(name, stored.content)

    def _write(self, name: str, records: list[dict[str, Any]], codec: str, hour: str) -> None:
        content = avro(records, codec, sync_interval=200)
        self.files[name] = Stored([record["id"] for record in records], content, hour=hour)
        self._put(name, content)

    def _put(self, name: str, content: bytes) -> None:
        stored = self.files[name]
        one = self.store.put(key(name, stored.hour), content, self.clock.epoch_ms())
        self._ids[one.etag] = stored.ids if stored.is_whole else []

    # Processes.

    def _process(self) -> Process:
        life, instance = Life(), f"instance-{len(self._transfers) + 1}"
        store, queue, schedule = life.owns(self.store), Queue(), Schedule(POLL, LOOKBACK)
        trouble = Trouble(NAME, self.clock, Random(instance))
        batch = SmallBatch(lambda _mark: False, self.clock.monotonic, Meter())
        listing = Listing(store, queue, schedule, trouble, LOOKBACK)
        opening = Opening(exports, lambda file: place_of(file, "currents."))
        transfer = Transfer(
            *(store, queue, schedule, trouble, batch),
            *(Scratch(self.scratch, SCRATCH_BYTES), opening, "s3://bucket", DAMAGED_AFTER),
        )
        self._transfers.append(transfer)
        duties: list[Duty[InletLease]] = [Orders(queue), listing, transfer, Report(queue, listing, trouble, Meter())]

        def take() -> InletLease:
            return self.makers.lease(
                NAME,
                TOPICS,
                instance,
                Start(),
                transactions=life.owns(self.makers.transactions(self.kafka, "streams.inlet.bucket")),
                journal=life.owns(FakeJournal(self.kafka, TOPICS.inlets)),
                by_hand=life.owns(FakeJournal(self.kafka, "streams.state")),
                clock=self.clock,
            )

        loop = InletLoop(NAME, take, duties, self.clock, Meter())
        loop.own(True)
        return Process(life, loop)

    def _step(self, process: Process) -> bool:
        """Whether there was anything to do. Another begins where one died."""
        self.steps += 1
        is_busy = True
        try:
            is_busy = process.loop.step()
        except Killed:
            process.life.end()
            self._zombies = [one for one in self._zombies if one is not process]
            if process is self._active:
                self._active = self._process()
        except (Broken, Fenced, AssertionError):
            raise
        except Exception as error:
            raise Broken(f"a process ended with {type(error).__name__}: {error}") from error
        if process in self._zombies and process.loop.lease is None:
            self._zombies.remove(process)  # it was fenced, and the group tells it that it is not chosen
        self._pass(STEP_SECONDS)
        self.check()
        return is_busy

    def _pass(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.store.now_ms = self.clock.epoch_ms()

    # What must hold.

    def check(self) -> None:
        """After each step."""
        log = self.kafka.records.get((TOPIC, 0), [])
        for record in log[self._read :]:
            if not record.is_marker:
                self._taken[_id(record.value() or b"")] += 1
        self._read = len(log)
        twice = sorted(one for one, count in self._taken.items() if count > 1)
        require(not twice, f"written twice: {twice[:3]}")
        for row in self._progress.poll():
            self._view.apply(row.key, row.value)
        counted = self._view.head.counts.records
        require(counted == self._taken.total(), f"the progress says {counted} records, {self._taken.total()} are there")
        for name, stored in self.files.items():
            entry = self._view.entry(key(name, stored.hour))
            if entry is not None and entry.state is State.DONE and entry.etag in self._ids:
                missing = [one for one in self._ids[entry.etag] if not self._taken[one]]
                require(not missing, f"{name} is done, and {missing[:3]} are not there")

    def _settle(self) -> None:
        """All is well from now on, and time passes: what is whole is taken."""
        self.store.failing = None
        self._active.life.end_at(0, is_after=False)
        for zombie in list(self._zombies):
            for _ in range(10):
                if zombie in self._zombies:
                    self._step(zombie)
        self._zombies.clear()
        self._active = self._process()
        end = self.clock.monotonic() + SETTLE_SECONDS
        for _ in range(STEPS_MAX):
            if not self._step(self._active):
                if self.clock.monotonic() >= end:
                    break
                self._pass(POLL * 3)
        for name, stored in self.files.items():
            entry = self._view.entry(key(name, stored.hour))
            state = None if entry is None else entry.state
            if not stored.is_whole:
                is_told = state is State.PARKED and entry is not None and bool(entry.reason)
                require(is_told, f"{name} is cut off, and nobody says so: {entry}")
                continue
            missing = [one for one in stored.ids if not self._taken[one]]
            require(not missing, f"{name} is whole, and {missing[:3]} are missing: {entry}")
            require(state is State.DONE, f"{name} is whole, and not done: {entry}")


def _cut_off(content: bytes, percent: int) -> bytes:
    """The first so many percent. Avro has no mark of a file's end, so one that ends with a block is whole for every
    reader: a cut there is made a byte earlier."""
    cut = content[: max(1, len(content) * percent // 100)]
    try:
        list(fastavro.reader(BytesIO(cut)))
    except (EOFError, ValueError, IndexError, zlib.error):
        return cut
    return cut[:-1]


def _origin(stored: Stored) -> str:
    """What the ids of a file's records begin with."""
    return stored.ids[0].rpartition("-")[0]


def _id(value: bytes) -> str:
    record: Any = fastavro.schemaless_reader(BytesIO(value[10:]), OPEN_SCHEMA, None)
    return str(record["id"])


def play(plan: Sequence[Act], makers: Makers | None = None) -> Played:
    """Play a plan in a new world."""
    problem = ""
    with TemporaryDirectory() as folder:
        world = InletWorld(Path(folder), makers or Makers())
        try:
            world.play(plan)
        except AssertionError as error:
            problem = str(error) or "an assertion failed"
        finally:
            world.close()
    digest = hashlib.sha256(repr([(place, len(log)) for place, log in sorted(world.kafka.records.items())]).encode())
    return Played(problem, world.steps, world.faults, digest.hexdigest())


def failure_of(seed: int, acts: int, makers: Makers | None = None, tell: Told = not_told) -> Failure | None:
    """Play the plan of a seed; if it fails, shorten it."""
    return failure(seed, draw(seed, acts), lambda plan: play(plan, makers), tell)
