"""Carries a plan out on real processes, a broker and emulated destinations, and remembers what it wrote and when."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, assert_never
from uuid import UUID

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streams.adapters.state.requests import KeeperRequests
from streams.delivery.account import MetadataError
from streams.events.encodings import encode_confluent, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.state.records import CREDENTIALS as CREDENTIALS_LETTERS
from streams.state.records import REJECTED, Answer
from streams.testing.brokers import Broker
from streams.testing.emulators import EmulatorClient
from tests.chaos import plan
from tests.chaos.scene import Scene, WorkerProcess
from tests.registry import Registry, Says, error

OPEN, PUSH, ENTRY = "users.messages.email.Open", "users.messages.pushnotification.Open", "users.canvas.Entry"
TYPES = {plan.MIXPANEL: (OPEN, PUSH, ENTRY), plan.MPARTICLE: (OPEN, PUSH)}
"""`ENTRY` is for Mixpanel alone, which refuses events from the future by name."""
SENT_AT = 1_790_000_000
AHEAD_SECONDS = 10 * 365 * 86_400
USERS = 40
REFUSED_SHARE, UNDECODABLE_SHARE = 0.05, 0.005
OVERSIZED_SHARE, REGISTERED_SHARE = 0.001, 0.1
"""Of the records: larger than a connector's topic takes; in Confluent's wire format."""
OVERSIZED_BYTES = 1_200_000
CONNECTOR_BYTES_MAX = 1_100_000
"""`max.message.bytes` of the connectors' topics: above the producer's batches, below an oversized record."""
NEVER_COMPACTED_MS = 365 * 86_400_000
REDRIVE_SECONDS_MAX = 8.0
"""A redrive that was to be interrupted and does not begin is not waited for longer."""
QUIET_SECONDS_MAX = 150.0
ASK_SECONDS = 15.0
KEYS = {"default": "project_token"}
"""The emulator's name of a scope's key, where it is another than the scope's."""


@dataclass(frozen=True, slots=True)
class Written:
    """An event as it was put on its Currents topic. `event_id` is empty if nothing can route it."""

    event_id: str
    event_type: str
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    is_refused: bool


