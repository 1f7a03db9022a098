"""All roles as processes, with a spare of most of them, and what now and then happens to them."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.state.requests import KeeperRequests
from streams.emulators.braze.options import BrazeOptions
from streams.emulators.mixpanel.options import MixpanelOptions
from streams.emulators.mparticle.options import MParticleOptions
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator, EmulatorClient, MixpanelEmulator, MParticleEmulator
from tests.chaos.scene import Scene, WorkerProcess
from tests.receiver import inlets as http
from tests.receiver.scene import ReceiverProcess, entries
from tests.soak.load import EVENT_TYPES, Load
from tests.soak.readings import ProcessReading, Reading, process_reading

MIXPANEL, MPARTICLE, BRAZE = "analytics", "cdp", "back"
BUCKET = "bucket"
PROCESSES: Mapping[str, tuple[str, ...]] = {
    "router-0": ("router",),
    "router-1": ("router",),
    f"{MIXPANEL}-0": ("sink", MIXPANEL),
    f"{MIXPANEL}-1": ("sink", MIXPANEL),
    f"{MPARTICLE}-0": ("sink", MPARTICLE),
    f"{BRAZE}-0": ("sink", BRAZE),
    "ingest-0": ("ingest",),
    "ingest-1": ("ingest",),
    "receiver-0": ("receiver",),
}
"""By instance. The keeper of each connector is a thread of one of its sinks, the source's of a router."""
SPARES = ("router-1", f"{MIXPANEL}-1", "ingest-1")
"""These are killed and frozen. The others live from the start to the end: their memory tells of leaks."""
OUTAGE = "broker restarted"
ROLES = ("keeper", "inlet")
"""Kinds of records that name the instance of the active process."""
GRACE = "1h"
AWAY_SECONDS = 15.0
REVOKED_SECONDS = 45.0
QUIET_SECONDS_MAX = 600.0
ASK_SECONDS = 20.0
LOOK_SECONDS = 1.0


class SoakScene(Scene):
    """With the client's own time-outs: what lasts for hours need not be quick."""

    CLASSIC_OPTIONS: Mapping[str, Any] = {}


