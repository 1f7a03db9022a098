"""Builds a sink from settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random

from streams.adapters.clock import SystemClock
from streams.adapters.http import HttpTransport
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.member_settings import EVENLY
from streams.adapters.schemas.resolver import schema_resolver
from streams.cli.assembly.freed_memory import freed_memory_kept
from streams.cli.assembly.keeper import connector_keeper, copies_of
from streams.cli.assembly.members import clients, forgotten, freeze_what_stays, wait_report
from streams.cli.assembly.memory import memories
from streams.cli.assembly.observation import Observation
from streams.config import Connector, Settings
from streams.delivery.contract import Destination
from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate
from streams.ports.meters import SinkMeter
from streams.workers.keeper.keeper import Keeper
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.encoders import EncoderCache
from streams.workers.sink.gates import Gates
from streams.workers.sink.letters import SinkTopics
from streams.workers.sink.ports import SinkLimits, SinkPorts
from streams.workers.sink.state_follower import StateFollower
from streams.workers.sink.worker import Sink


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
    clock = SystemClock()
    with ExitStack() as stack:
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        destination = connector.build()
        encoders = EncoderCache(destination, resolver)
        meter = _sink_meter(settings, name, destination.scopes, observation, resolver)
        fetching = {} if destination.composer is None else EVENLY  # it sends one request of each partition at a time
        consumer, transactions = clients(settings, observation, group, client_id, stack, fetching)
        transport = HttpTransport(settings.http)
        stack.callback(transport.close)
        follower = _follower(settings, name, instance, client_id, clock)
        stack.callback(follower.close)
        keeper = stack.enter_context(connector_keeper(settings, connector, instance, observation))
        committer = SinkCommitter(
            name,
            _sink_topics(settings, name),
            consumer=consumer,
            transactions=transactions,
            encoders=encoders,
            clock=SystemClock(),
            meter=meter,
        )
        ports = SinkPorts(
            consumer=consumer,
            transport=transport,
            clock=clock,
            keep=keeper.own,
            partition_count=lambda: consumer.partitions_of(topic),
            copies=partial(copies_of, settings, name),
            report=wait_report(settings, name, instance, transactions),
            memories=memories(settings, connector, client_id),
            forgotten=forgotten(settings, client_id),
            meter=meter,
            pulse=observation.pulse,
        )
        freeze_what_stays()
        stack.enter_context(freed_memory_kept())
        worker = Sink(
            name,
            topic,
            connector.build,
            SinkLimits(connector.give_up_after_seconds, connector.rate_per_second),
            ports,
            committer=committer,
            gates=_gates(connector, destination, follower, committer, clock),
            encoders=encoders,
        )
        yield worker, keeper


def _follower(settings: Settings, name: str, instance: str, client_id: str, clock: SystemClock) -> StateFollower:
    options = settings.kafka.client_config(client_id)
    journal = StateJournal(options, settings.topics.state, f"{client_id}-state")
    return StateFollower(name, instance, journal, clock, lambda: journal.topic_id)


def _sink_meter(
    settings: Settings, name: str, scopes: Sequence[str], observation: Observation, resolver: SchemaResolver
) -> SinkMeter:
    events = EventReader(resolver)
    return observation.sink_meter(
        name,
        scopes,
        topic=settings.topics.connector(name),
        group=settings.groups.sink(name),
        event_time=lambda message: events.read_now(message).time,
        clock=SystemClock(),
    )


def _sink_topics(settings: Settings, name: str) -> SinkTopics:
    return SinkTopics(
        connector=settings.topics.connector(name),
        rejected=settings.topics.dead_letter_rejected(name),
        credentials=settings.topics.dead_letter_credentials(name, ""),
        state=settings.topics.state,
        audit=settings.topics.audit,
    )


def _gates(
    connector: Connector,
    destination: Destination,
    follower: StateFollower,
    committer: SinkCommitter,
    clock: SystemClock,
) -> Gates:
    flood = connector.flood_breaker
    spread = Random()  # noqa: S311 - spreads retries, guards nothing
    by_scope = {scope: Gate(destination.limits.retry_base_seconds, spread) for scope in destination.scopes}
    rules = FloodRules(flood.share, flood.records, flood.window)
    return Gates(connector.name, by_scope, follower, committer, rules, clock)
