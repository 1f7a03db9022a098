"""From records to batches: the sink's hot path, without a log line or a metric per record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog

from streams.delivery.batch import Batch, BatchBuilder, Builder, PartitionBuilder
from streams.delivery.contract import Encoder, Rejected, Remark, Skipped
from streams.delivery.ledger import Ledger, ParkedRecord
from streams.delivery.letter import VERDICT_HEADER, again_of
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.ports.kafka import Message
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.sink.dispatch import Dispatch
from streams.workers.sink.encoders import EncoderCache, SchemaWaits
from streams.workers.sink.ports import SinkPorts

log = structlog.get_logger(__name__)

BATCH_AGE_SECONDS_MAX = 0.2
"""How long a record may wait for its batch to fill: most of the latency at low rates."""
CUTS_SECONDS = 60.0

Hear = Callable[[Remark, Ledger[Message], int, Message], bool]
"""Takes a remark with its place in the ledger, and says whether it was rejected."""


def _nobody_hears(_remark: Remark, _ledger: Ledger[Message], _place: int, _message: Message) -> bool:
    raise AssertionError("a destination without a composer returned a remark")


class _Run:
    """Events of one partition and scope whose records were read one after the other, and that are in no batch yet."""

    __slots__ = ("bodies", "scope", "sizes", "sources")

    def __init__(self) -> None:
        self.scope = ""
        self.sizes: list[int] = []
        self.bodies: list[bytes] = []
        self.sources: list[Message] = []

    def clear(self) -> None:
        self.sizes.clear()
        self.bodies.clear()
        self.sources.clear()


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
        self._builders: dict[str, Builder[Message]] = {
            scope: BatchBuilder[Message](scope, limits)
            if dispatch.destination.composer is None
            else PartitionBuilder[Message](scope, limits)
            for scope in dispatch.lanes
        }
        self.hear: Hear = _nobody_hears
        self._strings_cut = 0
        self._cuts_said_at = ports.clock.monotonic()
        self._log = log.bind(connector=connector)

    def admit(self, messages: Sequence[Message], ledgers: Mapping[int, Ledger[Message]]) -> None:
        """Encode records and fill batches. Headers are read only for a destination that must tell a copy from a
        duplicate."""
        now = self._clock.monotonic()
        encoders, lanes, waiting, topic = self._encoders.by_header, self._dispatch.lanes, self.waiting, self._topic
        destination, invalid = self._dispatch.destination, self._dispatch.invalid
        vets, again, event_types = destination.vetting is not None, destination.again, self._encoders.event_types
        held, verdict_header = waiting.partitions, VERDICT_HEADER
        vetted: set[Encoder] = set()  # those whose kind of event was vetted; answers, which undo this, come in between
        run = _Run()
        run_scope, sizes, bodies, sources = run.scope, run.sizes, run.bodies, run.sources
        number, ledger = -1, ledgers.get(-1)
        start = SINGLE_OBJECT_HEADER_BYTES
        strings_cut = passed = rejected = 0
        for message in messages:
            if message.partition() != number:  # records come in runs of one partition
                self._take(run, ledger, now)
                number = message.partition()
                ledger = ledgers.get(number)
            if ledger is None or (held and waiting.holds((topic, number))):
                passed += 1
                continue
            value = message.value() or b""
            encoder = encoders.get(value[:start])  # most headers are as long as the one before
            if encoder is None:
                try:
                    waited = waiting.waited_seconds((topic, number), message.offset(), now)
                    encoder, start = self._encoders.find(message, value, waited)
                except SchemaWaits as wait:
                    waiting.hold((topic, number), message.offset(), now, wait.why, str(wait))
                    passed += 1
                    continue
            encoding = encoder(value, start)
            if type(encoding) is tuple:
                scope, body, cuts = encoding
                strings_cut += cuts
                if again is not None:
                    for name, _ in message.headers() or ():
                        if name == verdict_header and (job := again_of(message.headers() or ())):
                            body = again(body, job)
                            break
                if scope != run_scope:
                    self._take(run, ledger, now)
                    run.scope = run_scope = scope
                    vetted.clear()
                is_parked, is_alone = False, False
                if invalid and scope in invalid:
                    is_parked = True
                elif vets and encoder not in vetted:
                    is_alone = lanes[scope].vets(event_types[encoder])
                    vetted.add(encoder)
                if not is_parked and not is_alone:
                    sizes.append(len(value))
                    bodies.append(body)
                    sources.append(message)
                    continue
                self._take(run, ledger, now)
                place = ledger.read(message.offset(), len(value))
                if is_parked:
                    refusal = invalid[scope]
                    ledger.parked(place, ParkedRecord(message, "credentials", refusal.status, refusal.detail, scope, 0))
                    passed += 1
                else:
                    kind, generation = event_types[encoder], self._dispatch.generation
                    alone = Batch[Message](scope, alone=True, kind=kind, generation=generation)
                    alone.add(body, ledger, place, message)
                    lanes[scope].offer(alone)
                continue
            self._take(run, ledger, now)
            place = ledger.read(message.offset(), len(value))
            if isinstance(encoding, Skipped):
                ledger.skipped(place, encoding.reason)
                passed += 1
            elif isinstance(encoding, Remark):
                rejected += self.hear(encoding, ledger, place, message)
            else:
                assert isinstance(encoding, Rejected)
                ledger.parked(place, ParkedRecord(message, "rejected", 0, encoding.detail, "", 0))
                rejected += 1
        self._take(run, ledger, now)
        self._dispatch.encoded(len(messages) - passed, rejected)
        if strings_cut:
            self._strings_cut += strings_cut
            self._meter.truncated(strings_cut)

    def _take(self, run: _Run, ledger: Ledger[Message] | None, now: float) -> None:
        """Tell the ledger of these records, and put their events into batches."""
        if ledger is None or not run.bodies:
            return
        place = ledger.read_run([source.offset() for source in run.sources], run.sizes)
        for batch in self._builders[run.scope].add_run(run.bodies, ledger, place, run.sources, now):
            self._dispatch.lanes[run.scope].offer(batch)
        run.clear()

    def flush_aged(self) -> None:
        """Batches that waited long enough go as they are."""
        now = self._clock.monotonic()
        for scope, builder in self._builders.items():
            if len(builder) and now - builder.opened_at >= BATCH_AGE_SECONDS_MAX:
                self.flush(scope)

    def flush(self, scope: str) -> None:
        """What of the scope is filling goes as it is."""
        for batch in self._builders[scope].take_all():
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
            self._log.warning(
                "strings changed: they were too long for the destination, or not UTF-8", count=self._strings_cut
            )
            self._strings_cut, self._cuts_said_at = 0, now
