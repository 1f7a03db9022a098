"""Builds a connector's keeper, and runs it on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import structlog

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.schemas.resolver import schema_resolver
from streams.adapters.state.views import read_state_views
from streams.cli.assembly.installation import connect
from streams.cli.assembly.observation import Observation
from streams.config import Connector, Settings
from streams.config.names import SOURCE
from streams.delivery.handover import HandedOver
from streams.delivery.pace import SharedBucket
from streams.operations.event_topics import EventTopics
from streams.operations.keeper_accounts import KeeperAccounts
from streams.ports.kafka import Partition
from streams.state.credentials import Rules
from streams.state.state_view import StateView
from streams.workers.keeper.alerts import RUNBOOKS, Alerts
from streams.workers.keeper.commit_copies import CommitCopies
from streams.workers.keeper.deletion import LetterDeletion
from streams.workers.keeper.expiry import Expiry
from streams.workers.keeper.forget_job import Forgetting
from streams.workers.keeper.group_orders import GroupOrders
from streams.workers.keeper.jobs.currents_letters import WrittenAgain
from streams.workers.keeper.jobs.cursor import RejectedCursor
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.ways import BackToConnector, RoutedAgain, Way
from streams.workers.keeper.keeper import Keeper, KeeperDuty
from streams.workers.keeper.known_topics import KnownTopics
from streams.workers.keeper.lease import Lease, LeaseTopics, TakeLease
from streams.workers.keeper.probes import Probes
from streams.workers.keeper.purge import Purge
from streams.workers.keeper.redrive import Redrive
from streams.workers.keeper.report import StateReport
from streams.workers.keeper.requests import Requests
from streams.workers.keeper.retirement import Retirement
from streams.workers.keeper.rewrite import Rewrite
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.reading.start_positions import Copied, copied
from streams.workers.router.routes import Routes, Routing

log = structlog.get_logger(__name__)

ACCOUNTS_CLIENT_ID = "streams-keeper"

Result = TypeVar("Result")

REDRIVE_RATE = 1_000.0
"""Letters per second where the connector has no rate of its own."""
STOP_SECONDS_MAX = 5.0
"""A keeper is told to stop together with its worker. What its last step waits for longer is left: a transaction is
ended by its time-out, a probe's answer is not needed any more."""


@contextmanager
def connector_keeper(
    settings: Settings, connector: Connector, instance: str, observation: Observation
) -> Iterator[Keeper]:
    """The keeper of one connector; what it opened is closed at the end."""
    from streams.adapters.http import HttpTransport

    name = connector.name
    client_id = settings.groups.keeper(name)
    options = settings.kafka.client_config(client_id)
    clock = SystemClock()
    with ExitStack() as stack:
        transport = HttpTransport(settings.http)
        stack.callback(transport.close)
        topics = DeadLetterTopics(options)
        watching, reading = (_letters(options, f"{client_id}-{role}", stack) for role in ("redrive", "letters"))
        open_letters = partial(DeadLetterReader, options, f"{client_id}-job")
        events = EventReader(schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait))
        accounts = KeeperAccounts(lambda: connect(settings, ACCOUNTS_CLIENT_ID), name)
        stack.callback(accounts.close)
        rules = Rules(connector.grace_seconds)
        probes = Probes(connector.build, transport, rules)
        share = SharedBucket(_returning_rate(connector), clock.monotonic())
        purge = Purge(probes, topics, reading, events, rules)
        jobs = Jobs(open_letters, topics, events, BackToConnector(settings.topics.connector(name)), share.of("replay"))
        forgetting = Forgetting(
            settings.topics.forgotten,
            probes.scopes,
            [*settings.entries.get(name, {})],
            open_letters=open_letters,
            open_journal=partial(StateJournal, options, settings.topics.forgotten, f"{client_id}-forgotten"),
            topics=topics,
            events=events,
        )
        meter = observation.keeper_meter(settings, name, probes.scopes, stack)
        copies = CommitCopies(accounts.of_sinks, accounts.excess, _in_background)
        duties: list[KeeperDuty] = [
            KnownTopics(probes.scopes, topics, accounts.missing, _in_background),
            StateReport(meter, probes.scopes, purge.next_at),
            Requests(probes, jobs, GroupOrders([*settings.entries.get(name, {})], topics.partitions), forgetting),
            probes,
            _alerts(settings, connector, rules, purge, probes.scopes, accounts),
            Redrive(probes.scopes, topics, watching, _redrive_rate(connector), share.of("redrive")),
            purge,
            Expiry(topics, reading, events),
            jobs,
            forgetting,
            Rewrite(open_letters, topics),
            RejectedCursor(open_letters, topics),
            LetterDeletion(topics),
            copies,
        ]
        opener = lease_opener(settings, name, lease_topics(settings, name), instance)
        yield Keeper(name, opener, duties, clock, meter, observation.pulse, copies.finish)


