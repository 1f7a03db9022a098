"""Builds a connector's keeper, and runs it on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import structlog

from streams.adapters.accounts import Accounts
from streams.adapters.admin import Administration, KafkaRefusal
from streams.adapters.clock import SystemClock
from streams.adapters.http import HttpTransport
from streams.adapters.journal import StateJournal
from streams.adapters.kafka import TransactionalProducer
from streams.adapters.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.notify import Notifications
from streams.cli.resolving import resolver_of
from streams.config import Connector, Settings
from streams.delivery.account import MetadataError
from streams.keeping.credentials import Rules
from streams.workers.alerting import Alerts
from streams.workers.asking import Asking
from streams.workers.collecting import Collection
from streams.workers.contents import EventReader
from streams.workers.expiring import Expiry
from streams.workers.jobs import Jobs
from streams.workers.keeper import Keeper, Task
from streams.workers.office import Office, OfficeTopics
from streams.workers.ports import KafkaUnreachable
from streams.workers.probing import Probes
from streams.workers.purging import Purge
from streams.workers.redriving import Redrive

log = structlog.get_logger(__name__)

REDRIVE_RATE = 1_000.0
"""Letters per second where the connector has no rate of its own."""
STOP_SECONDS_MAX = 10.0
"""A keeper's step ends within a transaction's time-out."""


@contextmanager
def connector_keeper(settings: Settings, connector: Connector, instance: str) -> Iterator[Keeper]:
    """The keeper of one connector; what it opened is closed at the end."""
    name = connector.name
    client_id = settings.groups.keeper(name)
    options = settings.kafka.client_config(client_id)
    clock = SystemClock()
    with ExitStack() as stack:
        transport = HttpTransport()
        stack.callback(transport.close)
        topics = DeadLetterTopics(options)
        watching, reading = (DeadLetterReader(options, f"{client_id}-{role}") for role in ("redrive", "letters"))
        for reader in (watching, reading):
            stack.callback(reader.close)
        events = EventReader(resolver_of(settings, client_id, stack))
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="alerts"))
        rules = Rules(connector.grace_seconds)
        probes = Probes(connector.build, transport, rules)
        purge = Purge(probes, topics, reading, events, rules)
        jobs = Jobs()
        tasks: list[Task] = [
            Asking(probes, jobs),
            probes,
            Alerts(
                Notifications(name, connector.notify),
                rules,
                purge,
                probes.scopes,
                count_parked=_parked_counter(settings, name),
                run=pool.submit,
            ),
            Redrive(probes.scopes, topics, watching, _redrive_rate(connector)),
            purge,
            Expiry(topics, reading, events),
            jobs,
            Collection(topics),
        ]

        def open_office() -> Office:
            transactions = TransactionalProducer(options, client_id, f"{client_id}-{instance}")
            transactions.start()
            return Office(
                name,
                office_topics(settings, name),
                instance,
                transactions=transactions,
                journal=StateJournal(options, settings.topics.state, f"{client_id}-state"),
                clock=clock,
            )

        yield Keeper(name, open_office, tasks, clock)


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
    """The keeper works beside what runs within. What ends it stops the process, and is raised at the end."""
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


def _redrive_rate(connector: Connector) -> float:
    """The configured rate; else half of what the connector may send, so that live traffic goes on beside it."""
    if connector.redrive_rate_per_second is not None:
        return connector.redrive_rate_per_second
    rate = connector.rate_per_second or connector.build().limits.records_per_second
    return REDRIVE_RATE if rate is None else max(1.0, rate / 2)


def _parked_counter(settings: Settings, name: str) -> Callable[[], int | None]:
    """Counts a connector's dead letters; None where Kafka does not say."""

    def count() -> int | None:
        accounts = Accounts(settings, Administration(settings.kafka.client_config("streams-alerts")))
        try:
            account = accounts.of([name])[name]
        except (KafkaUnreachable, KafkaRefusal, MetadataError) as error:
            log.warning("dead letters not counted", connector=name, error=str(error))
            return None
        finally:
            accounts.close()
        return sum(account.parked.values())

    return count
