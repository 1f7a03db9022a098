"""Builds the loops of storage inlets, and runs those that this process is chosen for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random

import structlog

from streams.adapters.clock import SystemClock
from streams.adapters.files.currents import exports
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.cli.assembly.observation import Observation
from streams.cli.assembly.stores import opened_store, queue_of
from streams.cli.errors import CommandError, ExitCode
from streams.config import Settings
from streams.config.inlets import StorageInlet
from streams.events.schemas import shipped
from streams.inlets.inlet_view import Start
from streams.inlets.schedule import Schedule
from streams.operations.ingest.topics import EventTopics
from streams.workers.candidate import Candidate
from streams.workers.inlet.batch import Batch
from streams.workers.inlet.lease import InletLease, InletTopics
from streams.workers.inlet.listing import Listing
from streams.workers.inlet.orders import Orders
from streams.workers.inlet.queue import Queue
from streams.workers.inlet.report import Report
from streams.workers.inlet.transfer import Opening, Scratch, Transfer
from streams.workers.inlet.trouble import Trouble
from streams.workers.inlet.wake import Wake
from streams.workers.inlet.worker import InletLoop
from streams.workers.lease_loop import Duty

log = structlog.get_logger(__name__)

STOP_SECONDS_MAX = 10.0
"""For the last transaction of a loop that is told to stop."""
WHEN_DELETED = "the topic of inlets was deleted: what was taken is forgotten at the next start"
"""This process still knows its progress. The next one would take files again."""


@contextmanager
def inlets(
    settings: Settings, names: Sequence[str], observation: Observation, instance: str
) -> Iterator[Callable[[threading.Event], None]]:
    """What runs until told to stop: each inlet on a thread of its own, while this process is chosen for it.

    Raises `KafkaUnreachable` and `CommandError`.
    """
    with ExitStack() as stack:
        candidates = []
        for name in names:
            inlet = settings.storage_inlets[name]
            group = settings.groups.inlet(name)
            loop = _loop(settings, name, inlet, observation, instance, stack)
            options = settings.kafka.client_config(group)
            consumer = GroupConsumer(
                options,
                group,
                settings.kafka.group_protocol,
                f"{group}-{instance}",
                observation.pulse.known_to_group,
                reads=False,
            )
            stack.callback(consumer.close)
            consumer.await_contact()
            candidates.append(Candidate(consumer, settings.topics.inlets, loop, observation.pulse, WHEN_DELETED))
        yield partial(_run, candidates)


def _run(candidates: Sequence[Candidate[InletLoop]], stop: threading.Event) -> None:
    """Raises what ended a loop."""
    failures: list[BaseException] = []

    def work(loop: InletLoop) -> None:
        try:
            loop.run(stop)
        except BaseException as failure:  # of a thread: the main thread raises it
            failures.append(failure)
            stop.set()

    threads = [
        threading.Thread(target=work, args=(candidate.loop,), name="inlet", daemon=True) for candidate in candidates
    ]
    for thread in threads:
        thread.start()
    try:
        while not stop.is_set():
            for candidate in candidates:
                candidate.poll()
    finally:
        stop.set()
        for thread in threads:
            thread.join(STOP_SECONDS_MAX)
    if failures:
        raise failures[0]


def _loop(
    settings: Settings, name: str, inlet: StorageInlet, observation: Observation, instance: str, stack: ExitStack
) -> InletLoop:
    clock = SystemClock()
    group = settings.groups.inlet(name)
    options = settings.kafka.client_config(group)
    meter = observation.inlet_meter(name)
    administration = Administration(options)
    stack.callback(administration.close)
    written = read_to_end(options, settings.topics.schemas, f"{group}-schemas")
    book = shipped()
    queue, schedule = Queue(), Schedule(inlet.poll, inlet.lookback)
    random = Random()  # noqa: S311 - spreads requests, hides nothing
    trouble = Trouble(name, clock, random)
    batch = Batch(
        lambda mark: book.by_fingerprint(mark) is not None or mark.hex().encode() in written, clock.monotonic, meter
    )
    store = opened_store(inlet)
    _make_scratch(name, inlet)
    listing = Listing(store, queue, schedule, trouble, inlet.lookback)
    transfer = Transfer(
        store,
        queue,
        schedule,
        trouble,
        batch,
        Scratch(inlet.scratch, int(inlet.scratch_max)),
        Opening(exports, EventTopics(settings, administration, settings.inlet_prefix(inlet)).place_of),
        inlet.url.rstrip("/"),
        inlet.damaged_after,
    )
    duties: list[Duty[InletLease]] = [Orders(queue), listing, transfer, Report(queue, listing, trouble, meter)]
    if inlet.notify_queue:
        duties.insert(1, Wake(queue_of(inlet), inlet.place, schedule, listing, meter, random))
    return InletLoop(name, _taker(settings, name, inlet, instance), duties, clock, meter, observation.pulse)


def _make_scratch(name: str, inlet: StorageInlet) -> None:
    try:
        inlet.scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"inlets.{name}.scratch: {inlet.scratch} cannot be made: {error.strerror or error}"
        raise CommandError(f"{reason}; name a folder that can be written", ExitCode.USAGE) from None


def _taker(settings: Settings, name: str, inlet: StorageInlet, instance: str) -> Callable[[], InletLease]:
    """Takes the lease: a producer that fences the predecessor's first, then the progress."""
    group, topics = settings.groups.inlet(name), settings.topics
    options = settings.kafka.client_config(group)

    def take() -> InletLease:
        with ExitStack() as stack:
            transactions = TransactionalProducer(options, group, f"{group}-{instance}")
            stack.callback(transactions.close)
            transactions.start()
            journal = StateJournal(options, topics.inlets, f"{group}-progress")
            stack.callback(journal.close)
            by_hand = StateJournal(options, topics.state, f"{group}-by-hand")
            stack.callback(by_hand.close)
            lease = InletLease(
                name,
                InletTopics(topics.inlets, topics.schemas, topics.audit),
                instance,
                start_of(inlet),
                transactions=transactions,
                journal=journal,
                by_hand=by_hand,
                clock=SystemClock(),
            )
            stack.pop_all()
            return lease

    return take


def start_of(inlet: StorageInlet) -> Start | None:
    """Where an inlet begins; None for the moment of its first start."""
    if inlet.start == "all":
        return Start()
    hour = inlet.start_hour
    return None if hour is None else Start.at(int(hour.timestamp() * 1000))
