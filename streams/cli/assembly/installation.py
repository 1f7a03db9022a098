"""Builds what operations are given: the cluster, the state topic and the keepers of one configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader
from streams.adapters.kafka.scan import DeadLetterScan
from streams.adapters.kafka.search import TopicSearch
from streams.adapters.kafka.sent import SentTopic
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.schemas.resolver import schema_resolver
from streams.adapters.state.requests import KeeperRequests
from streams.config import Settings
from streams.operations.installation import Installation
from streams.ports.kafka import Transactions
from streams.workers.reading.schema_resolver import SchemaResolver


def connect(settings: Settings, client_id: str) -> Installation:
    """The installation of a configuration. Nobody is asked yet. Raises `KafkaRefusal` for options that are none."""
    options = settings.kafka.client_config(client_id)
    quiet = {**options, "log_level": 0}
    return Installation(
        settings=settings,
        cluster=Administration(options),
        keepers=KeeperRequests(settings),
        open_journal=lambda: StateJournal(quiet, settings.topics.state, client_id),
        open_letters=lambda: DeadLetterReader(quiet, client_id),
        letters=DeadLetterScan(options),
        open_schemas=lambda: _schemas(settings, client_id),
        open_transactions=lambda transactional_id: _transactions(settings, transactional_id),
        open_search=lambda report: TopicSearch(options, report),
        read_latest=lambda topic, key_prefix: read_to_end(options, topic, client_id, key_prefix),
        read_rows=lambda topic, partition: SentTopic(options, topic, client_id).rows(partition),
        clock=SystemClock(),
    )


@contextmanager
def connected(settings: Settings, client_id: str) -> Iterator[Installation]:
    """The same, closed at the end."""
    installation = connect(settings, client_id)
    try:
        yield installation
    finally:
        installation.close()


@contextmanager
def _schemas(settings: Settings, client_id: str) -> Iterator[SchemaResolver]:
    with ExitStack() as stack:
        yield schema_resolver(settings, client_id, stack, 0.0)


@contextmanager
def _transactions(settings: Settings, transactional_id: str) -> Iterator[Transactions]:
    options = settings.kafka.client_config(transactional_id)
    transactions = TransactionalProducer(options, transactional_id, transactional_id)
    try:
        transactions.start()
        yield transactions
    finally:
        transactions.close()