class Stagehand:
    """Acts, mends, and waits until it is quiet."""

    def __init__(
        self, scene: Scene, broker: Broker, destinations: dict[str, EmulatorClient], registry: Registry
    ) -> None:
        self.written: dict[str, Written] = {}
        """By topic/partition/offset."""
        self.revoked: dict[str, dict[str, list[list[int]]]] = {
            name: {scope: [] for scope in scopes} for name, scopes in plan.SCOPES.items()
        }
        """Per connector and scope when its key was revoked, and until when (ms; 0: it still is)."""
        self.counts: Counter[str] = Counter()
        self.diary: list[str] = []
        self.endings: list[str] = []
        """What processes said that ended by themselves."""
        self.scene = scene
        self._broker = broker
        self._keepers = KeeperRequests(scene.settings)
        self._destinations = destinations
        self._registry = registry
        self._schema_ids = {one: registry.register(one, schema_of(one).definition) for one in (OPEN, PUSH, ENTRY)}
        self._producer = Producer(
            {
                "bootstrap.servers": scene.bootstrap_servers,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.max.bytes": 2 * OVERSIZED_BYTES,
                "log_level": 0,
            }
        )
        self._processes: dict[str, WorkerProcess] = {}
        for name in plan.PROCESSES:
            role = name.rpartition("-")[0]
            command = ("router",) if role == "router" else ("sink", role)
            self._processes[name] = scene.process(*command, instance=name)
        self._frozen: set[str] = set()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="ask")
        self._asked: list[Future[Answer | None]] = []

    def perform(self, one: plan.Round) -> None:
        """Act by act, then mend everything and wait until nothing moves any more."""
        for step in one.steps:
            time.sleep(step.pause)  # the moments are what the seed draws
            self._note(str(step.act))
            self._act(step.act)
        self.mend()
        self.await_quiet()

    def mend(self) -> None:
        """Everybody is back, every key is good, nothing fails any more."""
        self._note("mend")
        for name in sorted(self._frozen):
            self._processes[name].thaw()
        self._frozen.clear()
        for process in self._processes.values():
            process.wake_zombies()
        self._registry.says = None
        for connector, client in self._destinations.items():
            client.clear_faults()
            self._allow_deletion(connector, True)
            for scope in plan.SCOPES[connector]:
                self._restore(connector, scope)
        assert self._producer.flush(60) == 0
        for asked in self._asked:
            asked.result()
        self._asked.clear()
        for process in self._processes.values():
            for code in process.end_zombies():
                self.counts[f"zombies that left with exit code {code}"] += 1

    def await_quiet(self) -> None:
        """Wait until every connector has delivered what can be delivered; resume what was suspended."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while problem := self._unrest():
            assert time.monotonic() < deadline, f"not quiet after {QUIET_SECONDS_MAX:.0f} s: {problem}"
            time.sleep(0.2)
        self._note("quiet")

    def expected(self, connector: str) -> dict[str, Written]:
        """What the router owes a connector, by origin."""
        types = TYPES[connector]
        return {origin: one for origin, one in self.written.items() if one.event_id and one.event_type in types}

    def grace_ms(self, connector: str) -> int:
        return round(self.scene.settings.connectors[connector].grace_seconds * 1000)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _unrest(self) -> str:
        """What is not quiet yet; empty where all is."""
        for name in self._processes:
            self._start_if_ended(name)
        try:
            return next(filter(None, (self._unrest_of(connector) for connector in plan.SCOPES)), "")
        except (KafkaUnreachable, KafkaRefusal, MetadataError) as error:
            return str(error)

    def _unrest_of(self, connector: str) -> str:
        account = self.scene.account(connector)
        standing = self.scene.accounts.standings()[connector]
        if standing.state.state == "SUSPENDED":
            self._ask(plan.Ask(connector, "resume"))
            for asked in self._asked:
                asked.result()
            self._asked.clear()
            return f"{connector} is SUSPENDED by {standing.state.by}"
        jobs = [job_id for job_id, job in standing.jobs.items() if job.status in ("queued", "running")]
        invalid = [scope for scope, state in standing.scopes.items() if state.state == "INVALID"]
        owed = len(self.expected(connector))
        if jobs or invalid or account.routed != owed or account.waiting or account.parked.get("credentials", 0):
            return f"{connector}: {account}, {owed} are to be routed, INVALID: {invalid}, jobs: {jobs}"
        return ""

    def _act(self, act: plan.Act) -> None:
        match act:
            case plan.Write():
                self._write(act)
            case plan.Kill(process):
                self._hurt(process, "killed", WorkerProcess.kill)
            case plan.Leave(process):
                self._hurt(process, "left", WorkerProcess.terminate)
            case plan.Start(process):
                if not self._processes[process].is_running():
                    self._processes[process].start()
            case plan.Freeze(process):
                self._frozen.add(process)
                self._hurt(process, "frozen", WorkerProcess.freeze)
            case plan.Thaw(process):
                self._frozen.discard(process)
                self._processes[process].thaw()
            case plan.Replace(process):
                self._hurt(process, "replaced", WorkerProcess.replace)
            case plan.Wake(process):
                self._processes[process].wake_zombies()
            case plan.RestartBroker():
                self._broker.restart()
                self.counts["broker restarted"] += 1
            case plan.Fault(connector, kind, count):
                fail(self._destinations[connector], kind, count)
                self.counts[f"fault {kind}"] += count
            case plan.Revoke(connector, scope):
                self._revoke(connector, scope)
            case plan.Restore(connector, scope):
                self._restore(connector, scope)
            case plan.Ask():
                self._ask(act)
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
            case _:
                assert_never(act)

    def _hurt(self, name: str, what: str, act: Callable[[WorkerProcess], Any]) -> None:
        """A process that ended by itself meanwhile is started first: the plan knows nothing of that."""
        self._start_if_ended(name)
        act(self._processes[name])
        self.counts[what] += 1

    def _start_if_ended(self, name: str) -> None:
        """As a supervisor does: start a process that ended. One that ended by itself says why."""
        process = self._processes[name]
        if (code := process.exit_code) is None:
            return
        self._note(f"{name} had ended with {code}, started")
        if code not in (0, -9):
            self.counts[f"processes that ended by themselves with exit code {code}"] += 1
            self.endings.append(f"{name} ended with {code}:\n{process.last_words()}")
        process.start()

    def _write(self, act: plan.Write) -> None:
        random = Random(act.seed)
        for _ in range(act.events):
            event_type = random.choice([OPEN, PUSH, ENTRY])
            schema = schema_of(event_type)
            record = sample_record(event_type, random, SENT_AT)
            event_id = str(UUID(int=random.getrandbits(128), version=4))
            record |= {"id": event_id, "external_user_id": f"user-{random.randrange(USERS)}"}
            if event_type == PUSH:
                record["platform"] = random.choice(["ios", "roku"])
            is_refused = event_type == ENTRY and random.random() < REFUSED_SHARE
            if is_refused:
                record["time"] += AHEAD_SECONDS
            if random.random() < OVERSIZED_SHARE:
                event_id, record["user_id"] = "", base64.b64encode(random.randbytes(OVERSIZED_BYTES * 3 // 4)).decode()
                self.counts["oversized records"] += 1
            if random.random() < REGISTERED_SHARE:
                value = encode_confluent(self._schema_ids[event_type], schema, record)
            else:
                value = encode_single_object(schema, record)
            if random.random() < UNDECODABLE_SHARE:
                event_id, value = "", b"junk " + event_id.encode()
            headers = (("foreign", random.randbytes(8)), ("source", b"chaos"))
            self._produce(
                Written(event_id, event_type, record["external_user_id"].encode(), value, headers, is_refused)
            )
        self._producer.poll(0)
        self.counts["events written"] += act.events

    def _produce(self, one: Written) -> None:
        def delivered(error: Any, message: Any) -> None:
            assert error is None, str(error)
            self.written[f"{message.topic()}/{message.partition()}/{message.offset()}"] = one

        topic = self.scene.source_prefix + one.event_type
        self._producer.produce(topic, one.value, one.key, headers=list(one.headers), on_delivery=delivered)
        self._producer.poll(0)

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

    def _await_redrive(self, connector: str) -> None:
        """Until some letters went back, or it is clear that none will."""
        deadline = time.monotonic() + REDRIVE_SECONDS_MAX

        def redriven() -> int:
            return sum(self.scene.accounts.standings()[connector].totals.redriven.values())

        before = redriven()
        while redriven() == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def _note(self, what: str) -> None:
        self.diary.append(f"{time.strftime('%H:%M:%S')}.{now_ms() % 1000:03d} {what}")


def schema_of(event_type: str) -> WriterSchema:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    return schema


def set_configuration(bootstrap_servers: str, topics: Sequence[str], settings: Mapping[str, str]) -> None:
    """Change settings of topics, and wait for the answer."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries) for topic in topics]
    for changed in admin.incremental_alter_configs(resources, request_timeout=30).values():
        changed.result()


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
