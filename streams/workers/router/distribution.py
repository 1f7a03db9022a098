"""From records to the topics of connectors: the router's hot path, without a log line or a metric per record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import structlog

from streams.delivery.account import SourceCause
from streams.delivery.letter import ORIGIN_HEADER
from streams.events.walker import MISSING, PRESENT
from streams.ports.errors import RecordRefused, SchemasUnavailable
from streams.ports.kafka import Headers, Message, Partition
from streams.ports.meters import TRACEPARENT_HEADER
from streams.workers.reading.schema_resolver import Unknown
from streams.workers.reading.waiting_partitions import WaitingPartitions
from streams.workers.router.partitions import PartitionState
from streams.workers.router.ports import RouterPorts
from streams.workers.router.refusals import Refusals
from streams.workers.router.routes import Found, Routes
from streams.workers.router.source_letters import SourceLetters

log = structlog.get_logger(__name__)

SAY_SECONDS = 30.0


class Distribution:
    """Writes each event to the topic of every connector that wants it, in the transaction that is open."""

    def __init__(
        self,
        ports: RouterPorts,
        routes: Routes,
        waiting: WaitingPartitions,
        *,
        refusals: Refusals,
        letters: SourceLetters,
    ) -> None:
        self._transactions = ports.transactions
        self._deletions = ports.deletions
        self._routes = routes
        self._waiting = waiting
        self._refusals = refusals
        self._letters = letters
        self._say_waiting_at = float("-inf")

    def write(
        self, messages: Sequence[Message], states: Mapping[Partition, PartitionState], now: float, trace: bytes
    ) -> None:
        """Write these records, and count them as pending in the states of their partitions.

        Records of partitions that wait, or that are not ours, are passed over. Raises as `Transactions.write` does,
        without `RecordRefused`. After an error what is pending has to be forgotten.
        """
        if self._deletions is not None:
            self._deletions.begin()
        for partition, run in runs(messages):
            state = states.get(partition)
            if state is not None and not self._waiting.holds(partition):
                self._write_run(run, partition, state, now, trace)

    def _write_run(
        self, run: Sequence[Message], partition: Partition, state: PartitionState, now: float, trace: bytes
    ) -> None:
        """Records of one partition, up to one at which the partition has to wait."""
        write, pending, prefix = self._transactions.write, state.pending, state.origin_prefix
        routed, refused = pending.routed, self._refusals.known
        found: Found | None = None
        known = b""  # what the values of this route begin with; empty where a value cannot tell its type
        read = 0
        for message in run:
            value = message.value() or b""
            if found is None or not known or not value.startswith(known):  # most begin as the one before
                found = self._find_route(message, partition, state, now)
                if found is None:
                    if self._waiting.holds(partition):
                        break
                    read += 1
                    continue
                route, start, added = found
                known = b"" if added else value[:start]
            read += 1
            if route.skip is not None:
                pending.skip(route.skip)
                if route.deleted is not None and self._deletions is not None:
                    self._deletions.add(route.deleted(value, start))
                continue
            presence = route.presence(value, start)
            if presence != PRESENT:
                self._leave_out(message, state, presence)
                continue
            headers: Headers = message.headers() or []
            headers.append((ORIGIN_HEADER, prefix + b"%d" % message.offset()))
            if added:
                headers += added
            if trace and not any(name == TRACEPARENT_HEADER for name, _ in headers):
                headers.append((TRACEPARENT_HEADER, trace))
            key = message.key()
            refusals: dict[str, str] | None = None
            for connector, topic in route.targets:
                try:
                    if refused:
                        self._require_not_refused(message, topic)
                    write(topic, value, key, headers)
                except RecordRefused as refusal:
                    refusals = {**(refusals or {}), connector: refusal.why}
                else:
                    routed[connector] = routed.get(connector, 0) + 1
            if refusals is not None:
                self._letters.park_refused(message, state, refusals)
        if read:
            pending.read += read
            state.pending_offset = run[read - 1].offset() + 1

    def _require_not_refused(self, message: Message, topic: str) -> None:
        """Raises `RecordRefused` where Kafka refused the record for this topic before."""
        if why := self._refusals.why((message.topic(), message.partition(), message.offset()), topic):
            raise RecordRefused(topic, why)

    def _leave_out(self, message: Message, state: PartitionState, presence: int) -> None:
        """An event without a user is skipped, and one that cannot be read is parked."""
        if presence == MISSING:
            state.pending.skip("no_external_user_id")
        else:
            self._letters.park(message, state, "undecodable", "undecodable: the datum does not fit its schema")

    def _find_route(self, message: Message, partition: Partition, state: PartitionState, now: float) -> Found | None:
        """Where the record goes; None where it was parked, or its partition waits now."""
        try:
            waited = self._waiting.waited_seconds(partition, message.offset(), now)
            found = self._routes.find(message, partition[0], waited)
        except SchemasUnavailable as error:
            self._say_waiting(error, now)
            self._waiting.hold(partition, message.offset(), now, "registry", str(error))
            return None
        if isinstance(found, Found):
            return found
        if isinstance(found, Unknown) and not found.is_final:
            self._waiting.hold(partition, message.offset(), now, "schema", found.detail)
        else:
            cause: SourceCause = "unknown-schema" if isinstance(found, Unknown) else "undecodable"
            self._letters.park(message, state, cause, found.detail)
        return None

    def _say_waiting(self, error: SchemasUnavailable, now: float) -> None:
        """At once, then every 30 s: it is asked each second, for each partition."""
        if now >= self._say_waiting_at:
            self._say_waiting_at = now + SAY_SECONDS
            log.warning("schema registry does not answer, waiting", error=str(error))


def runs(messages: Sequence[Message]) -> Iterator[tuple[Partition, Sequence[Message]]]:
    """Messages that follow each other and are of one partition, together."""
    topic, number, first = "", -1, 0
    for place, message in enumerate(messages):
        if message.partition() != number or message.topic() != topic:
            if place:
                yield (topic, number), messages[first:place]
            topic, number, first = message.topic(), message.partition(), place
    if messages:
        yield (topic, number), messages[first:]
