"""The processes of the simulated world: routers and sinks with their keepers, wired as `streams.cli.assembly` does it,
on the shipped fakes. Nobody has a thread: the world tells each when to take a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from random import Random
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from streams.config.names import SOURCE
from streams.delivery.account import SinkCounts
from streams.delivery.contract import Destination
from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate
from streams.delivery.pace import SharedBucket
from streams.destinations import REGISTRY
from streams.events.schemas import shipped
from streams.ports.clock import Clock
from streams.ports.errors import Fenced, KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.memory import Memories
from streams.ports.meters import UNMEASURED
from streams.state.credentials import Rules
from streams.state.state_view import StateView
from streams.testing.ports import FakeConsumer, FakeJournal, FakeLetters, FakeTransactions
from streams.workers.keeper.alerts import Alerts
from streams.workers.keeper.commit_copies import CommitCopies, GroupCommits
from streams.workers.keeper.deletion import LetterDeletion
from streams.workers.keeper.expiry import Expiry
from streams.workers.keeper.group_orders import GroupOrders
from streams.workers.keeper.jobs.cursor import RejectedCursor
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.ways import BackToConnector, RoutedAgain
from streams.workers.keeper.keeper import Keeper, KeeperDuty
from streams.workers.keeper.lease import Lease, LeaseTopics
from streams.workers.keeper.probes import Probes
from streams.workers.keeper.redrive import Redrive
from streams.workers.keeper.report import StateReport
from streams.workers.keeper.requests import Requests
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.reading.start_positions import Copied, copied
from streams.workers.reading.wait_report import WaitReport
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.routes import ConnectorRoute, Routes, Routing
from streams.workers.router.worker import Router
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates
from streams.workers.sink.letters import SinkTopics
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.state_follower import StateFollower
from tests.simulation import names
from tests.simulation.mortal import Life
from tests.simulation.vendor import Line

if TYPE_CHECKING:
    from tests.simulation.world import World

Result = TypeVar("Result")


class ProcessClock:
    """The clock of the machine that a process runs on: it differs from the world's, and jumps."""

    def __init__(self, clock: Clock, error_seconds: Callable[[], float]) -> None:
        self._clock = clock
        self._error_seconds = error_seconds

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def epoch_ms(self) -> int:
        return self._clock.epoch_ms() + round(self._error_seconds() * 1000)


class Process(ABC):
    """One process: a worker, and the keeper that it runs beside it. It may die at any call of any port."""

    group: str
    consumer: FakeConsumer
    keeper: Keeper

    def __init__(self, world: World, instance: str) -> None:
        self.world = world
        self.instance = instance
        self.life = Life()
        self.clock = ProcessClock(world.clock, lambda: world.clock_errors.get(instance, 0.0))
        self.born = f"{instance} born at {world.steps}"

    @abstractmethod
    def work(self) -> None:
        """One step of the worker."""

    @abstractmethod
    def stop(self) -> None:
        """Settle, commit, leave the group."""

    def keep(self) -> None:
        """One step of the keeper."""
        self.keeper.step()

    @property
    def transactional_id(self) -> str:
        return f"{self.group}-{self.instance}"

    def leave(self) -> None:
        """An error ended the process: its keeper lets go, and it leaves its group as far as it still can."""
        self.keeper.own(False)
        try:
            self.keeper.step()
            self.life.owns(self.consumer).close()
        except (Fenced, KafkaUnreachable):
            self.world.kafka.group(self.group).expel(self.consumer.member)
        self.life.end()

    def resolver(self) -> SchemaResolver:
        return SchemaResolver(
            shipped(),
            [],
            None,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=self.clock,
        )

    def opener(self, name: str, topics: LeaseTopics) -> Callable[[], Lease]:
        """Takes the lease: a producer that fences the predecessor's first, then the state."""
        owns, kafka, makers = self.life.owns, self.world.kafka, self.world.makers

        def take_lease() -> Lease:
            return makers.lease(
                name,
                topics,
                self.instance,
                transactions=owns(makers.keepers_transactions(kafka, f"streams.keeper.{name}")),
                journal=owns(FakeJournal(kafka, names.STATE)),
                clock=self.clock,
            )

        return take_lease

    def copies(self, name: str) -> Mapping[Partition, Copied]:
        return copied(self.state_view(name))

    def state_view(self, name: str) -> StateView:
        view = StateView(name)
        for record in FakeJournal(self.world.kafka, names.STATE).poll():
            view.apply(record.key, record.value)
        return view

    def committed(self, group: str, *, counts_lost: bool) -> GroupCommits:
        """What a group committed."""
        kafka = self.world.kafka
        committed = kafka.group(group).committed
        ids = {topic: kafka.topic_id(topic) for topic, _ in committed}
        commits = {place: (position.offset, position.metadata) for place, position in committed.items()}
        lost = sum(SinkCounts.from_metadata(metadata).lost for _, metadata in commits.values()) if counts_lost else 0
        return GroupCommits(commits, lost, ids, kafka.topic_id(names.STATE))


