"""Carries a plan out on real processes, a broker and emulated destinations, and remembers what it wrote and when."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Any, assert_never
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.adapters.state.requests import KeeperRequests
from streams.cli.assembly.installation import connected
from streams.delivery.metadata import MetadataError
from streams.operations.dead_letters.exports import export
from streams.operations.dead_letters.filters import Filters
from streams.operations.dead_letters.imports import LetterFile, import_letters
from streams.operations.errors import NothingMatched, OperationError
from streams.ports.errors import KafkaRefusal, KafkaUnreachable, TransactionAborted
from streams.state.letter_file import ExportedLetter, ExportReader
from streams.state.records import CREDENTIALS as CREDENTIALS_LETTERS
from streams.state.records import REJECTED, Answer
from streams.testing.brokers import Broker
from streams.testing.emulators import EmulatorClient
from tests.chaos import plan
from tests.chaos.scene import Scene
from tests.chaos.troupe import Troupe
from tests.chaos.writer import Writer, Written
from tests.registry import Registry, Says, error

TYPES = {plan.MIXPANEL: plan.EVENT_TYPES, plan.MPARTICLE: (plan.OPEN, plan.PUSH)}
"""`ENTRY` is for Mixpanel alone, which refuses events from the future by name."""
CONNECTOR_BYTES_MAX = 1_100_000
"""`max.message.bytes` of the connectors' topics: above the producer's batches, below an oversized record."""
NEVER_COMPACTED_MS = 365 * 86_400_000
REDRIVE_SECONDS_MAX = 8.0
"""A redrive that was to be interrupted and does not begin is not waited for longer."""
CANCEL_SECONDS_MAX = 3.0
"""A job that was to be cancelled and does not begin is not waited for longer."""
IMPORT_SECONDS_MAX = 120.0
IMPORT_AGAIN_SECONDS = 0.5
OUTAGE_REQUESTS = 6
"""Requests that fail for each one of an `outage`: longer than `plan.GIVE_UP_SECONDS`, with the waits between them."""
QUIET_SECONDS_MAX = 300.0
"""On a busy machine it takes minutes until all processes run; and a cluster's last broker comes back only then."""
ASK_SECONDS = 15.0
CONFIGURE_SECONDS_MAX = 120.0
AWAY = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT, KafkaError.NOT_CONTROLLER)
"""What a client says while the broker that it asks is away, or the controller is."""
KEYS = {"default": "project_token"}
"""The emulator's name of a scope's key, where it is another than the scope's."""


