"""The simulated world: topics, processes, a destination and a clock. It plays acts, one after another, and asks the
checker after each step of each process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, assert_never

from streams.config.names import SOURCE
from streams.delivery.contract import NoResponse, Request, Response
from streams.delivery.letter import Origin
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.operations.keeper_accounts import awaits_commits
from streams.ports.errors import CommitRefused, Fenced
from streams.ports.kafka import Partition
from streams.testing.clock import MovableClock
from streams.testing.ports import (
    FakeKafka,
    FakeLetterTopics,
    FakeMessage,
    FakeNotifier,
    FakeTransactions,
    Killed,
)
from streams.workers.keeper.known_topics import KnownTopics, MissingRecords
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.purge import Purge
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.worker import Sink
from tests.simulation import acts, names
from tests.simulation.acts import Act, EventKind
from tests.simulation.invariants import Checker
from tests.simulation.processes import Process, RouterProcess, SinkProcess
from tests.simulation.vendor import Broken, Vendor, require
from tests.simulation.wires import WIRES, DestinationName

STEP_SECONDS = 0.05
SESSION_SECONDS = 45.0
"""After so long a group goes on without a process that died."""
QUIET_ROUNDS_MAX = 3_000
QUIET_SECONDS = 1.0
FOREIGN = ("foreign", b"\xff\x00")
CONTENT_SEED = 5


@dataclass(frozen=True, slots=True)
class Makers:
    """What a test makes in another way, to see that it is found."""

    committer: Callable[..., SinkCommitter] = SinkCommitter
    purge: Callable[..., Purge] = Purge
    lease: Callable[..., Lease] = Lease
    known_topics: Callable[..., KnownTopics] = KnownTopics
    keepers_transactions: Callable[[FakeKafka, str], FakeTransactions] = FakeTransactions
    sink: Callable[..., Sink] = Sink


@dataclass(frozen=True, slots=True)
class Source:
    """A record of the Currents topic."""

    record: FakeMessage
    event_id: str
    kind: EventKind
    scope: str
    """Whose credentials deliver it; empty where none do, and it is skipped."""


Place = tuple[str, int, int]
"""A record of a Currents topic: one that was made again has another name here, for its offsets begin again."""


class World:
    """Plays a plan. Raises `Broken` where an invariant does not hold, and what a process raises that it must not."""

    def __init__(self, makers: Makers | None = None, destination: DestinationName = "mixpanel") -> None:
        self.makers = makers or Makers()
        self.clock = MovableClock()
        self.kafka = FakeKafka(clock=self.clock, writes_markers=True, spreads_keys=True, tells_ids=True)
        self.letter_topics = FakeLetterTopics(self.kafka, names.PARTITIONS)
        self.vendor = Vendor(self.clock, WIRES[destination])
        self.topic_of_letters = names.letter_topics(self.vendor.wire.scopes)
        for topic in (names.SOURCE, names.TOPIC, *self.topic_of_letters.values(), names.SOURCE_LETTERS):
            for number in range(names.PARTITIONS):
                self.kafka.records[topic, number] = []
        for topic in (names.STATE, names.AUDIT, names.FORGOTTEN):
            self.kafka.records[topic, 0] = []
        self._partitions = {
            topic: sorted(place for place in self.kafka.records if place[0] == topic) for topic, _ in self.kafka.records
        }
        self.notifier = FakeNotifier()
        self.sources: dict[Place, Source] = {}
        self.clock_errors: dict[str, float] = {}
        """By how many seconds the clock of a process is before the world's."""
        self.clocks_set_at: dict[str, int] = {}
        """When the clock of a process jumped last (ms, by the world's clock)."""
        self.faults = 0
        self.steps = 0
        self._orders = 0
        self._last_job = ""
        self._zombies: list[Process] = []
        self._away: list[tuple[float, str, int]] = []
        """When which group goes on without which member."""
        self._processes: dict[str, Process] = {}
        self._examples = dict[str, dict[str, Any]]()
        self.checker = Checker(self)
        for name in names.PROCESSES:
            self._start(name)

    # Acts.

    def play(self, plan: Iterable[Act]) -> None:
        """Play all acts, then fix everything, wait until it is quiet, and check what must hold then."""
        for act in plan:
            self.do(act)
        self.settle()

    def do(self, act: Act) -> None:
        self.faults += isinstance(act, acts.FAULTS)
        match act:
            case acts.Connect():
                pass  # the world was made for it
            case acts.Write():
                self._write(act)
            case acts.Work():
                for _ in range(act.steps):
                    self._step(self._processes.get(act.process), keeper=act.keeper)
                    self.clock.advance(STEP_SECONDS)
            case acts.Run():
                self._run(act.seconds, act.step_seconds)
            case acts.Pass():
                self.clock.advance(act.seconds)
            case acts.Kill():
                if act.process in self._processes:
                    self._processes[act.process].life.end_at(act.calls, is_after=act.is_after)
            case acts.Start():
                if act.process not in self._processes:
                    self._start(act.process)
            case acts.Leave():
                self._leave(act.process)
            case acts.Replace():
                self._replace(act.process)
            case acts.Wake():
                self._wake(act.steps)
            case acts.Expel():
                self._expel(act.process)
            case acts.RefuseCommits():
                self.kafka.group(act.group).refuse_commits = act.count
            case acts.Key():
                self.vendor.set(act.scope, is_dead=act.is_dead)
            case acts.Probes():
                self.vendor.set(act.scope, probe_status=act.status)
            case acts.Faults():
                self.vendor.faults.extend(act.kinds)
            case acts.Latency():
                self.vendor.latency_seconds = act.seconds
            case acts.Retain():
                place = (act.topic, act.partition)
                self.kafka.delete_before(place, len(self.kafka.records[place]) - act.keep)
            case acts.Limit():
                self._limit(act.topic, is_on=act.is_on)
            case acts.MakeAgain():
                self._make_again(act.topic)
            case acts.SetClock():
                self.clock_errors[act.process] = act.seconds
                self.clocks_set_at[act.process] = self.clock.epoch_ms()
                self.checker.clocks_differ()
            case acts.Ask():
                self._ask(act)
            case _:
                assert_never(act)
        self.checker.check()

    def settle(self) -> None:
        """Fix everything but the keys: all that others do not prevent is delivered. Then fix these, too."""
        self._fix()
        self._run(60.0, QUIET_SECONDS)
        self._ask(acts.Ask("resume"))
        self._run_until(self.checker.is_settled)
        self.checker.check_settled()
        for scope in self.vendor.wire.scopes:
            self.vendor.set(scope, is_dead=False)
        self._run_until(self.checker.is_quiet)
        self._run(40.0, QUIET_SECONDS)
        self.checker.check_quiet()

    def _run_until(self, holds: Callable[[], bool]) -> None:
        for _ in range(QUIET_ROUNDS_MAX):
            self._run(QUIET_SECONDS, QUIET_SECONDS)
            if holds():
                break

    def _fix(self) -> None:
        """All but the keys."""
        self.vendor.faults.clear()
        self.clock_errors.clear()
        for scope in self.vendor.wire.scopes:
            self.vendor.set(scope)
        self.vendor.latency_seconds = 0.0
        self.kafka.topic_bytes_max.clear()
        for group in self.kafka.groups.values():
            group.refuse_commits = 0
        for zombie in list(self._zombies):
            self._wake(10)
            if zombie in self._zombies:
                self._died(zombie)
        for process in self._processes.values():
            process.life.end_at(0, is_after=False)
        for name in names.PROCESSES:
            if name not in self._processes:
                self._start(name)

    def digest(self) -> str:
        """Of all that was written and committed: the same plan gives the same."""
        digest = hashlib.sha256()
        for place, log in sorted(self.kafka.records.items()):
            for one in log:
                digest.update(repr((place, one.offset(), one.key(), one.value(), one.headers())).encode())
        for name, group in sorted(self.kafka.groups.items()):
            digest.update(repr((name, sorted(group.committed.items()))).encode())
        return digest.hexdigest()

    def is_looked_after(self, group: str, topic: str) -> bool:
        """Whether each partition of a topic has an owner that lives, and is no zombie."""
        alive = {one.consumer.member for one in self._processes.values() if one.group == group}
        owners = self.kafka.group(group).owners
        return all(owners.get(place) in alive for place in self.partitions_of(topic))

    # What processes see of it.

    def sent(self, process: SinkProcess, request: Request) -> Response | NoResponse:
        """A sink's request."""
        self.checker.require_allowed(process.journal.position(), self.vendor.wire.scope(request))
        return self.vendor.sent(process.born, request)

    def partitions_of(self, topic: str) -> list[Partition]:
        """In order. Topics have as many partitions as they begin with."""
        return self._partitions[topic]

    def generation(self, topic: str, number: int | None = None) -> str:
        """What a topic is called here: the same name and another number, once it was made again."""
        number = self.kafka.made_again.get(topic, 0) if number is None else number
        return f"{topic}, made again {number} times" if number else topic

    def source_of(self, origin: Origin, value: bytes | None) -> Place | None:
        """The Currents record that has this origin and value. Topics that were made again have the same offsets."""
        for number in range(self.kafka.made_again.get(origin.topic, 0), -1, -1):
            place = (self.generation(origin.topic, number), origin.partition, origin.offset)
            if place in self.sources and self.sources[place].record.value() == value:
                return place
        return None

    def excess(self) -> int | None:
        """How many more records wait than the account says, as `streams.operations.keeper_accounts` counts them."""
        if self.checker.has_deleted() or self.checker.is_beyond() or self._lacks_counts():
            return None
        return self.checker.waiting() - self.checker.account().waiting

    def missing(self) -> MissingRecords | None:
        """What the account has and no topic holds, as `streams.operations.keeper_accounts` counts it."""
        if self.checker.is_beyond() or self._lacks_counts():
            return None
        found, held = self.checker.account(), self.checker.held()
        causes = {*found.parked, *held}
        parked = {cause: found.parked.get(cause, 0) - held.get(cause, 0) for cause in causes}
        return MissingRecords(parked, found.waiting - self.checker.waiting())

    def missing_of_source(self) -> MissingRecords | None:
        """The same of the source's letters."""
        if self._awaits_commits(names.ROUTERS):
            return None
        return MissingRecords({SOURCE: self.checker.source_letters() - self.checker.held_of_source()})

    def _lacks_counts(self) -> bool:
        return self._awaits_commits(names.ROUTERS) or self._awaits_commits(names.SINKS)

    def _awaits_commits(self, group: str) -> bool:
        committed = self.kafka.group(group).committed
        commits = {place: (one.offset, one.metadata) for place, one in committed.items()}
        view = self.checker.source_view if group == names.ROUTERS else self.checker.view
        topics = {topic for topic, _ in self.kafka.records}
        ids = {topic: self.kafka.topic_id(topic) for topic in topics}
        return awaits_commits(view.copies, commits, ids, self.kafka.records.keys())

    # Processes.

    def _start(self, name: str) -> None:
        kind = RouterProcess if name.startswith("router") else SinkProcess
        self._processes[name] = kind(self, name)

    def _step(self, process: Process | None, *, keeper: bool) -> None:
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
        except (Broken, AssertionError):
            raise
        except Exception as error:
            raise Broken(f"{process.instance} ended with {type(error).__name__}: {error}") from error
        self.checker.check()

    def _run(self, seconds: float, step_seconds: float) -> None:
        for _ in range(max(1, round(seconds / step_seconds))):
            for name in names.PROCESSES:
                self._step(self._processes.get(name), keeper=False)
                self._step(self._processes.get(name), keeper=True)
            self.clock.advance(step_seconds)
            self._forget_dead()

    def _forget_dead(self) -> None:
        now = self.clock.monotonic()
        gone = [(group, member) for at, group, member in self._away if at <= now]
        if gone:
            self._away = [one for one in self._away if one[0] > now]
            for group, member in gone:
                self.kafka.group(group).expel(member)
            self.vendor.disturbances += 1

    def _died(self, process: Process) -> None:
        self.checker.made_again.hurt(process.group)
        self.vendor.disturbances += 1
        process.life.end()
        self._away.append((self.clock.monotonic() + SESSION_SECONDS, process.group, process.consumer.member))
        self._forget(process)

    def _is_fenced(self, process: Process) -> None:
        """As a real process: it says so, leaves its group, and ends."""
        self.checker.made_again.hurt(process.group)
        self.vendor.disturbances += 1
        try:
            process.leave()
        except Killed:
            self._died(process)
        self._forget(process)

    def _forget(self, process: Process) -> None:
        self._processes = {name: one for name, one in self._processes.items() if one is not process}
        self._zombies = [one for one in self._zombies if one is not process]

    def _leave(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None:
            return
        self.vendor.disturbances += 1
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
        self.checker.made_again.hurt(process.group)
        self.vendor.disturbances += 1
        self._zombies.append(process)
        self._away.append((self.clock.monotonic() + SESSION_SECONDS, process.group, process.consumer.member))
        self._start(name)

    def _wake(self, steps: int) -> None:
        if not self._zombies:
            return
        zombie = self._zombies[0]
        for _ in range(steps):
            for keeper in (True, False):  # its keeper need not wait for its worker to learn of the group
                if zombie in self._zombies:
                    self._step(zombie, keeper=keeper)
            self.clock.advance(STEP_SECONDS)

    def _expel(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None:
            self.checker.made_again.hurt(process.group)
            self.vendor.disturbances += 1
            self.kafka.group(process.group).expel(process.consumer.member)

    # Topics.

    def _make_again(self, topic: str) -> None:
        """Only once a keeper has seen the topic: nobody counts what was deleted with a topic that none ever saw."""
        if self.checker.made_again.is_known(topic):
            self.vendor.disturbances += 1
            self.checker.note_made_again(topic)
            self.kafka.make_again(topic)

    def _limit(self, topic: str, *, is_on: bool) -> None:
        if is_on:
            self.kafka.topic_bytes_max[topic] = names.LIMIT_BYTES
        else:
            self.kafka.topic_bytes_max.pop(topic, None)

    # Records.

    def _write(self, act: acts.Write) -> None:
        for number, (kind, user) in enumerate(act.events, act.first):
            event_id, key = f"{kind}-{number}", f"user-{user}".encode()
            platform = "web" if kind == "web" else ("ios", "android")[user % 2]
            value = self._value(kind, event_id, "" if kind == "no-user" else key.decode(), platform)
            record = self.kafka.write(names.SOURCE, value, key, [FOREIGN], act.partition)
            place = (self.generation(names.SOURCE), act.partition, record.offset())
            self.sources[place] = Source(record, event_id, kind, self.vendor.wire.scope_of(user, kind))
            self.checker.is_stale = True

    def _value(self, kind: EventKind, event_id: str, user: str, platform: str) -> bytes:
        if kind == "undecodable":
            return b"\xc3\x01" + event_id.encode()
        types = {"not-selected": names.NOT_SELECTED, "no-mapping": names.NO_MAPPING}
        schema = shipped().by_event_type(types.get(kind, names.OPEN))
        require(schema is not None, "a schema of the catalogue is missing")
        assert schema is not None
        if schema.event_type not in self._examples:
            self._examples[schema.event_type] = sample_record(schema.event_type, Random(CONTENT_SEED), 1_795_000_000)
        record = {**self._examples[schema.event_type], "id": event_id, "external_user_id": user, "platform": platform}
        if kind == "large":
            record["campaign_name"] = "x" * names.LARGE_BYTES
        return encode_single_object(schema, record)

    def _ask(self, act: acts.Ask) -> None:
        """A person's request on the state topic, as the command line writes it."""
        self._orders += 1
        now = self.clock.epoch_ms()
        arguments: dict[str, Any] = {}
        if act.what == "extend":
            arguments = {"scope": act.scope, "by_ms": act.by_ms}
        if act.is_job:
            selection: dict[str, Any] = {"letters": act.letters} | ({"limit": act.limit} if act.limit else {})
            topic = self.topic_of_letters.get(act.letters, names.REJECTED)
            ends = {
                f"{act.letters}/{number}": len(self.kafka.records[topic, number]) for number in range(names.PARTITIONS)
            }
            arguments = {"selection": selection, "ends": ends}
            self.vendor.replays += act.what == "replay"
            self._last_job = str(self._orders)
        if act.what == "cancel":
            arguments = {"job": self._last_job}
        request: dict[str, Any] = {"v": 1, "at": now, "what": act.what, "who": "ann@desk", "reason": "it is no use"}
        request |= {"expires": now + 60_000, "arguments": arguments}
        key = f"request/{names.CONNECTOR}/{self._orders}".encode()
        self.kafka.write(names.STATE, json.dumps(request).encode(), key)
