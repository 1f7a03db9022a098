"""Builds the router from settings."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.schemas.resolver import schema_resolver
from streams.cli.assembly.freed_memory import freed_memory_kept
from streams.cli.assembly.keeper import copies_of, handed_over, source_keeper, source_view
from streams.cli.assembly.members import clients, forgotten, freeze_what_stays, wait_report
from streams.cli.assembly.observation import Observation
from streams.config import Settings
from streams.config.names import SOURCE
from streams.config.topology import kept_ms
from streams.workers.candidate import Candidate
from streams.workers.keeper.keeper import Keeper
from streams.workers.router.delete_requests import DeleteRequests
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.routes import routing_of
from streams.workers.router.worker import Router


@contextmanager
def router(
    settings: Settings, observation: Observation, instance: str
) -> Iterator[tuple[Router | Candidate[Keeper], Keeper]]:
    """A router that is in touch with Kafka, and the keeper of its own dead letters, which runs on a thread of its own.

    Where nothing is routed and HTTP inlets write such letters, it reads no topic: it is only chosen to keep them.
    Raises `KafkaUnreachable` and `Fenced`.
    """
    group = settings.groups.router
    client_id = f"{group}-{instance}"
    with ExitStack() as stack:
        if settings.http_inlets and not settings.routed:
            yield stack.enter_context(_letters_alone(settings, observation, instance))
            return
        resolver = schema_resolver(settings, client_id, stack, settings.source.unknown_schema_wait)
        consumer, transactions = clients(settings, observation, group, client_id, stack)
        routing = routing_of(settings)
        keeper = stack.enter_context(source_keeper(settings, routing, instance, observation))
        freeze_what_stays()
        stack.enter_context(freed_memory_kept())
        worker = Router(
            routing,
            resolver,
            RouterTopics(
                patterns=settings.source.topics,
                own_prefix=settings.kafka.topic_prefix,
                source_letters=settings.topics.dead_letter_source,
                audit=settings.topics.audit,
                state=settings.topics.state,
            ),
            RouterPorts(
                consumer=consumer,
                transactions=transactions,
                clock=SystemClock(),
                keep=keeper.own,
                copies=partial(copies_of, settings, SOURCE),
                hand_overs=partial(handed_over, settings),
                source_view=partial(source_view, settings),
                connectors=list(settings.connectors),
                deletions=_deletions(settings, client_id),
                report=wait_report(settings, SOURCE, instance, transactions),
                meter=observation.router_meter(list(settings.connectors), group),
                pulse=observation.pulse,
            ),
        )
        yield worker, keeper


@contextmanager
def _letters_alone(
    settings: Settings, observation: Observation, instance: str
) -> Iterator[tuple[Candidate[Keeper], Keeper]]:
    group, topic = settings.groups.router, settings.topics.dead_letter_source
    client_id = f"{group}-{instance}"
    options = settings.kafka.client_config(client_id)
    consumer = GroupConsumer(
        options, group, settings.kafka.group_protocol, client_id, observation.pulse.known_to_group, reads=False
    )
    consumer.await_contact()
    with source_keeper(settings, routing_of(settings), instance, observation) as keeper:
        deleted = "the topic of the source's dead letters was deleted and made again"
        yield Candidate(consumer, topic, keeper, observation.pulse, deleted), keeper


def _deletions(settings: Settings, client_id: str) -> DeleteRequests | None:
    """Only where they are orders."""
    if settings.source.on_user_delete == "ignore":
        return None
    return DeleteRequests(
        settings.topics.state,
        [*settings.connectors, SOURCE],
        forgotten(settings, client_id),
        kept_ms(settings),
        SystemClock(),
        lambda: uuid.uuid4().hex[:12],
    )