class Stagehand:
    """Acts, fixes, and waits until it is quiet."""

    def __init__(
        self, scene: Scene, broker: Broker, destinations: dict[str, EmulatorClient], registry: Registry
    ) -> None:
        self.revoked: dict[str, dict[str, list[list[int]]]] = {
            name: {scope: [] for scope in scopes} for name, scopes in plan.SCOPES.items()
        }
        """Per connector and scope when its key was revoked, and until when (ms; 0: it still is)."""
        self.imported: dict[str, list[ExportedLetter]] = {name: [] for name in plan.SCOPES}
        """Per connector, every letter that an import wrote once more."""
        self.uncounted: set[str] = set()
        """Currents topics of which a router was hurt before it told its counts of the topic that was deleted: some of
        these may be in no account (docs/reliability.md)."""
        self.scene = scene
        self._broker = broker
        self._keepers = KeeperRequests(scene.settings)
        self._destinations = destinations
        self._registry = registry
        self.counts: Counter[str] = Counter()
        self._writer = Writer(scene, registry, self.counts)
        self.ledger = self._writer.ledger
        for event_type in plan.EVENT_TYPES:
            self._writer.make_topic(event_type)
        roles = {name: name.rpartition("-")[0] for name in plan.PROCESSES}
        commands = {name: ("router",) if role == "router" else ("sink", role) for name, role in roles.items()}
        self.troupe = Troupe(scene, broker, commands, self.counts)
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ask")
        self._asked: list[Future[Any]] = []
        self._importing = {name: Lock() for name in plan.SCOPES}
        """Of two imports of one connector's letters at once, the later one would end the other."""

    def perform(self, one: plan.Round[plan.Act]) -> None:
        """Act by act, then fix everything and wait until nothing moves any more."""
        for step in one.steps:
            time.sleep(step.pause)  # the moments are what the seed draws
            self.troupe.note(str(step.act))
            self._act(step.act)
        self.fix()
        self.troupe.await_whole()
        self.await_quiet()

    def fix(self) -> None:
        """Everybody is back, every key is good, nothing fails any more."""
        self.troupe.bring_all_back()
        self._registry.says = None
        for connector, client in self._destinations.items():
            client.clear_faults()
            self._allow_deletion(connector, True)
            for scope in plan.SCOPES[connector]:
                self._restore(connector, scope)
        self._writer.flush()
        for asked in self._asked:
            asked.result()
        self._asked.clear()
        self.troupe.end_zombies()

    def await_quiet(self) -> None:
        """Wait until every connector has delivered what can be delivered; resume what was suspended."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while problem := self._unrest():
            assert time.monotonic() < deadline, f"not quiet after {QUIET_SECONDS_MAX:.0f} s: {problem}"
            time.sleep(0.2)
        self.troupe.note("quiet")

    def expected(self, connector: str) -> dict[str, Written]:
        """What may be routed to a connector, by origin; what the router owes it is what is not dead of that."""
        types = TYPES[connector]
        return {origin: one for origin, one in self.ledger.written.items() if one.event_id and one.event_type in types}

    def grace_ms(self, connector: str) -> int:
        return round(self.scene.settings.connectors[connector].grace_seconds * 1000)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _unrest(self) -> str:
        """What is not quiet yet; empty where all is."""
        self.troupe.start_ended()
        try:
            return next(filter(None, (self._unrest_of(connector) for connector in plan.SCOPES)), "")
        except (KafkaUnreachable, KafkaRefusal, MetadataError) as error:
            return str(error)

    def _unrest_of(self, connector: str) -> str:
        # Before the account: what is routed later is in it.
        if self.ledger.lives and (behind := self._writer.routed_to_end()):
            return behind
        account = self.scene.account(connector)
        view = self.scene.accounts.state_views()[connector]
        if view.state.state == "SUSPENDED":
            self._ask(plan.Ask(connector, "resume"))
            for asked in self._asked:
                asked.result()
            self._asked.clear()
            return f"{connector} is SUSPENDED by {view.state.by}"
        jobs = [job_id for job_id, job in view.jobs.items() if job.status in ("queued", "running")]
        invalid = [scope for scope, state in view.scopes.items() if state.state == "INVALID"]
        owed = len(self.expected(connector).keys() - self.ledger.dead)
        # Of a topic that was made again, some was routed that is dead, and some may be routed twice.
        is_routed = account.routed >= owed if self.ledger.lives else account.routed == owed
        if jobs or invalid or not is_routed or account.waiting or account.parked.get("credentials", 0):
            return f"{connector}: {account}, {owed} are to be routed, INVALID: {invalid}, jobs: {jobs}"
        return ""

    def _act(self, act: plan.Act) -> None:
        match act:
            case plan.Write():
                self._writer.write(act)
            case plan.Kill() | plan.Leave() | plan.Freeze() | plan.Replace():
                if act.process.startswith("router"):
                    self._note_uncounted()
                self.troupe.act(act)
            case plan.Start() | plan.Thaw() | plan.Wake():
                self.troupe.act(act)
            case plan.RestartBroker():
                self._broker.restart()
                self.counts["broker restarted"] += 1
            case plan.KillBroker() | plan.LeaveBroker() | plan.FreezeBroker() | plan.StartBroker() | plan.ThawBroker():
                self.troupe.act(act)
            case plan.Fault(connector, kind, count):
                fail(self._destinations[connector], kind, count)
                self.counts[f"fault {kind}"] += count
            case plan.Revoke(connector, scope):
                self._revoke(connector, scope)
            case plan.Restore(connector, scope):
                self._restore(connector, scope)
            case plan.Ask():
                self._ask(act)
            case plan.Import():
                self._asked.append(self._pool.submit(self._import, act))
            case plan.Flood():
                self._writer.flood(act)
                self.counts["floods"] += 1
            case plan.FailRegistry(kind):
                self._registry.says = registry_fault(kind)
                self.counts[f"registry {kind}"] += 1
            case plan.HealRegistry():
                self._registry.says = None
            case plan.ForbidDeletion(connector):
                self._allow_deletion(connector, False)
                self.counts["deletions forbidden"] += 1
            case plan.AllowDeletion(connector):
                self._allow_deletion(connector, True)
            case plan.AwaitRedrive(connector):
                self._await_redrive(connector)
            case plan.MakeAgain():
                self._writer.make_again(act)
            case _:
                assert_never(act)

    def _note_uncounted(self) -> None:
        try:
            self.uncounted |= self._writer.not_restated()
        except KafkaUnreachable:
            self.uncounted |= self.ledger.lives.keys()

    def _revoke(self, connector: str, scope: str) -> None:
        self.revoked[connector][scope].append([now_ms(), 0])
        self._destinations[connector].revoke(KEYS.get(scope, scope))
        self.counts["keys revoked"] += 1

    def _restore(self, connector: str, scope: str) -> None:
        self._destinations[connector].restore(KEYS.get(scope, scope))
        spans = self.revoked[connector][scope]
        if spans and not spans[-1][1]:
            spans[-1][1] = now_ms()

    def _allow_deletion(self, connector: str, is_allowed: bool) -> None:
        """Kafka deletes no records of a topic that is only compacted. Nothing is compacted: it is too young."""
        topics = self.scene.settings.topics
        names = [topics.dead_letter_rejected(connector)]
        names += [topics.dead_letter_credentials(connector, scope) for scope in plan.SCOPES[connector]]
        policy = "delete" if is_allowed else "compact"
        set_configuration(
            self.scene.bootstrap_servers,
            names,
            {"cleanup.policy": policy, "min.compaction.lag.ms": str(NEVER_COMPACTED_MS)},
        )

    def _ask(self, act: plan.Ask) -> None:
        def order() -> Answer | None:
            try:
                arguments = self._arguments(act)
                return self._keepers.ask(
                    act.connector, act.what, arguments, who="chaos", reason="chaos", wait_seconds=ASK_SECONDS
                )
            except (KafkaUnreachable, KafkaRefusal):
                return None  # while nobody keeps, or the broker is away: the person was told so

        self.counts[f"asked to {act.what}"] += 1
        self._asked.append(self._pool.submit(order))

    def _arguments(self, act: plan.Ask) -> dict[str, Any]:
        """As the command line fills them in: a job takes all letters that there are now."""
        if act.what == "cancel":
            return {"job": self._active_job(act.connector)}
        if act.what == "extend":
            return {"scope": act.scope, "by_ms": act.by_ms}
        if not act.letters:
            return {}
        topics, administration = self.scene.settings.topics, self.scene.administration
        scope = act.letters.removeprefix(CREDENTIALS_LETTERS)
        is_rejected = act.letters == REJECTED
        topic = (
            topics.dead_letter_rejected(act.connector)
            if is_rejected
            else topics.dead_letter_credentials(act.connector, scope)
        )
        ends = administration.ends(administration.partitions(topic))
        until = {} if is_rejected else {"until": now_ms()}
        return {
            "selection": {"letters": act.letters, **until},
            "ends": {f"{act.letters}/{number}": end for (_, number), end in ends.items()},
        }

    def _active_job(self, connector: str) -> str:
        """The job that waits or runs; empty if none begins soon."""
        deadline = time.monotonic() + CANCEL_SECONDS_MAX
        while time.monotonic() < deadline:
            jobs = self.scene.accounts.state_views()[connector].jobs
            for job_id, job in jobs.items():
                if job.status in ("queued", "running"):
                    return job_id
            time.sleep(0.02)
        return ""

    def _import(self, act: plan.Import) -> None:
        """Whoever imports runs the command again until it is done: each letter of the file is written once."""
        deadline = time.monotonic() + IMPORT_SECONDS_MAX
        lines, label = list[bytes](), f"chaos-{uuid4().hex[:8]}"
        with self._importing[act.connector]:
            while True:
                try:
                    lines = lines or self._exported(act)
                    self._import_file(act.connector, lines, label)
                except (KafkaUnreachable, KafkaRefusal, TransactionAborted, OperationError):
                    if time.monotonic() >= deadline:
                        raise
                    time.sleep(IMPORT_AGAIN_SECONDS)
                else:
                    return

    def _exported(self, act: plan.Import) -> list[bytes]:
        """The lines of the file; none if there is no letter."""
        lines = list[bytes]()
        scope = act.letters.removeprefix(CREDENTIALS_LETTERS) if act.letters != REJECTED else None
        try:
            with connected(self.scene.settings, "chaos-export") as installation:
                export(installation, act.connector, Filters(scope=scope), lines.append)
        except NothingMatched:
            return []
        return lines

    def _import_file(self, connector: str, lines: list[bytes], label: str) -> None:
        if not lines:
            return
        file = LetterFile("chaos.jsonl", lambda: lines)
        with connected(self.scene.settings, "chaos-import") as installation:
            imported = import_letters(installation, connector, file, again=label)
        assert not imported.refusals, imported.refusals
        letters = list(ExportReader().read(lines))
        assert imported.letters + imported.letters_before == len(letters)
        self.imported[connector] += letters
        self.counts["letters imported"] += len(letters)

    def _await_redrive(self, connector: str) -> None:
        """Until some letters went back, or it is clear that none will."""
        deadline = time.monotonic() + REDRIVE_SECONDS_MAX

        def redriven() -> int:
            return sum(self.scene.accounts.state_views()[connector].totals.redriven.values())

        with suppress(KafkaUnreachable):  # a broker is away: it is not waited for then
            before = redriven()
            while redriven() == before and time.monotonic() < deadline:
                time.sleep(0.02)


def set_configuration(bootstrap_servers: str, topics: Sequence[str], settings: Mapping[str, str]) -> None:
    """Change settings of topics, and wait for the answer. A broker that is away is no answer: it is asked again.

    Each time by a new client: one that knows a frozen broker as the controller waits for this one only.
    """
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics]
    deadline = time.monotonic() + CONFIGURE_SECONDS_MAX
    while True:
        admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        try:
            for changed in admin.incremental_alter_configs(resources, request_timeout=10).values():
                changed.result()
        except KafkaException as error:
            if time.monotonic() >= deadline or error.args[0].code() not in AWAY:
                raise
        else:
            return


def registry_fault(kind: plan.RegistryFault) -> Callable[[str], Says]:
    """What the schema registry answers to every question."""
    match kind:
        case "503":
            says = error(503, 50002, "Operation timed out")
        case "401":
            says = error(401, 401, "Unauthorized")
        case "404 of a proxy":
            says = (404, "text/plain", b"default backend - 404")
        case "garbage":
            says = (200, "text/html", b"<html><body>Sign in</body></html>")
        case _:
            assert_never(kind)
    return lambda _path: says


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def fail(client: EmulatorClient, kind: plan.FaultKind, count: int) -> None:
    """Script the fault."""
    html = {"Content-Type": "text/html"}
    match kind:
        case "503":
            client.fail(status=503, count=count)
        case "outage":
            client.fail(status=503, count=OUTAGE_REQUESTS * count)
        case "500 after":
            client.fail(status=500, body="oops", count=count, when="after")
        case "429":
            client.fail(status=429, headers={"Retry-After": "1"}, count=count)
        case "reset":
            client.fail(reset=True, count=count)
        case "reset after":
            client.fail(reset=True, count=count, when="after")
        case "truncated":
            client.fail(truncate=5, count=count, when="after")
        case "slow":
            client.fail(delay=0.7, count=count)
        case "413":
            client.fail(status=413, count=count)
        case "html 401":
            client.fail(status=401, headers=html, body="<html><body>Log in to the proxy</body></html>", count=1)
        case "401 once":
            client.fail(status=401, headers={"Content-Type": "application/json"}, body={"error": "odd"}, count=1)
        case "404":
            client.fail(status=404, count=1)
        case _:
            assert_never(kind)