def _letters(options: Mapping[str, Any], client_id: str, stack: ExitStack) -> DeadLetterReader:
    reader = DeadLetterReader(options, client_id)
    stack.callback(reader.close)
    return reader


def _alerts(
    settings: Settings,
    connector: Connector,
    rules: Rules,
    purge: Purge,
    scopes: tuple[str, ...],
    accounts: KeeperAccounts,
) -> Alerts:
    from streams.adapters.notify import Notifications

    return Alerts(
        Notifications(connector.name, connector.notify, settings.http),
        rules,
        purge,
        scopes,
        count_parked=accounts.parked,
        run=_in_background,
        runbooks=connector.notify.runbooks or RUNBOOKS,
        contact=connector.contact,
    )


@contextmanager
def source_keeper(settings: Settings, routing: Routing, instance: str, observation: Observation) -> Iterator[Keeper]:
    """The keeper of the router's dead letters: it replays (routes again), purges and expires; there is nothing to
    probe, and nothing is redriven."""
    client_id = settings.groups.keeper(SOURCE)
    options = settings.kafka.client_config(client_id)
    with ExitStack() as stack:
        topics = DeadLetterTopics(options)
        reading = _letters(options, f"{client_id}-letters", stack)
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        events = EventReader(resolver)
        accounts = KeeperAccounts(lambda: connect(settings, ACCOUNTS_CLIENT_ID), SOURCE)
        stack.callback(accounts.close)
        open_letters = partial(DeadLetterReader, options, f"{client_id}-job")
        jobs = Jobs(open_letters, topics, events, _way_of_source(settings, routing, resolver, client_id, stack))
        forgetting = Forgetting(
            settings.topics.forgotten,
            (),
            (),
            open_letters=open_letters,
            open_journal=partial(StateJournal, options, settings.topics.forgotten, f"{client_id}-forgotten"),
            topics=topics,
            events=events,
        )
        meter = observation.keeper_meter(settings, SOURCE, (), stack)
        copies = CommitCopies(accounts.of_routers, lambda: None, _in_background, Retirement(settings.connectors))
        duties: list[KeeperDuty] = [
            KnownTopics((), topics, accounts.missing, _in_background),
            StateReport(meter, (), lambda _lease, _scope: 0),
            Requests(None, jobs, GroupOrders((), topics.partitions), forgetting),
            Expiry(topics, reading, events),
            jobs,
            forgetting,
            RejectedCursor(open_letters, topics),
            LetterDeletion(topics),
            copies,
        ]
        names = LeaseTopics(
            state=settings.topics.state,
            audit=settings.topics.audit,
            connector="",
            rejected=settings.topics.dead_letter_source,
            credentials="",
        )
        opener = lease_opener(settings, SOURCE, names, instance)
        yield Keeper(SOURCE, opener, duties, SystemClock(), meter, observation.pulse, copies.finish)


