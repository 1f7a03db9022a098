"""From records to batches: the sink's hot path, without a log line or a metric per record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import structlog

from streams.delivery.batch import Batch, BatchBuilder
from streams.delivery.contract import Rejected, Skipped
from streams.delivery.ledger import Ledger, Parking
from streams.delivery.letter import again_of
from streams.ports.kafka import Message
from streams.workers.reading.paused_partitions import WaitingPartitions
from streams.workers.sink.dispatch import Dispatch
from streams.workers.sink.encoders import EncoderCache, SchemaWaits
from streams.workers.sink.ports import SinkPorts

log = structlog.get_logger(__name__)

BATCH_AGE_SECONDS_MAX = 0.2
"""How long a record may wait for its batch to fill: most of the latency at low rates."""
CUTS_SECONDS = 60.0


class Intake:
    """Encodes records and fills each scope's batch, which goes to the dispatch when it is full or old."""

    def __init__(
        self, connector: str, topic: str, ports: SinkPorts, *, dispatch: Dispatch, encoders: EncoderCache
    ) -> None:
        self.waiting = WaitingPartitions(ports.consumer)
        self._topic = topic
        self._dispatch = dispatch
        self._encoders = encoders
        self._clock = ports.clock
        self._meter = ports.meter
        limits = dispatch.destination.limits
        self._builders = {scope: BatchBuilder[Message](scope, limits) for scope in dispatch.lanes}
        self._strings_cut = 0
        self._cuts_said_at = ports.clock.monotonic()
        self._log = log.bind(connector=connector)

    def admit(self, messages: Sequence[Message], ledgers: Mapping[int, Ledger[Message]]) -> None:
        """Encode records and fill batches. Headers are read only for a destination that must tell a copy from a
        duplicate."""
        now = self._clock.monotonic()
        encoders, lanes, builders = self._encoders.by_header, self._dispatch.lanes, self._builders
        destination, waiting, topic = self._dispatch.destination, self.waiting, self._topic
        vets, again, invalid = destination.vetting is not None, destination.again, self._dispatch.invalid
        event_types, generation = self._encoders.event_types, self._dispatch.generation
        strings_cut = self._strings_cut
        passed = rejected = 0
        for message in messages:
            number = message.partition()
            ledger = ledgers.get(number)
            if ledger is None or (waiting.partitions and waiting.holds((topic, number))):
                passed += 1
                continue
            value = message.value() or b""
            encoder, start = encoders.get(value[:10]), 10
            if encoder is None:
                try:
                    waited = waiting.waited_seconds((topic, number), message.offset(), now)
                    encoder, start = self._encoders.find(message, value, waited)
                except SchemaWaits as wait:
                    waiting.hold((topic, number), message.offset(), now, wait.why, str(wait))
                    passed += 1
                    continue
            place = ledger.read(message.offset(), len(value))
            encoding = encoder(value, start)
            if type(encoding) is tuple:
                scope, body, cuts = encoding
                if cuts:
                    self._strings_cut += cuts
                if again is not None and (job := again_of(message.headers() or ())):
                    body = again(body, job)
                if invalid and scope in invalid:
                    refusal = invalid[scope]
                    ledger.parked(place, Parking(message, "credentials", refusal.status, refusal.detail, scope, 0))
                    passed += 1
                    continue
                if vets and lanes[scope].vets(event_types[encoder]):
                    alone = Batch[Message](scope, alone=True, kind=event_types[encoder], generation=generation)
                    alone.add(body, ledger, place, message)
                    lanes[scope].offer(alone)
                    continue
                batch = builders[scope].add(body, ledger, place, message, now)
                if batch is not None:
                    lanes[scope].offer(batch)
            elif isinstance(encoding, Skipped):
                ledger.skipped(place, encoding.reason)
                passed += 1
            else:
                assert isinstance(encoding, Rejected)
                ledger.parked(place, Parking(message, "rejected", 0, encoding.detail, "", 0))
                rejected += 1
        self._dispatch.encoded(len(messages) - passed, rejected)
        if self._strings_cut != strings_cut:
            self._meter.truncated(self._strings_cut - strings_cut)

    def flush_aged(self) -> None:
        """Batches that waited long enough go as they are."""
        now = self._clock.monotonic()
        for scope, builder in self._builders.items():
            if len(builder) and now - builder.opened_at >= BATCH_AGE_SECONDS_MAX:
                self.flush(scope)

    def flush(self, scope: str) -> None:
        """The scope's batch goes as it is."""
        batch = self._builders[scope].take()
        if batch is not None:
            self._dispatch.lanes[scope].offer(batch)

    def due_in(self, now: float) -> Iterator[float]:
        """Seconds until each batch that is filling is old enough."""
        for builder in self._builders.values():
            if len(builder):
                yield BATCH_AGE_SECONDS_MAX - (now - builder.opened_at)

    def renewed(self) -> None:
        """The destination was built again: events that are encoded from now on are of its generation."""
        for builder in self._builders.values():
            builder.generation = self._dispatch.generation

    def say_cuts(self, now: float) -> None:
        """Strings that were cut to the destination's limit are counted, and said once a minute."""
        if self._strings_cut and now - self._cuts_said_at >= CUTS_SECONDS:
            self._log.warning("strings changed: cut to the destination's limit, or no UTF-8", count=self._strings_cut)
            self._strings_cut, self._cuts_said_at = 0, now
