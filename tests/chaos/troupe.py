"""The processes of a world and the brokers below them: who is killed, frozen or replaced, and who comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from streams.testing.brokers import Broker
from streams.testing.cluster import ApacheCluster
from tests.chaos import plan
from tests.chaos.scene import Scene, WorkerProcess


class Troupe:
    """Starts the processes, and does to them and to brokers what a plan says. It keeps the diary of a run."""

    def __init__(
        self, scene: Scene, broker: Broker, commands: Mapping[str, Sequence[str]], counts: Counter[str]
    ) -> None:
        """`commands` say by instance what `streams run` is to run."""
        self.diary: list[str] = []
        self.endings: list[str] = []
        """What processes said that ended by themselves."""
        self.exit_codes: Counter[int] = Counter()
        """Of processes that ended by themselves, and of those that were replaced and woken."""
        self.processes: dict[str, WorkerProcess] = {
            name: scene.process(*command, instance=name) for name, command in commands.items()
        }
        self._counts = counts
        self._cluster = broker if isinstance(broker, ApacheCluster) else None
        self._frozen: set[str] = set()
        self._taken: tuple[int, Callable[[ApacheCluster, int], None]] | None = None
        """The broker that is away, and what took it."""

    def note(self, what: str) -> None:
        self.diary.append(f"{time.strftime('%H:%M:%S')}.{time.time_ns() // 1_000_000 % 1000:03d} {what}")

    def act(self, act: plan.ProcessAct | plan.BrokerAct) -> None:
        match act:
            case plan.Kill(process):
                self._hurt(process, "killed", WorkerProcess.kill)
            case plan.Leave(process):
                self._hurt(process, "left", WorkerProcess.terminate)
            case plan.Start(process):
                if not self.processes[process].is_running():
                    self.processes[process].start()
            case plan.Freeze(process):
                self._frozen.add(process)
                self._hurt(process, "frozen", WorkerProcess.freeze)
            case plan.Thaw(process):
                self._frozen.discard(process)
                self.processes[process].thaw()
            case plan.Replace(process):
                self._hurt(process, "replaced", WorkerProcess.replace)
            case plan.Wake(process):
                self.processes[process].wake_zombies()
            case plan.KillBroker(broker):
                self._take_broker(broker, "killed", ApacheCluster.kill)
            case plan.LeaveBroker(broker):
                self._take_broker(broker, "left", ApacheCluster.leave)
            case plan.FreezeBroker(broker):
                self._take_broker(broker, "frozen", ApacheCluster.freeze)
            case plan.StartBroker() | plan.ThawBroker():
                self._bring_broker_back()
            case _:
                assert_never(act)

    def bring_all_back(self) -> None:
        """The broker that is away, and whoever is frozen or was replaced. Who ended is started by `start_ended`."""
        self.note("fix")
        self._bring_broker_back()
        for name in sorted(self._frozen):
            self.processes[name].thaw()
        self._frozen.clear()
        for process in self.processes.values():
            process.wake_zombies()

    def await_whole(self) -> None:
        """Wait until every replica is in sync, where there are several."""
        if self._cluster is not None:
            self._cluster.await_whole()

    def end_zombies(self) -> None:
        for process in self.processes.values():
            for code in process.end_zombies():
                self._counts[f"zombies that left with exit code {code}"] += 1
                self.exit_codes[code] += 1

    def start_ended(self) -> None:
        """As a supervisor does: start each process that ended."""
        for name in self.processes:
            self._start_if_ended(name)

    def _take_broker(self, name: plan.BrokerName, what: str, act: Callable[[ApacheCluster, int], None]) -> None:
        """Only while all others are in sync: of three replicas two must be left."""
        assert self._cluster is not None, "a plan of a cluster, and one broker"
        self._cluster.await_whole()
        node_id = self._cluster.controller() if name == "controller" else int(name)
        is_controller = node_id == self._cluster.controller()
        act(self._cluster, node_id)
        self._taken = (node_id, act)
        self.note(f"broker {node_id} {what}{', the controller' if is_controller else ''}")
        self._counts[f"brokers {what}"] += 1
        self._counts["controllers lost"] += is_controller

    def _bring_broker_back(self) -> None:
        if self._cluster is None or self._taken is None:
            return
        (node_id, act), self._taken = self._taken, None
        if act is ApacheCluster.freeze:
            self._cluster.thaw(node_id)
        else:
            self._cluster.begin(node_id)

    def _hurt(self, name: str, what: str, act: Callable[[WorkerProcess], Any]) -> None:
        """A process that ended by itself meanwhile is started first: the plan knows nothing of that."""
        self._start_if_ended(name)
        act(self.processes[name])
        self._counts[what] += 1

    def _start_if_ended(self, name: str) -> None:
        """One that ended by itself says why."""
        process = self.processes[name]
        if (code := process.exit_code) is None:
            return
        self.note(f"{name} had ended with {code}, started")
        if code not in (0, -9):
            self._counts[f"processes that ended by themselves with exit code {code}"] += 1
            self.exit_codes[code] += 1
            self.endings.append(f"{name} ended with {code}:\n{process.last_words()}")
        process.start()