def _way_of_source(
    settings: Settings, routing: Routing, resolver: SchemaResolver, client_id: str, stack: ExitStack
) -> Way:
    """What a replay does with the source's letters: to connectors, or to Currents topics where none gets events."""
    schemas_topic = settings.topics.schemas if settings.http_inlets else ""
    routed = RoutedAgain(Routes(routing, resolver), schemas_topic)
    if settings.routed or not settings.http_inlets:
        return routed

    def prefix_of(inlet: str) -> str:
        known = settings.http_inlets.get(inlet)
        return settings.source.topic_prefix if known is None else settings.inlet_prefix(known)

    administration = Administration(settings.kafka.client_config(client_id))
    stack.callback(administration.close)
    return WrittenAgain(resolver, EventTopics(settings.kafka.topics, administration), prefix_of, schemas_topic, routed)


def lease_opener(settings: Settings, name: str, topics: LeaseTopics, instance: str) -> TakeLease:
    """Takes the lease: a producer that fences the predecessor's first, then the state."""
    client_id = settings.groups.keeper(name)
    options = settings.kafka.client_config(client_id)

    def take_lease() -> Lease:
        with ExitStack() as stack:
            transactions = TransactionalProducer(options, client_id, f"{client_id}-{instance}")
            stack.callback(transactions.close)
            transactions.start()
            journal = StateJournal(options, settings.topics.state, f"{client_id}-state")
            stack.callback(journal.close)
            lease = Lease(name, topics, instance, transactions=transactions, journal=journal, clock=SystemClock())
            stack.pop_all()  # the lease closes them
            return lease

    return take_lease


def lease_topics(settings: Settings, name: str) -> LeaseTopics:
    """The topics of a connector's keeper."""
    topics = settings.topics
    return LeaseTopics(
        state=topics.state,
        audit=topics.audit,
        connector=topics.connector(name),
        rejected=topics.dead_letter_rejected(name),
        credentials=topics.dead_letter_credentials(name, ""),
    )


@contextmanager
def kept(keeper: Keeper, stop: threading.Event) -> Iterator[None]:
    """The keeper works while the block runs. An error that ends it stops the process, and is raised at the end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            keeper.run(stop)
        except BaseException as failure:  # of a thread: the main thread raises it
            failures.append(failure)
            stop.set()

    thread = threading.Thread(target=run, name="keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        keeper.worker_ended.set()
        thread.join(STOP_SECONDS_MAX)
    if failures:
        raise failures[0]


def _in_background(call: Callable[[], Result]) -> Future[Result]:
    """Carry a call out on a thread of its own, which does not keep a process that stops from ending."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as failure:  # the one who asks for the result gets it
            future.set_exception(failure)

    threading.Thread(target=run, name="keeper-background", daemon=True).start()
    return future


def _returning_rate(connector: Connector) -> float | None:
    """What letters may take of the account's rate, redriven and replayed together: half, so live traffic keeps half."""
    rate = connector.rate_per_second or connector.build().limits.records_per_second
    return None if rate is None else rate / 2


def _redrive_rate(connector: Connector) -> float:
    """The configured rate, else all that letters may take."""
    return connector.redrive_rate_per_second or _returning_rate(connector) or REDRIVE_RATE


def copies_of(settings: Settings, name: str) -> Mapping[Partition, Copied]:
    """A keeper's copies of what its group committed, and what processes committed last where that is newer. Raises
    `KafkaUnreachable` and `StateError`."""
    return copied(read_state_views(settings)[name])


def handed_over(settings: Settings) -> Mapping[Partition, HandedOver]:
    """What the source's keeper took over of the router's commits. Raises `KafkaUnreachable` and `StateError`."""
    return read_state_views(settings)[SOURCE].handed_over


def source_view(settings: Settings) -> StateView:
    """The state of the source as it is now. Raises `KafkaUnreachable` and `StateError`."""
    return read_state_views(settings)[SOURCE]
