"""Builds the workers from settings: the only place where adapters meet them."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

from streams.adapters.clock import SystemClock
from streams.adapters.http import HttpTransport
from streams.adapters.kafka import GroupConsumer, TransactionalProducer
from streams.adapters.schemas import FolderSchemas, RegistrySchemas, TopicSchemas
from streams.config import Connector, Settings
from streams.destinations import REGISTRY
from streams.events.schemas import shipped
from streams.workers.committing import SinkCommitter
from streams.workers.encoding import EncoderCache
from streams.workers.ports import SchemaSource
from streams.workers.resolving import SchemaResolver
from streams.workers.router import Router
from streams.workers.routing import ConnectorRoute, Routing
from streams.workers.sink import Sink

COLLECT_OBJECTS = 50_000
"""New objects between two looks of the garbage collector; Python's 700 would be several looks a batch."""


def instance_name() -> str:
    """This process's stable name, part of its transactional id: `STREAMS_INSTANCE`, else the host's."""
    return os.environ.get("STREAMS_INSTANCE") or socket.gethostname()


@contextmanager
def router(settings: Settings) -> Iterator[Router]:
    """A router that is in touch with Kafka. Raises `KafkaUnreachable` and `Fenced`."""
    group = settings.groups.router
    client_id = f"{group}-{instance_name()}"
    options = settings.kafka.client_config(client_id)
    with ExitStack() as stack:
        resolver = _resolver(settings, client_id, stack)
        consumer = GroupConsumer(options, group, settings.kafka.group_protocol, client_id)
        consumer.await_contact()
        transactions = TransactionalProducer(options, client_id, client_id)
        transactions.start()
        connectors = [
            ConnectorRoute(connector.name, settings.topics.connector(connector.name), connector.event_types)
            for connector in settings.connectors.values()
        ]
        mapped = frozenset().union(*(kind.event_types for kind in REGISTRY.values()))
        _freeze_what_stays()
        yield Router(
            Routing(connectors, mapped),
            patterns=settings.source.topics,
            own_prefix=settings.kafka.topic_prefix,
            source_letters_topic=settings.topics.dead_letter_source,
            audit_topic=settings.topics.audit,
            consumer=consumer,
            transactions=transactions,
            resolver=resolver,
            clock=SystemClock(),
        )


@contextmanager
def sink(settings: Settings, connector: Connector) -> Iterator[Sink]:
    """The sink of one connector, in touch with Kafka. Raises `KafkaUnreachable` and `Fenced`."""
    name = connector.name
    group = settings.groups.sink(name)
    topic = settings.topics.connector(name)
    client_id = f"{group}-{instance_name()}"
    options = settings.kafka.client_config(client_id)
    destination = connector.build()
    with ExitStack() as stack:
        encoders = EncoderCache(destination, _resolver(settings, client_id, stack))
        consumer = GroupConsumer(options, group, settings.kafka.group_protocol, client_id)
        consumer.await_contact()
        transactions = TransactionalProducer(options, client_id, client_id)
        stack.callback(transactions.close)
        transactions.start()
        transport = HttpTransport()
        stack.callback(transport.close)
        committer = SinkCommitter(
            name,
            topic,
            settings.topics.dead_letter_rejected(name),
            settings.topics.audit,
            consumer=consumer,
            transactions=transactions,
            encoders=encoders,
            clock=SystemClock(),
        )
        _freeze_what_stays()
        yield Sink(
            name,
            topic,
            destination,
            consumer=consumer,
            committer=committer,
            transport=transport,
            encoders=encoders,
            clock=SystemClock(),
            random=Random(),  # noqa: S311 - spreads retries, guards nothing
            give_up_seconds=connector.give_up_after_seconds,
            records_per_second=connector.rate_per_second,
            partition_count=lambda: consumer.partitions_of(topic),
        )


def _freeze_what_stays() -> None:
    """Modules, schemas and settings live as long as the process: the collector need not look at them again.

    Batches make and drop thousands of small objects without cycles, so it need not look at those often either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, 20, 20)


def _resolver(settings: Settings, client_id: str, stack: ExitStack) -> SchemaResolver:
    source = settings.source
    topic_schemas = TopicSchemas(
        settings.kafka.client_config(client_id), settings.topics.schemas, f"{client_id}-schemas"
    )
    stack.callback(topic_schemas.close)
    sources: list[SchemaSource] = [topic_schemas]
    if source.schema_folders:
        sources.insert(0, FolderSchemas(source.schema_folders))
    registry = None
    if source.schema_registry is not None:
        transport = HttpTransport()
        stack.callback(transport.close)
        registry = RegistrySchemas(
            source.schema_registry.url,
            transport,
            username=source.schema_registry.username,
            password=source.schema_registry.password,
            bearer_token=source.schema_registry.bearer_token,
        )
    return SchemaResolver(
        shipped(),
        sources,
        registry,
        encoding=source.encoding,
        source_topic_prefix=source.topic_prefix,
        unknown_schema_seconds_max=source.unknown_schema_wait,
        clock=SystemClock(),
    )
