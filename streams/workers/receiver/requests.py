"""One request to the receiver on its way into Kafka: as it came, and as the records that it becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import orjson
import structlog

from streams.delivery.received import INLET_PREFIX
from streams.events.schema import WriterSchema
from streams.ports.kafka import Headers
from streams.wayback.bodies.taken import Taken
from streams.wayback.entries import Entry
from streams.wayback.reception import Reception, receive
from streams.wayback.records import BODY_BYTES_MAX, Malformed, Page, Record, encode

log = structlog.get_logger(__name__)

UNREADABLE = "the receiver cannot read this"


class NotWritten(Exception):
    """The request is not in Kafka, and the sender must try again; the text says why, without any value."""


@dataclass(slots=True)
class ReceivedRequest:
    """A whole body that waits for its answer.

    Who waits may cancel `answer` until the request's transaction begins: then nothing of it is written.
    """

    connector: str
    entry_name: str
    entry: Entry
    body: bytes
    received_ms: int
    id: str
    answer: Future[Reception] = field(default_factory=Future)

    @property
    def account(self) -> str:
        """The name under which it is counted."""
        return self.connector


@dataclass(slots=True)
class CurrentsRequest:
    """Events of Braze for an HTTP inlet. Its answer is as that of `ReceivedRequest`.

    `body` is as inflated; as it came, where that cannot be done. `problem` says why it cannot be read, if so.
    """

    inlet: str
    topic_prefix: str
    body: bytes
    problem: str
    received_ms: int
    answer: Future[Reception] = field(default_factory=Future)

    @property
    def account(self) -> str:
        """The name under which it is counted: no connector has one with a colon."""
        return inlet_account(self.inlet)


def inlet_account(inlet: str) -> str:
    return f"{INLET_PREFIX}{inlet}"


Outgoing = tuple[str, bytes | None, bytes, int, Headers | None]
"""Topic, key, value, partition (-1 where the key decides), and headers."""


@dataclass(slots=True)
class Prepared:
    """What has to be in Kafka before the request is answered."""

    request: ReceivedRequest | CurrentsRequest
    reception: Reception
    outgoing: list[Outgoing]
    skipped: Counter[str]
    size_bytes: int
    received: int
    """How many of the records count as received."""
    schemas: Mapping[bytes, WriterSchema] = field(default_factory=dict)
    """By fingerprint, those that readers must know before the records come."""


def prepared(request: ReceivedRequest, topic: str, partitions: Callable[[], int]) -> Prepared:
    """The request as records. `partitions` is how many its topic has. Raises `KeysUnreadable`.

    Only values are kept: a body may hold a hundred thousand items, and records of them all would fill the memory.
    """
    reception = received(request)
    taken = reception.taken
    if taken is None:
        return Prepared(request, reception, [], Counter(), 0, 0)
    outgoing: list[Outgoing] = []
    taken.records.reverse()
    while taken.records:  # each is let go once it is encoded
        outgoing += outgoing_of(taken.records.pop(), topic, partitions)
    skipped: Counter[str] = Counter()
    skipped.update(taken.skipped)
    answered = Reception(reception.status, reception.content)
    size_bytes = sum(len(record[2]) for record in outgoing)
    return Prepared(request, answered, outgoing, skipped, size_bytes, len(outgoing))


def received(request: ReceivedRequest) -> Reception:
    """What becomes of the body. Raises `KeysUnreadable`.

    A body that the program fails on must not fail again with each retry: it is kept as a malformed record.
    """
    try:
        return receive(request.entry_name, request.entry, request.body, request.received_ms, request.id)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as fault:
        log.error(  # noqa: TRY400 - the text of the fault may hold what a vendor sent
            "a body is not understood: it is kept as malformed",
            connector=request.connector,
            entry=request.entry_name,
            fault=type(fault).__name__,
        )
        taken = Taken(request.entry_name, request.received_ms, request.id)
        taken.records.append(
            malformed_text(request, UNREADABLE, request.body[:BODY_BYTES_MAX].decode(errors="replace"))
        )
        return Reception(200, {}, taken)


def outgoing_of(record: Record, topic: str, partitions: Callable[[], int]) -> list[Outgoing]:
    """A record as Kafka takes it: a page goes to every partition, so that each knows that it has all of its members."""
    try:
        value = encode(record)
    except (TypeError, ValueError):
        record = as_malformed(record, "a field does not fit")
        value = encode(record)
    if isinstance(record, Page):
        return [(topic, None, value, number, None) for number in range(partitions())]
    # A repeated malformed item is found by its id, so it must come to the same partition.
    return [(topic, (record.external_user_id or record.id).encode(errors="replace"), value, -1, None)]


def as_malformed(record: Record, reason: str) -> Malformed:
    """A record that cannot go as it is."""
    fields = {name: getattr(record, name) for name in type(record).__dataclass_fields__}
    try:
        body = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)[:BODY_BYTES_MAX].decode(errors="ignore")
    except (TypeError, ValueError):
        body = ""
    return _malformed(record.id, record.entry, record.received_ms, reason, body)


def malformed_text(request: ReceivedRequest, reason: str, text: str) -> Malformed:
    return _malformed(request.id, request.entry_name, request.received_ms, reason, text)


def _malformed(record_id: str, entry: str, received_ms: int, reason: str, body: str) -> Malformed:
    return Malformed(id=record_id, entry=entry, time_ms=received_ms, received_ms=received_ms, reason=reason, body=body)
