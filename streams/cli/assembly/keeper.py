"""Builds a connector's keeper, and runs it on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import structlog

from streams.adapters.clock import SystemClock
from streams.adapters.http import HttpTransport
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.notify import Notifications
from streams.adapters.schemas.resolver import schema_resolver
from streams.adapters.state.standings import read_standings
from streams.cli.assembly.installation import connect
from streams.cli.assembly.observation import Observation
from streams.config import Connector, Settings
from streams.config.names import SOURCE
from streams.delivery.pace import TokenBucket
from streams.operations.books import KeptBooks
from streams.ports.kafka import Partition
from streams.state.credentials import Rules
from streams.workers.keeper.alerts import RUNBOOKS, Alerts
from streams.workers.keeper.deletion import Collection
from streams.workers.keeper.expiry import Expiry
from streams.workers.keeper.jobs.cursor import Settling
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.outcome import BackToConnector, RoutedAgain
from streams.workers.keeper.keeper import Keeper, Task
from streams.workers.keeper.known_topics import KnownTopics
from streams.workers.keeper.office import Office, OfficeTopics, OpenOffice
from streams.workers.keeper.offset_backup import Bookkeeping
from streams.workers.keeper.probes import Probes
from streams.workers.keeper.purge import Purge
from streams.workers.keeper.redrive import Redrive
from streams.workers.keeper.report import Reporting
from streams.workers.keeper.requests import Asking
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.start_positions import Copied
from streams.workers.router.routes import Routes, Routing

log = structlog.get_logger(__name__)

BOOKS_CLIENT_ID = "streams-keeper"

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
    name = connector.name
    client_id = settings.groups.keeper(name)
    options = settings.kafka.client_config(client_id)
    clock = SystemClock()
    with ExitStack() as stack:
        transport = HttpTransport(settings.http)
        stack.callback(transport.close)
        topics = DeadLetterTopics(options)
        watching, reading = (DeadLetterReader(options, f"{client_id}-{role}") for role in ("redrive", "letters"))
        for reader in (watching, reading):
            stack.callback(reader.close)

        def open_letters() -> DeadLetterReader:
            return DeadLetterReader(options, f"{client_id}-job")

        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        events = EventReader(resolver)
        books = KeptBooks(lambda: connect(settings, BOOKS_CLIENT_ID), name)
        stack.callback(books.close)
        rules = Rules(connector.grace_seconds)
        probes = Probes(connector.build, transport, rules)
        share = TokenBucket(_returning_rate(connector), clock.monotonic())
        purge = Purge(probes, topics, reading, events, rules)
        jobs = Jobs(open_letters, topics, events, BackToConnector(settings.topics.connector(name)), share)
        meter = observation.keeper_meter(settings, name, probes.scopes, stack)
        tasks: list[Task] = [
            KnownTopics(probes.scopes, topics, books.missing, _in_background),
            Reporting(meter, probes.scopes, purge.next_at),
            Asking(probes, jobs),
            probes,
            Alerts(
                Notifications(name, connector.notify, settings.http),
                rules,
                purge,
                probes.scopes,
                count_parked=books.parked,
                run=_in_background,
                runbooks=connector.notify.runbooks or RUNBOOKS,
                contact=connector.contact,
            ),
            Redrive(probes.scopes, topics, watching, _redrive_rate(connector), share),
            purge,
            Expiry(topics, reading, events),
            jobs,
            Settling(open_letters, topics),
            Collection(topics),
            Bookkeeping(books.of_sinks, books.excess, _in_background),
        ]
        opener = _opener(settings, name, office_topics(settings, name), instance)
        yield Keeper(name, opener, tasks, clock, meter, observation.pulse)


@contextmanager
def source_keeper(settings: Settings, routing: Routing, instance: str, observation: Observation) -> Iterator[Keeper]:
    """The keeper of the router's dead letters: it replays (routes again), purges and expires; there is nothing to
    probe, and nothing is redriven."""
    client_id = settings.groups.keeper(SOURCE)
    options = settings.kafka.client_config(client_id)
    with ExitStack() as stack:
        topics = DeadLetterTopics(options)
        reading = DeadLetterReader(options, f"{client_id}-letters")
        stack.callback(reading.close)
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        events = EventReader(resolver)
        books = KeptBooks(lambda: connect(settings, BOOKS_CLIENT_ID), SOURCE)
        stack.callback(books.close)

        def open_letters() -> DeadLetterReader:
            return DeadLetterReader(options, f"{client_id}-job")

        jobs = Jobs(open_letters, topics, events, RoutedAgain(Routes(routing, resolver)))
        meter = observation.keeper_meter(settings, SOURCE, (), stack)
        tasks: list[Task] = [
            KnownTopics((), topics, books.missing, _in_background),
            Reporting(meter, (), lambda _office, _scope: 0),
            Asking(None, jobs),
            Expiry(topics, reading, events),
            jobs,
            Settling(open_letters, topics),
            Collection(topics),
            Bookkeeping(books.of_routers, lambda: None, _in_background),
        ]
        names = OfficeTopics(
            state=settings.topics.state,
            audit=settings.topics.audit,
            connector="",
            rejected=settings.topics.dead_letter_source,
            credentials="",
        )
        opener = _opener(settings, SOURCE, names, instance)
        yield Keeper(SOURCE, opener, tasks, SystemClock(), meter, observation.pulse)


def _opener(settings: Settings, name: str, topics: OfficeTopics, instance: str) -> OpenOffice:
    """Takes office: a producer that fences the predecessor's first, then the state."""
    client_id = settings.groups.keeper(name)
    options = settings.kafka.client_config(client_id)

    def open_office() -> Office:
        transactions = TransactionalProducer(options, client_id, f"{client_id}-{instance}")
        transactions.start()
        journal = StateJournal(options, settings.topics.state, f"{client_id}-state")
        try:
            return Office(name, topics, instance, transactions=transactions, journal=journal, clock=SystemClock())
        except BaseException:
            transactions.close()
            journal.close()
            raise

    return open_office


def office_topics(settings: Settings, name: str) -> OfficeTopics:
    """The topics of a connector's keeper."""
    topics = settings.topics
    return OfficeTopics(
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
        except BaseException as failure:
            failures.append(failure)
            stop.set()

    thread = threading.Thread(target=run, name="keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_SECONDS_MAX)
    if failures:
        raise failures[0]


def _in_background(call: Callable[[], Result]) -> Future[Result]:
    """Carry a call out on a thread of its own, which does not keep a process that stops from ending."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as failure:
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
    """A keeper's copies of what its group committed. Raises `KafkaUnreachable` and `StateError`."""
    copies = read_standings(settings)[name].copies
    return {
        (topic, int(number)): Copied(*commit, copy.topic_id)
        for topic, copy in copies.items()
        for number, commit in copy.partitions.items()
    }
