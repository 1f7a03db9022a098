"""Builds the receiver from settings: its writer, and the server before it."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_whole
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.cli.assembly.observation import HOST, Observation
from streams.cli.errors import CommandError, ExitCode
from streams.config import Settings
from streams.delivery.received import RowError, rows_of_instance
from streams.operations.event_topics import EventTopics
from streams.ports.errors import TopicMissing
from streams.web.answers import Backend
from streams.web.connections import Connections
from streams.web.receiver import ReceiverRoutes
from streams.web.server import HttpServer, PortTaken
from streams.web.tls import Certificate, CertificateUnusable
from streams.workers.receiver.currents import CurrentsIntake
from streams.workers.receiver.writer import KafkaConnection, ReceiverTopics, ReceiverWriter

log = structlog.get_logger(__name__)

BUFFER_OPTIONS = {"queue.buffering.max.kbytes": 16_384, "queue.buffering.max.messages": 20_000}
"""Of the Kafka client: a transaction of the receiver waits for room in it, and so it bounds memory."""
PARTITION_SECONDS = 60.0
"""How old the number of a topic's partitions may be."""
STOP_SECONDS = 2.0
"""For answers that are on their way out when the writer is done."""
BACKLOG = 128


@contextmanager
def receiver(
    settings: Settings, observation: Observation, instance: str
) -> Iterator[Callable[[threading.Event], None]]:
    """What runs until told to stop. The receiver is in touch with Kafka; it listens once it runs.

    Raises `KafkaUnreachable`, `Fenced` and `CommandError`.
    """
    entries, inlets = settings.entries, settings.http_inlets
    if not settings.receives:
        raise CommandError(
            "no connector has entries under receive, and no inlet is of kind http: there is nothing to receive",
            ExitCode.USAGE,
        )
    clock = SystemClock()
    client_id = f"{settings.groups.receiver}-{instance}"
    meter = observation.receiver_meter(entries, inlets)
    with ExitStack() as stack:
        administration = Administration(settings.kafka.client_config(client_id))
        stack.callback(administration.close)
        writer = ReceiverWriter(
            ReceiverTopics({name: settings.topics.connector(name) for name in entries}, settings.topics.received),
            instance,
            connect=lambda: kafka_connection(settings, client_id, instance),
            partitions_of=_Partitions(administration, clock.monotonic).of,
            clock=clock,
            meter=meter,
            pulse=observation.pulse,
            currents=_currents(settings, administration) if inlets else None,
        )

        def run(stop: threading.Event) -> None:
            backend = Backend(writer.submit, stop.is_set, lambda: writer.is_away)
            prefixes = {name: settings.inlet_prefix(inlet) for name, inlet in inlets.items()}
            routes = ReceiverRoutes(settings.receiver, entries, backend, clock, meter, inlets, prefixes)
            gc.freeze()  # what is there now stays: a collection need not look at it again with every few requests
            server = _listening(settings, routes)
            try:
                writer.run(stop, lambda: routes.in_hand > 0)
            finally:
                server.close()

        yield run


def _currents(settings: Settings, administration: Administration) -> CurrentsIntake:
    topics = EventTopics(settings.kafka.topics, administration)
    return CurrentsIntake(settings.topics.dead_letter_source, settings.topics.schemas, topics)


def kafka_connection(settings: Settings, client_id: str, instance: str) -> KafkaConnection:
    options = settings.kafka.client_config(client_id)
    with ExitStack() as stack:
        transactions = TransactionalProducer({**BUFFER_OPTIONS, **options}, client_id, client_id)
        stack.callback(transactions.close)
        transactions.start()
        # Only now: the process that had this name before can write no row any more.
        rows = read_whole(options, settings.topics.received, client_id)
        try:
            connection = KafkaConnection(transactions, rows_of_instance(rows, instance))
        except RowError as error:
            raise CommandError(
                f"{settings.topics.received}: {error}; another program writes there: choose another kafka.topic_prefix",
                ExitCode.FAILED,
            ) from error
        stack.pop_all()  # the connection's user closes them
        return connection


class _Partitions:
    """How many partitions a topic has, asked once in a while. One thread uses it."""

    def __init__(self, administration: Administration, monotonic: Callable[[], float]) -> None:
        self._administration = administration
        self._monotonic = monotonic
        self._known: dict[str, tuple[int, float]] = {}

    def of(self, topic: str) -> int:
        """Raises `KafkaUnreachable`."""
        count, asked_at = self._known.get(topic, (0, float("-inf")))
        if self._monotonic() - asked_at >= PARTITION_SECONDS:
            count = len(self._administration.partitions(topic))
            if not count:
                raise TopicMissing(f"there is no topic {topic}; make it with `streams topics apply`")
            self._known[topic] = count, self._monotonic()
        return count


def _listening(settings: Settings, routes: ReceiverRoutes) -> HttpServer:
    wanted = settings.receiver
    host = os.environ.get("STREAMS_HTTP_HOST") or HOST
    try:
        context = Certificate(*wanted.tls.files).context if wanted.tls else None
    except CertificateUnusable as error:
        raise CommandError(f"receiver.tls: {error}", ExitCode.USAGE) from error

    def make() -> Connections:
        return Connections(routes.answer, wanted.connections_max, never_refuses=bool(settings.http_inlets))

    try:
        server = HttpServer(
            "receiver", host, wanted.port, make, backlog=BACKLOG, stop_seconds=STOP_SECONDS, tls=context
        )
    except PortTaken as error:
        raise CommandError(f"{error}; give another receiver.port", ExitCode.USAGE) from error
    served = [f"{connector}/{name}" for connector, those in settings.entries.items() for name in those]
    log.info("receiving", host=host, port=server.port, entries=served, inlets=list(settings.http_inlets))
    return server
