"""Builds the workers from settings: the only place where adapters meet them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random

from streams.adapters.clock import SystemClock
from streams.adapters.http import HttpTransport
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.schemas.resolver import schema_resolver
from streams.cli.assembly.keeper import connector_keeper, copies_of, source_keeper
from streams.cli.assembly.observation import Observation
from streams.config import Connector, Settings
from streams.config.names import SOURCE
from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate
from streams.workers.keeper.keeper import Keeper
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.wait_report import WaitReport
from streams.workers.router.routes import routing_of
from streams.workers.router.worker import Router
from streams.workers.sink.committer import SinkCommitter, SinkTopics
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.restraint import Restraint
from streams.workers.sink.state_view import Following
from streams.workers.sink.worker import Sink

COLLECT_OBJECTS = 50_000
"""New objects between two looks of the garbage collector; Python's 700 would be several looks a batch."""


@contextmanager
def router(settings: Settings, observation: Observation, instance: str) -> Iterator[tuple[Router, Keeper]]:
    """A router that is in touch with Kafka, and the keeper of its own dead letters, which runs on a thread of its own.

    Raises `KafkaUnreachable` and `Fenced`.
    """
    group = settings.groups.router
    client_id = f"{group}-{instance}"
    options = settings.kafka.client_config(client_id)
    with ExitStack() as stack:
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        consumer = GroupConsumer(options, group, settings.kafka.group_protocol, client_id)
        consumer.await_contact()
        transactions = TransactionalProducer(options, client_id, client_id)
        transactions.start()
        routing = routing_of(settings)
        keeper = stack.enter_context(source_keeper(settings, routing, instance, observation))
        _freeze_what_stays()
        worker = Router(
            routing,
            patterns=settings.source.topics,
            own_prefix=settings.kafka.topic_prefix,
            source_letters_topic=settings.topics.dead_letter_source,
            audit_topic=settings.topics.audit,
            consumer=consumer,
            transactions=transactions,
            resolver=resolver,
            clock=SystemClock(),
            keep=keeper.own,
            copies=partial(copies_of, settings, SOURCE),
            report=WaitReport(
                SOURCE,
                instance,
                state_topic=settings.topics.state,
                transactions=transactions,
                clock=SystemClock(),
            ),
            meter=observation.router_meter(list(settings.connectors), group),
            pulse=observation.pulse,
        )
        yield worker, keeper


@contextmanager
def sink(
    settings: Settings, connector: Connector, observation: Observation, instance: str
) -> Iterator[tuple[Sink, Keeper]]:
    """The sink of one connector, in touch with Kafka, and the connector's keeper, which runs on a thread of its own.

    Raises `KafkaUnreachable` and `Fenced`.
    """
    name = connector.name
    group = settings.groups.sink(name)
    topic = settings.topics.connector(name)
    client_id = f"{group}-{instance}"
    options = settings.kafka.client_config(client_id)
    clock = SystemClock()
    with ExitStack() as stack:
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        destination = connector.build()
        encoders = EncoderCache(destination, resolver)
        events = EventReader(resolver)
        meter = observation.sink_meter(
            name,
            destination.scopes,
            topic=topic,
            group=group,
            event_time=lambda message: events.read_now(message).time,
            clock=clock,
        )
        consumer = GroupConsumer(options, group, settings.kafka.group_protocol, client_id)
        consumer.await_contact()
        transactions = TransactionalProducer(options, client_id, client_id)
        stack.callback(transactions.close)
        transactions.start()
        transport = HttpTransport(settings.http)
        stack.callback(transport.close)
        following = Following(name, instance, StateJournal(options, settings.topics.state, f"{client_id}-state"), clock)
        stack.callback(following.close)
        keeper = stack.enter_context(connector_keeper(settings, connector, instance, observation))
        committer = SinkCommitter(
            name,
            SinkTopics(
                connector=topic,
                rejected=settings.topics.dead_letter_rejected(name),
                credentials=settings.topics.dead_letter_credentials(name, ""),
                state=settings.topics.state,
                audit=settings.topics.audit,
            ),
            consumer=consumer,
            transactions=transactions,
            encoders=encoders,
            clock=SystemClock(),
            meter=meter,
        )
        _freeze_what_stays()
        flood = connector.flood_breaker
        spread = Random()  # noqa: S311 - spreads retries, guards nothing
        gates = {scope: Gate(destination.limits.retry_base_seconds, spread) for scope in destination.scopes}
        worker = Sink(
            name,
            topic,
            connector.build,
            SinkLimits(connector.give_up_after_seconds, connector.rate_per_second),
            SinkPorts(
                consumer=consumer,
                transport=transport,
                clock=clock,
                keep=keeper.own,
                partition_count=lambda: consumer.partitions_of(topic),
                copies=partial(copies_of, settings, name),
                report=WaitReport(
                    name, instance, state_topic=settings.topics.state, transactions=transactions, clock=clock
                ),
                meter=meter,
                pulse=observation.pulse,
            ),
            committer=committer,
            restraint=Restraint(
                name, gates, following, committer, FloodRules(flood.share, flood.records, flood.window), clock
            ),
            encoders=encoders,
        )
        yield worker, keeper


def _freeze_what_stays() -> None:
    """Modules, schemas and settings live as long as the process: the collector need not look at them again.

    Batches make and drop thousands of small objects without cycles, so it need not look at those often either.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, 20, 20)