class RouterProcess(Process):
    """A router, and the keeper of its dead letters."""

    group = names.ROUTERS

    def __init__(self, world: World, instance: str) -> None:
        super().__init__(world, instance)
        owns, kafka, clock = self.life.owns, world.kafka, self.clock
        self.consumer = FakeConsumer(kafka, self.group)
        self.transactions = FakeTransactions(kafka, self.transactional_id)
        consumer, transactions = owns(self.consumer), owns(self.transactions)
        routing = Routing([ConnectorRoute(names.CONNECTOR, names.TOPIC, frozenset({names.OPEN}))], names.MAPPED)
        resolver = self.resolver()
        self.keeper = self._keeper(Routes(routing, resolver), resolver)
        self.router = Router(
            routing,
            resolver,
            RouterTopics([r"^currents\..+"], "streams.", names.SOURCE_LETTERS, names.AUDIT, names.STATE),
            RouterPorts(
                consumer=consumer,
                transactions=transactions,
                clock=clock,
                keep=self.keeper.own,
                copies=lambda: self.copies(SOURCE),
                source_view=lambda: self.state_view(SOURCE),
                connectors=[names.CONNECTOR],
                report=WaitReport(
                    SOURCE, instance, state_topic=names.STATE, transactions=transactions, clock=self.clock
                ),
            ),
        )

    def _keeper(self, routes: Routes, resolver: SchemaResolver) -> Keeper:
        owns, kafka = self.life.owns, self.world.kafka
        topics, events = owns(self.world.letter_topics), EventReader(resolver)

        def open_letters() -> FakeLetters:
            return owns(FakeLetters(kafka))

        jobs = Jobs(open_letters, topics, events, RoutedAgain(routes, ""))
        duties: list[KeeperDuty] = [
            self.world.makers.known_topics((), topics, self.world.missing_of_source, at_once),
            Requests(None, jobs, GroupOrders((), topics.partitions), None),
            Expiry(topics, owns(FakeLetters(kafka)), events),
            jobs,
            RejectedCursor(open_letters, topics),
            LetterDeletion(topics),
            CommitCopies(lambda: self.committed(self.group, counts_lost=False), lambda: None, at_once),
        ]
        letters = LeaseTopics(names.STATE, names.AUDIT, "", names.SOURCE_LETTERS, "")
        return Keeper(SOURCE, self.opener(SOURCE, letters), duties, self.clock)

    def work(self) -> None:
        self.router.step()

    def stop(self) -> None:
        """As `Router.run` does it, and the keeper beside it."""
        self.life.owns(self.transactions).close()
        self.life.owns(self.consumer).close()
        self.keeper.step()


