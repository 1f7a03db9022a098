"""An inlet on fakes: a store in memory, topics in memory, a clock that the test moves."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import fastavro

from streams.adapters.files.currents import exports
from streams.inlets.inlet_view import Start
from streams.inlets.progress import Entry, Order, What
from streams.inlets.schedule import Schedule
from streams.operations.ingest.places import place_of
from streams.ports.errors import StoreUnreachable
from streams.ports.meters import InletState
from streams.state.audit import Line, parse_line
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeNotices, FakeObjects, FakeTransactions
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
from tests.cli.files import OPEN_SCHEMA, opens

NAME = "bucket"
EVENT_TYPE = "users.messages.email.Open"
TOPIC = f"currents.{EVENT_TYPE}"
TOPICS = InletTopics("streams.inlets", "streams.schemas", "streams.audit")
POLL = 30.0
DAMAGED_AFTER = 3_600.0
DAY = 86_400.0
LOOKBACK = 8 * DAY
STEPS_MAX = 3_000


class Meter:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.objects: dict[str, int] = {}
        self.records = 0
        self.state: InletState | None = None
        self.notices: list[str] = []

    def lease_held(self, is_held: bool) -> None:
        """Not looked at."""

    def committed(self, topics: Any, objects: Any) -> None:
        self.records += sum(topics.values())
        for name, count in objects.items():
            self.objects[name] = self.objects.get(name, 0) + count

    def noticed(self, worth: str) -> None:
        self.notices.append(worth)

    def stands(self, state: InletState, /) -> None:
        self.state = state


class Desk:
    """One inlet. `run` works until nothing is left to do now; `restart` is another process that takes over."""

    unreachable = StoreUnreachable("no route")

    def __init__(
        self,
        scratch: Path,
        start: Start | None = Start(),  # noqa: B008 - frozen
        scratch_max: int = 10_000_000,
        notices: FakeNotices | None = None,
    ) -> None:
        self.clock = MovableClock()
        self.kafka = FakeKafka()
        self.store = FakeObjects(self.clock.epoch_ms())
        self.meter = Meter()
        self._scratch = Scratch(scratch, scratch_max)
        self._start = start
        self._notices = notices
        self._instances = 0
        self.restart()

    def restart(self) -> None:
        self._instances += 1
        queue, schedule = Queue(), Schedule(POLL, LOOKBACK)
        trouble = Trouble(NAME, self.clock, Random(1))
        batch = Batch(lambda _mark: False, self.clock.monotonic, self.meter)
        self._listing = listing = Listing(self.store, queue, schedule, trouble, LOOKBACK)
        transfer = Transfer(
            self.store,
            queue,
            schedule,
            trouble,
            batch,
            self._scratch,
            Opening(exports, lambda file: place_of(file, "currents.")),
            "s3://bucket",
            DAMAGED_AFTER,
        )
        duties: list[Duty[InletLease]] = [Orders(queue), listing, transfer, Report(queue, listing, trouble, self.meter)]
        if self._notices is not None:
            duties.insert(1, Wake(self._notices, NAME, schedule, listing, self.meter, Random(1)))
        self.loop = InletLoop(NAME, self._lease, duties, self.clock, self.meter)
        self.loop.own(True)

    def _lease(self) -> InletLease:
        return InletLease(
            NAME,
            TOPICS,
            f"instance-{self._instances}",
            self._start,
            transactions=FakeTransactions(self.kafka, "streams.inlet.bucket"),
            journal=FakeJournal(self.kafka, TOPICS.inlets),
            by_hand=FakeJournal(self.kafka, "streams.state"),
            clock=self.clock,
        )

    def listing_alone(self) -> None:
        """One page is listed, and nothing is taken."""
        if self.loop.lease is None:
            self.loop.step()
        self._listing.step(self.lease)

    def run(self) -> None:
        for _ in range(STEPS_MAX):
            if not self.loop.step():
                return
        raise AssertionError("it never comes to rest")

    def poll(self, seconds: float = POLL) -> None:
        """Time passes, and it works."""
        self.clock.advance(seconds)
        self.store.now_ms = self.clock.epoch_ms()
        self.run()

    @property
    def ids(self) -> list[str]:
        """Ids of the records on the topic."""
        return [_decoded(message.value() or b"")["id"] for message in self.kafka.read(TOPIC)]

    def entry(self, key: str) -> Entry | None:
        lease = self.loop.lease
        assert lease is not None
        return lease.view.entry(key)

    @property
    def lease(self) -> InletLease:
        assert self.loop.lease is not None
        return self.loop.lease

    def order(self, key: str, what: What, reason: str = "a reason") -> None:
        """What `streams inlets retry` and `skip` write."""
        order = Order(what, "ada", reason, self.clock.epoch_ms())
        self.kafka.write(TOPICS.inlets, order.to_bytes(), f"order/{NAME}/{key}".encode(), [], 0)

    def audit(self) -> list[Line]:
        lines = (parse_line(message.value()) for message in self.kafka.read(TOPICS.audit))
        return [line for line in lines if line is not None]


def key(name: str, hour: str = "2026-11-24-12", *, version: int = 3, event_type: str = EVENT_TYPE) -> str:
    """A key as Braze makes them; the clock begins in that hour."""
    return f"dataexport.prod-01.S3.integration.5f/event_type={event_type}/date={hour}/version={version}/prod/{name}"


def avro(records: list[dict[str, Any]], codec: str = "null", sync_interval: int = 500) -> bytes:
    """A container file."""
    stream = io.BytesIO()
    fastavro.writer(stream, OPEN_SCHEMA, records, codec=codec, sync_interval=sync_interval, sync_marker=b"s" * 16)
    return stream.getvalue()


def events(count: int, name: str = "e", start: int = 0) -> list[dict[str, Any]]:
    return opens(start + count, name)[start:]


def ids_of(*groups: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for group in groups for record in group]


def _decoded(value: bytes) -> dict[str, Any]:
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), OPEN_SCHEMA, None)
    return dict(record)
