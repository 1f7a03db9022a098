"""The world of the way back: topics, vendors, processes, Braze and a clock. It plays acts, one after another, and asks
the checker after each step of each process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.clock import Clock
from streams.ports.errors import CommitRefused, Fenced
from streams.ports.kafka import Partition
from streams.ports.memory import Memories
from streams.testing.clock import MovableClock
from streams.testing.memories import FakeMemories
from streams.testing.ports import FakeKafka, FakeLetterTopics, FakeNotifier, FakeTransactions, Killed
from streams.workers.keeper.known_topics import MissingRecords
from streams.workers.receiver.writer import ReceiverWriter
from tests.simulation import acts
from tests.simulation import names as common
from tests.simulation.vendor import Broken
from tests.simulation.way_back import names
from tests.simulation.way_back.acts import FAULTS, Begin, LoseScratch, Send, Unreachable, WayAct
from tests.simulation.way_back.braze import Braze, Sent
from tests.simulation.way_back.checker import Checker
from tests.simulation.way_back.processes import BrazeSink, DoubtfulTransactions, ReceiverProcess
from tests.simulation.way_back.scratch import Folders, ScratchMemories
from tests.simulation.way_back.senders import Sender, vendor_of
from tests.simulation.way_back.truth import Truth
from tests.simulation.world import (
    QUIET_ROUNDS_MAX,
    QUIET_SECONDS,
    SESSION_SECONDS,
    STEP_SECONDS,
    Makers,
)

WayProcess = ReceiverProcess | BrazeSink


@dataclass(frozen=True, slots=True)
class WayMakers(Makers):
    """What a test makes in another way, to see that it is found."""

    receiver: Callable[..., ReceiverWriter] = ReceiverWriter
    receivers_transactions: Callable[[ReceiverProcess], FakeTransactions] = DoubtfulTransactions
    memories: Callable[[FakeKafka, str, Clock], Memories] = FakeMemories
    """Where sinks do not remember in files: these are lost with each process."""


class WayBack:
    """Plays a plan. Raises `Broken` where an invariant does not hold, and what a process raises that it must not."""

    def __init__(self, makers: WayMakers | None, begin: Begin, folder: Path) -> None:
        """`folder` is for scratch files, where sinks remember in such."""
        self.makers = makers or WayMakers()
        self.begin = begin
        self.settings = names.PARKING if begin.parks_in_doubt else names.SETTINGS
        self._folders = Folders(folder) if begin.in_files else None
        self._orders = 0
        self.replays = 0
        """Orders of people that send letters once more."""
        self.clock = MovableClock()
        self.kafka = FakeKafka(clock=self.clock, writes_markers=True, spreads_keys=True, tells_ids=True)
        self.letter_topics = FakeLetterTopics(self.kafka, common.PARTITIONS)
        self.topic_of_letters = common.letter_topics(names.SCOPES)
        self._make_topics()
        self.vendor = Braze(self.clock)
        self.truth = Truth()
        self.notifier = FakeNotifier()
        self.clock_errors: dict[str, float] = {}
        """By how many seconds the clock of a process is before the world's."""
        self.faults = 0
        self.steps = 0
        self._senders = {name: Sender(self, name) for name in ("mixpanel", "mparticle")}
        self._zombies: list[WayProcess] = []
        self._away: list[tuple[float, int]] = []
        """When the group goes on without which member."""
        self._processes: dict[str, WayProcess] = {}
        self.checker = Checker(self)
        for name in names.PROCESSES:
            self._start(name)

    def _make_topics(self) -> None:
        for topic in (common.TOPIC, names.SENT, *self.topic_of_letters.values()):
            for number in range(common.PARTITIONS):
                self.kafka.records[topic, number] = []
        for topic in (common.STATE, common.AUDIT, common.FORGOTTEN, names.RECEIVED):
            self.kafka.records[topic, 0] = []

    # Acts.

    def play(self, plan: Iterable[WayAct]) -> None:
        """Play all acts, then fix everything, wait until it is calm, and check what must hold then."""
        for act in plan:
            self.do(act)
        self.settle()

    def do(self, act: WayAct) -> None:
        self.faults += isinstance(act, FAULTS)
        match act:
            case Send(requests):
                for one in requests:
                    self._senders[vendor_of(one)].waiting.append(one)
            case Unreachable(name, has_effect):
                process = self._processes.get(name)
                if isinstance(process, ReceiverProcess):
                    process.unanswered.extend(has_effect)
            case LoseScratch(name, is_damaged):
                if self._folders is not None:
                    self._folders.lose(name, is_damaged=is_damaged)
            case Begin():
                pass  # the world was made for it
            case acts.Work(name, steps, keeper):
                for _ in range(steps):
                    self._step(self._processes.get(name), keeper=keeper)
                    self._pass(STEP_SECONDS)
            case acts.Run(seconds, step_seconds):
                self._run(seconds, step_seconds)
            case acts.Pass(seconds):
                self._pass(seconds)
            case acts.Key(is_dead, scope):
                self.vendor.set(scope, is_dead=is_dead)
            case acts.Probes(status, scope):
                self.vendor.set(scope, probe_status=status)
            case acts.Faults(kinds):
                self.vendor.faults.extend(kinds)
            case acts.Latency(seconds):
                self.vendor.latency_seconds = seconds
            case acts.RefuseCommits(group, count):
                self.kafka.group(group).refuse_commits = count
            case acts.SetClock(name, seconds):
                self.clock_errors[name] = seconds
            case acts.Ask():
                self._ask(act)
            case _:
                self._do_to_process(act)
        self.checker.check()

    def _do_to_process(self, act: WayAct) -> None:
        match act:
            case acts.Kill(name, calls, is_after):
                if name in self._processes:
                    self._processes[name].life.end_at(calls, is_after=is_after)
            case acts.Start(name):
                if name not in self._processes:
                    self._start(name)
            case acts.Leave(name):
                self._leave(name)
            case acts.Replace(name):
                self._replace(name)
            case acts.Wake(steps):
                self._wake(steps)
            case acts.Expel(name):
                self._expel(name)
            case _:
                raise AssertionError(f"nobody plays {act}")

    def settle(self) -> None:
        """Fix everything: then Braze comes to what is true."""
        self._fix()
        self._run(60.0, QUIET_SECONDS)
        self._ask(acts.Ask("resume"))
        for _ in range(QUIET_ROUNDS_MAX):
            self._run(QUIET_SECONDS, QUIET_SECONDS)
            if self.checker.is_calm():
                break
        self._run(20.0, QUIET_SECONDS)
        self.checker.check_calm()

    def _fix(self) -> None:
        self.vendor.faults.clear()
        self.clock_errors.clear()
        for scope in names.SCOPES:
            self.vendor.set(scope, is_dead=False)
        self.vendor.latency_seconds = 0.0
        for group in self.kafka.groups.values():
            group.refuse_commits = 0
        for zombie in list(self._zombies):
            self._wake(10)
            if zombie in self._zombies:
                self._died(zombie)
        for name in names.PROCESSES:
            if name not in self._processes:
                self._start(name)
        for process in self._processes.values():
            process.life.end_at(0, is_after=False)
            if isinstance(process, ReceiverProcess):
                process.unanswered.clear()

    def _ask(self, act: acts.Ask) -> None:
        """A person's request on the state topic, as the command line writes it."""
        self._orders += 1
        now = self.clock.epoch_ms()
        arguments: dict[str, Any] = {}
        self.replays += act.what == "replay"
        if act.is_job:
            topic = self.topic_of_letters[act.letters]
            ends = {
                f"{act.letters}/{number}": len(self.kafka.records[topic, number]) for number in range(common.PARTITIONS)
            }
            arguments = {"selection": {"letters": act.letters}, "ends": ends}
        request = {"v": 1, "at": now, "what": act.what, "who": "ann@desk", "reason": "it is no use"}
        value = orjson.dumps(request | {"expires": now + 60_000, "arguments": arguments})
        self.kafka.write(common.STATE, value, f"request/{common.CONNECTOR}/{self._orders}".encode())

    def digest(self) -> str:
        """Of all that was written and committed: the same plan gives the same."""
        digest = hashlib.sha256()
        for place, log in sorted(self.kafka.records.items()):
            for one in log:
                digest.update(repr((place, one.offset(), one.key(), one.value(), one.headers())).encode())
        for name, group in sorted(self.kafka.groups.items()):
            digest.update(repr((name, sorted(group.committed.items()))).encode())
        return digest.hexdigest()

    # What others see of it.

    def sent(self, process: BrazeSink, request: Request) -> Response | NoResponse:
        """A sink's request."""
        sent = Sent.of(request)
        self.checker.require_allowed(process.born, sent)
        return self.vendor.sent(request, sent)

    def memories_of(self, instance: str, clock: Clock) -> Memories:
        """What a sink remembers, which starts now."""
        if self._folders is None:
            return self.makers.memories(self.kafka, names.SENT, clock)
        return ScratchMemories(self.kafka, self._folders.of(instance), clock)

    def close(self) -> None:
        """Close all files."""
        for process in [*self._processes.values(), *self._zombies]:
            self._forget(process)

    def receivers(self) -> Sequence[ReceiverProcess]:
        """Those that take requests now."""
        found = (self._processes.get(name) for name in names.RECEIVERS)
        return [one for one in found if isinstance(one, ReceiverProcess)]

    def partitions_of(self, topic: str) -> list[Partition]:
        """In order."""
        return sorted(place for place in self.kafka.records if place[0] == topic)

    def excess(self) -> int | None:
        """How many more records wait than the account says, as `streams.operations.keeper_accounts` counts them."""
        return self.checker.waiting() - self.checker.account().waiting

    def missing(self) -> MissingRecords | None:
        """What the account has and no topic holds, as `streams.operations.keeper_accounts` counts it."""
        self.checker.check()
        found, held = self.checker.account(), self.checker.held()
        causes = {*found.parked, *held}
        parked = {cause: found.parked.get(cause, 0) - held.get(cause, 0) for cause in causes}
        return MissingRecords(parked, found.waiting - self.checker.waiting())

    def is_all_sent(self) -> bool:
        """Whether all that vendors had to send was accepted."""
        return all(sender.is_idle for sender in self._senders.values())

    # Processes.

    def _start(self, name: str) -> None:
        self._processes[name] = ReceiverProcess(self, name) if name in names.RECEIVERS else BrazeSink(self, name)

    def _step(self, process: WayProcess | None, *, keeper: bool) -> None:
        if process is None:
            return
        self.steps += 1
        try:
            if keeper:
                process.keep()
            else:
                process.work()
        except Killed:
            self._died(process)
        except Fenced:
            self._is_fenced(process)
        except AssertionError:
            raise
        except Exception as error:
            raise Broken(f"{process.instance} ended with {type(error).__name__}: {error}") from error
        self.checker.check()

    def _pass(self, seconds: float) -> None:
        """Time goes by for processes; vendors look for answers, and send."""
        self.clock.advance(seconds)
        for sender in self._senders.values():
            sender.step()

    def _run(self, seconds: float, step_seconds: float) -> None:
        for _ in range(max(1, round(seconds / step_seconds))):
            for name in names.PROCESSES:
                self._step(self._processes.get(name), keeper=False)
                if name in names.SINKS:
                    self._step(self._processes.get(name), keeper=True)
            self._pass(step_seconds)
            self._forget_dead()

    def _forget_dead(self) -> None:
        now = self.clock.monotonic()
        for at, member in self._away:
            if at <= now:
                self.kafka.group(common.SINKS).expel(member)
        self._away = [one for one in self._away if one[0] > now]

    def _went(self, process: WayProcess) -> None:
        """Something happened to a process after which others do not know what it did last."""
        if isinstance(process, BrazeSink):
            self.checker.went(process.born)

    def _will_be_missed(self, process: WayProcess) -> None:
        if isinstance(process, BrazeSink):
            self._away.append((self.clock.monotonic() + SESSION_SECONDS, process.consumer.member))

    def _died(self, process: WayProcess) -> None:
        self._went(process)
        process.life.end()
        self._will_be_missed(process)
        self._forget(process)

    def _is_fenced(self, process: WayProcess) -> None:
        """As a real process: it says so, leaves its group, and ends."""
        self._went(process)
        try:
            process.leave()
        except Killed:
            self._died(process)
        self._forget(process)

    def _forget(self, process: WayProcess) -> None:
        if self._folders is not None and isinstance(process, BrazeSink):
            assert isinstance(process.kept, ScratchMemories)
            self._folders.leave(process.instance, process.kept, keeps=process not in self._zombies)
        self._processes = {name: one for name, one in self._processes.items() if one is not process}
        self._zombies = [one for one in self._zombies if one is not process]

    def _leave(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None:
            return
        self._went(process)
        try:
            process.stop()
        except Killed:
            self._died(process)
            return
        except (Fenced, CommitRefused):
            self._is_fenced(process)
            return
        process.life.end()
        self._forget(process)

    def _replace(self, name: str) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        self._went(process)
        self._zombies.append(process)
        self._will_be_missed(process)
        self._start(name)

    def _wake(self, steps: int) -> None:
        if not self._zombies:
            return
        zombie = self._zombies[0]
        for _ in range(steps):
            for keeper in (True, False):  # its keeper need not wait for its worker to learn of the group
                if zombie in self._zombies:
                    self._went(zombie)
                    self._step(zombie, keeper=keeper)
            self._pass(STEP_SECONDS)

    def _expel(self, name: str) -> None:
        process = self._processes.get(name)
        if isinstance(process, BrazeSink):
            self._went(process)
            self.kafka.group(common.SINKS).expel(process.consumer.member)