class SinkProcess(Process):
    """A sink, and the keeper of its connector."""

    group = names.SINKS
    grace_seconds = names.GRACE_SECONDS

    def __init__(self, world: World, instance: str) -> None:
        super().__init__(world, instance)
        owns, kafka, clock = self.life.owns, world.kafka, self.clock
        self.consumer = FakeConsumer(kafka, self.group)
        consumer, transactions = owns(self.consumer), owns(FakeTransactions(kafka, self.transactional_id))
        self.journal = FakeJournal(kafka, names.STATE)
        resolver, destination = self.resolver(), self.build()
        encoders = EncoderCache(destination, resolver)
        self.keeper = self._keeper(resolver)
        follower = StateFollower(
            names.CONNECTOR, instance, owns(self.journal), clock, lambda: kafka.topic_id(names.STATE)
        )
        topics = SinkTopics(names.TOPIC, names.REJECTED, names.CREDENTIALS, names.STATE, names.AUDIT)
        self.committer = world.makers.committer(
            names.CONNECTOR, topics, consumer=consumer, transactions=transactions, encoders=encoders, clock=clock
        )
        spread = Random(instance)
        by_scope = {scope: Gate(destination.limits.retry_base_seconds, spread) for scope in destination.scopes}
        self.gates = Gates(names.CONNECTOR, by_scope, follower, self.committer, FloodRules(), clock)
        self.sink = world.makers.sink(
            names.CONNECTOR,
            names.TOPIC,
            self.build,
            SinkLimits(),
            SinkPorts(
                consumer=consumer,
                transport=owns(
                    Line(lambda request: world.sent(self, request), lambda: world.vendor.latency_seconds, world.clock)
                ),
                clock=clock,
                keep=self.keeper.own,
                partition_count=lambda: names.PARTITIONS,
                copies=lambda: self.copies(names.CONNECTOR),
                report=WaitReport(
                    names.CONNECTOR, instance, state_topic=names.STATE, transactions=transactions, clock=clock
                ),
                memories=self.memories(),
                forgotten=owns(FakeJournal(kafka, names.FORGOTTEN)),
            ),
            committer=self.committer,
            gates=self.gates,
            encoders=encoders,
        )
        self.gates.start()
        consumer.subscribe([names.TOPIC], self.sink)

    def build(self) -> Destination:
        wire = self.world.vendor.wire
        kind = REGISTRY[wire.name]
        return kind.build(kind.settings.model_validate(wire.settings))

    def memories(self) -> Memories | None:
        """For a destination that composes."""
        return None

    def _keeper(self, resolver: SchemaResolver) -> Keeper:
        world, owns, kafka = self.world, self.life.owns, self.world.kafka
        rules, topics, events = Rules(self.grace_seconds), owns(world.letter_topics), EventReader(resolver)

        def open_letters() -> FakeLetters:
            return owns(FakeLetters(kafka))

        probes = Probes(self.build, owns(Line(world.vendor.probed, lambda: 0.0, world.clock)), rules)
        reading = open_letters()
        purge = world.makers.purge(probes, topics, reading, events, rules)
        share = SharedBucket(None, self.clock.monotonic())
        jobs = Jobs(open_letters, topics, events, BackToConnector(names.TOPIC), share.of("replay"))
        alerts = Alerts(
            world.notifier, rules, purge, probes.scopes, count_parked=lambda: None, run=at_once, contact="on call"
        )
        duties: list[KeeperDuty] = [
            world.makers.known_topics(probes.scopes, topics, world.missing, at_once),
            StateReport(UNMEASURED, probes.scopes, purge.next_at),
            Requests(probes, jobs, GroupOrders((), topics.partitions), None),
            probes,
            alerts,
            Redrive(probes.scopes, topics, open_letters(), 1_000.0, share.of("redrive")),
            purge,
            Expiry(topics, reading, events),
            jobs,
            RejectedCursor(open_letters, topics),
            LetterDeletion(topics),
            CommitCopies(lambda: self.committed(self.group, counts_lost=True), world.excess, at_once),
        ]
        letters = LeaseTopics(names.STATE, names.AUDIT, names.TOPIC, names.REJECTED, names.CREDENTIALS)
        return Keeper(names.CONNECTOR, self.opener(names.CONNECTOR, letters), duties, self.clock)

    def work(self) -> None:
        self.sink.step()

    def stop(self) -> None:
        """As `Sink.run` does it, and the keeper beside it."""
        stopped = Event()
        stopped.set()
        self.sink.run(stopped)
        self.keeper.own(False)
        self.keeper.step()


def at_once(call: Callable[[], Result]) -> Future[Result]:
    """Carry a background call out before going on."""
    future: Future[Result] = Future()
    future.set_result(call())
    return future