class World:
    """What runs, what is sent to it, and what happens to it."""

    def __init__(self, scene: Scene, broker: Broker, emulators: Mapping[str, EmulatorClient], folder: Path) -> None:
        self.scene = scene
        self.happened: Counter[str] = Counter()
        self.endings: list[str] = []
        """Processes that ended by themselves."""
        self._broker = broker
        self._emulators = emulators
        self._keepers = KeeperRequests(scene.settings)
        self.load = Load(scene, folder / BUCKET, folder / "made", seed=1)
        self._processes: dict[str, WorkerProcess] = {}
        self._start("receiver-0")
        self.receiver = ReceiverProcess(self._processes["receiver-0"])  # before all others make the machine busy
        for name in PROCESSES:
            if name not in self._processes:
                self._start(name)
        self._undo: list[tuple[float, Callable[[], None]]] = []
        """What ends a fault, and when."""

    def _start(self, name: str) -> None:
        self._processes[name] = self.scene.process(*PROCESSES[name], "--http-port", "0", instance=name)

    def happen(self, random: Random) -> None:
        """One fault or order, drawn at random. It ends by itself (`settle_faults`)."""
        name, act = random.choice(
            [
                ("process killed", self._kill),
                ("process killed", self._kill),
                ("process frozen", self._freeze),
                ("destination failed", self._fail),
                ("destination failed", self._fail),
                ("key revoked", self._revoke),
                ("connector suspended", self._suspend),
                (OUTAGE, self._restart_broker),
            ]
        )
        act(random)
        self.happened[name] += 1

    def settle_faults(self, *, is_last: bool = False) -> None:
        """End the faults whose time is over, or all of them."""
        now = time.monotonic()
        due = [undo for at, undo in self._undo if is_last or at <= now]
        self._undo = [] if is_last else [(at, undo) for at, undo in self._undo if at > now]
        for undo in due:
            undo()

    def start_ended(self) -> None:
        """As a supervisor does."""
        away = SPARES if self._undo else ()
        for name, process in self._processes.items():
            if process.exit_code is not None and name not in away:
                self.endings.append(f"{name} ended with {process.exit_code}: {process.last_words()}")
                process.start()

    def reading(self, minute: float) -> Reading:
        """Raises `KafkaUnreachable` while a broker restarts."""
        options, topics = self.scene.settings.kafka.client_config("soak"), self.scene.settings.topics
        rows = read_to_end(options, topics.state, "soak")
        roles = roles_of(rows) + roles_of(read_to_end(options, topics.inlets, "soak"))
        processes: dict[str, ProcessReading] = {}
        for name, process in self._processes.items():
            mine = [role for role, instance in roles if instance == name]
            if process.is_running() and (found := process_reading(process.pid, mine)) is not None:
                processes[name] = found
        accounts = self.scene.accounts.of(self.scene.settings.connectors)
        return Reading(
            minute=round(minute, 2),
            outages=self.happened[OUTAGE],
            processes=processes,
            state_rows=len(rows),
            state_bytes=sum(len(name) + len(value) for name, value in rows.items()),
            waiting={name: one.waiting for name, one in accounts.items()},
            accounts={name: one.to_json() for name, one in accounts.items()},
        )

    def await_quiet(self) -> None:
        """Until all that was sent is delivered or accounted for, and no key is INVALID."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while problem := self._unrest():
            if time.monotonic() >= deadline:
                raise AssertionError(f"not quiet after {QUIET_SECONDS_MAX:.0f} s: {problem}")
            self.start_ended()
            time.sleep(LOOK_SECONDS)

    def problems(self) -> list[str]:
        """Where accounts do not add up, or differ from the topics, or from what was written."""
        found = []
        routed = self.scene.router_counts().read
        if routed < self.load.written["currents"]:
            found.append(f"{self.load.written['currents']:,} events were written, {routed:,} were routed")
        for name in self.scene.settings.connectors:
            found += [f"{name}: {problem}" for problem in self.scene.verify(name).problems]
            one = self.scene.account(name)
            inward = one.routed + one.imported + one.again
            outward = one.delivered + sum(one.skipped.values()) + sum(one.parked.values())
            outward += one.purged + one.expired + one.lost + one.waiting
            if inward != outward or one.lost:
                found.append(f"{name}: {inward:,} came in, {outward:,} are accounted for: {one}")
        tracebacks = sum("Traceback" in log for log in self.scene.logs_whole())
        return [*found, f"{tracebacks} processes wrote a traceback"] if tracebacks else found

    def _unrest(self) -> str:
        try:
            accounts = self.scene.accounts.of(self.scene.settings.connectors)
            views = self.scene.accounts.state_views()
            routed = self.scene.router_counts().read
        except (KafkaUnreachable, KafkaRefusal) as error:
            return str(error)
        if routed < self.load.written["currents"]:
            return f"{routed} of {self.load.written['currents']} are routed"
        for name, one in accounts.items():
            invalid = [scope for scope, state in views[name].scopes.items() if state.state == "INVALID"]
            if views[name].state.state == "SUSPENDED":
                self._ask(name, "resume")
                return f"{name} is SUSPENDED"
            if one.waiting or invalid or one.parked.get("credentials", 0):
                return f"{name}: {one}, INVALID: {invalid}"
        return ""

    # What happens.

    def _kill(self, random: Random) -> None:
        process = self._spare(random)
        if process.is_running():
            process.kill()
            self._undo.append((time.monotonic() + AWAY_SECONDS, process.start))

    def _freeze(self, random: Random) -> None:
        process = self._spare(random)
        if process.is_running():
            process.freeze()
            self._undo.append((time.monotonic() + AWAY_SECONDS, process.thaw))

    def _fail(self, random: Random) -> None:
        client = self._emulators[random.choice(sorted(self._emulators))]
        fault: dict[str, Any] = random.choice(
            [{"status": 503}, {"reset": True}, {"delay": 2.0}, {"status": 429, "headers": {"Retry-After": "2"}}]
        )
        client.fail(**fault, count=random.randint(1, 6))

    def _revoke(self, random: Random) -> None:
        client = self._emulators[random.choice([MIXPANEL, MPARTICLE])]
        client.revoke()
        self._undo.append((time.monotonic() + REVOKED_SECONDS, client.restore))

    def _suspend(self, random: Random) -> None:
        name = random.choice([MIXPANEL, MPARTICLE, BRAZE])
        self._ask(name, "suspend")
        self._undo.append((time.monotonic() + AWAY_SECONDS, lambda: self._ask(name, "resume")))

    def _restart_broker(self, random: Random) -> None:
        self._broker.restart()

    def _spare(self, random: Random) -> WorkerProcess:
        """One that nothing happens to now."""
        self.settle_faults(is_last=True)
        return self._processes[random.choice(SPARES)]

    def _ask(self, connector: str, what: Any) -> None:
        try:
            self._keepers.ask(connector, what, {}, who="soak", reason="soak", wait_seconds=ASK_SECONDS)
        except (KafkaUnreachable, KafkaRefusal):
            self.happened["orders without an answer"] += 1


def roles_of(rows: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
    """From the latest rows of a topic: each role, and the instance that has it."""
    named = [(key.decode(), json.loads(value)) for key, value in rows.items() if key.decode().split("/")[0] in ROLES]
    return [(name, str(value["instance"])) for name, value in named]


@contextmanager
def world(broker: Broker, folder: Path) -> Iterator[World]:
    """It leaves no process behind."""
    (folder / BUCKET).mkdir()
    with ExitStack() as stack:
        mixpanel = stack.enter_context(MixpanelEmulator(MixpanelOptions(keep="discard"), is_process=True))
        mparticle = stack.enter_context(MParticleEmulator(MParticleOptions(keep="discard"), is_process=True))
        braze = stack.enter_context(BrazeEmulator(BrazeOptions(keep="discard"), is_process=True))
        unbound = mparticle.feeds["unbound"]
        connectors: dict[str, Any] = {
            MIXPANEL: {
                "destination": "mixpanel",
                "base_url": mixpanel.base_url,
                "project_token": mixpanel.project_token,
                "events": ["all"],
                "grace": GRACE,
            },
            MPARTICLE: {
                "destination": "mparticle",
                "base_url": mparticle.base_url,
                "feeds": {"unbound": {"key": unbound.key, "secret": unbound.secret}},
                "events": list(EVENT_TYPES),
                "grace": GRACE,
            },
            BRAZE: {
                "destination": "braze",
                "base_url": braze.base_url,
                "rest_key": braze.rest_key,
                "scratch": str(folder / "scratch"),
                "receive": {name: one for name, one in entries().items() if name in ("cohorts", "data")},
            },
        }
        connectors[BRAZE]["receive"]["cohorts"]["create_users"] = True
        sections = {
            "receiver": {"port": 0},
            "inlets": {
                BUCKET: {
                    "kind": "storage",
                    "url": f"file://{folder / BUCKET}",
                    "poll": "5s",
                    "scratch": str(folder / "scratch"),
                },
                http.INLET: http.HTTP_INLET,
            },
        }
        scene = SoakScene(broker.bootstrap_servers, folder, connectors, {}, "classic", sections=sections)
        stack.callback(scene.end)
        emulators: dict[str, EmulatorClient] = {MIXPANEL: mixpanel, MPARTICLE: mparticle, BRAZE: braze}
        yield World(scene, broker, emulators, folder)
