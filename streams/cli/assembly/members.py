"""What routers and sinks are built of alike: members of a group, and what a long-lived process spares the collector."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import ExitStack

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.cli.assembly.observation import Observation
from streams.config import Settings
from streams.workers.reading.wait_report import WaitReport

COLLECT_OBJECTS = 50_000
"""New objects between two looks of the garbage collector; Python's 700 would be several looks a batch."""


def clients(
    settings: Settings,
    observation: Observation,
    group: str,
    client_id: str,
    stack: ExitStack,
    fetching: Mapping[str, int] | None = None,
) -> tuple[GroupConsumer, TransactionalProducer]:
    """What reads and what writes, in touch with Kafka. Raises `KafkaUnreachable` and `Fenced`."""
    options = settings.kafka.client_config(client_id)
    consumer = GroupConsumer(
        {**(fetching or {}), **options},
        group,
        settings.kafka.group_protocol,
        client_id,
        observation.pulse.known_to_group,
    )
    consumer.await_contact()
    transactions = TransactionalProducer(options, client_id, client_id)
    stack.callback(transactions.close)
    transactions.start()
    return consumer, transactions


def forgotten(settings: Settings, client_id: str) -> StateJournal:
    options = settings.kafka.client_config(client_id)
    return StateJournal(options, settings.topics.forgotten, f"{client_id}-forgotten")


def wait_report(settings: Settings, name: str, instance: str, transactions: TransactionalProducer) -> WaitReport:
    return WaitReport(name, instance, state_topic=settings.topics.state, transactions=transactions, clock=SystemClock())


def freeze_what_stays() -> None:
    """Modules, schemas and settings live as long as the process: the collector need not look at them again.

    Batches make and drop thousands of small objects without cycles, so it need not look at those often either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, 20, 20)
