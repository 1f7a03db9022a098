"""What Braze sends to an HTTP inlet, as records of Currents topics; what cannot be read becomes letters.

A letter holds the bytes as they came: those of one event, or of the whole body. `replay source` maps them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson
import structlog

from streams.delivery.letter import INLET_HEADER, Reason, letter_headers
from streams.events.catalogue import CATALOGUE
from streams.events.custom_http.body import RawItems, TooManyItems, Unreadable, events_in
from streams.events.custom_http.mapping import EventMappings, Unmapped
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped, topic_key
from streams.ports.errors import KafkaRefusal, RecordsRefused
from streams.wayback.reception import Reception
from streams.workers.receiver.requests import CurrentsRequest, NotWritten, Outgoing, Prepared

log = structlog.get_logger(__name__)

LETTER_BYTES_MAX = 1_900_000
"""The topic of letters takes 2 MB, with headers. Braze's largest events have 900 KB."""
UNDECODABLE = "undecodable"
REPEATED = "repeated"
TOPIC_LENGTH_MAX = 249


@dataclass(slots=True)
class _Taken:
    """What one body becomes."""

    outgoing: list[Outgoing] = field(default_factory=list)
    schemas: dict[bytes, WriterSchema] = field(default_factory=dict)
    parked: list[tuple[int, str]] = field(default_factory=list)
    """Number of the event, and why."""
    repeated: int = 0


class EventTopics(Protocol):
    """Sees that Currents topics are there."""

    def make(self, topic: str) -> bool:
        """Whether the topic is there now. Raises `KafkaUnreachable` and `KafkaRefusal`."""
        ...

    def forget(self) -> None:
        """One may have been deleted."""
        ...


class CurrentsIntake:
    """Turns bodies into records; the writer's thread uses it."""

    def __init__(self, letters_topic: str, schemas_topic: str, event_topics: EventTopics) -> None:
        self._letters_topic = letters_topic
        self._schemas_topic = schemas_topic
        self._event_topics = event_topics
        self._mappings = EventMappings()
        shipped()  # it takes half a second, which the first request must not wait for
        self._topics: set[str] = set()
        self._announced: set[bytes] = set()

    def prepared(self, request: CurrentsRequest) -> Prepared:
        """Everything of the request that has to be in Kafka before it is answered.

        Raises `NotWritten` and `KafkaUnreachable`: then Braze has to try again.
        """
        try:
            if request.problem:
                return self._all_parked(request, request.problem)
            events = events_in(request.body)
            taken = self._taken(request, events)
        except TooManyItems:
            return _too_large(request, "the body holds too many items")
        except (Unreadable, RecursionError) as error:
            why = str(error) if isinstance(error, Unreadable) else "the body is nested too deeply"
            return self._all_parked(request, why)
        letters = RawItems(request.body, events).at([number for number, _ in taken.parked]) if taken.parked else []
        if any(len(letter) > LETTER_BYTES_MAX for letter in letters):
            return _too_large(request, "an event that cannot be read is too large to be parked")
        written = len(taken.outgoing)
        parked = dict.fromkeys((raw, why) for raw, (_, why) in zip(letters, taken.parked, strict=True))
        outgoing = taken.outgoing + [self._letter(request, raw, why) for raw, why in parked]
        skipped = Counter({UNDECODABLE: len(parked), REPEATED: taken.repeated + len(letters) - len(parked)})
        return Prepared(
            request,
            Reception(200, {"written": written, "parked": len(parked)}),
            outgoing,
            +skipped,
            sum(len(record[2]) for record in outgoing),
            written,
            taken.schemas,
        )

    def new_schemas(self, batch: Iterable[Prepared]) -> list[Outgoing]:
        """Schemas of these records that no reader was told of yet, as records of the topic of schemas."""
        found: dict[bytes, WriterSchema] = {}
        for one in batch:
            found.update((mark, schema) for mark, schema in one.schemas.items() if mark not in self._announced)
        return [
            (self._schemas_topic, topic_key(schema), orjson.dumps(schema.definition), -1, None)
            for schema in found.values()
        ]

    def announced(self, records: Sequence[Outgoing]) -> None:
        """They are committed."""
        self._announced.update(bytes.fromhex((record[1] or b"").decode()) for record in records)

    def forget_topics(self) -> None:
        """They are looked for again."""
        self._topics.clear()
        self._event_topics.forget()

    def is_letter(self, record: Outgoing) -> bool:
        return record[0] == self._letters_topic

    def refused(self, request: CurrentsRequest, record: Outgoing, error: RecordsRefused) -> Outgoing:
        """The letter of an event that its topic does not take: the record itself, as it cannot be told any more which
        bytes it came from."""
        return self._letter(request, record[2], f"Kafka does not take it: {error.refusals.get(record[0], '')}")

    def _taken(self, request: CurrentsRequest, events: Sequence[object]) -> _Taken:
        taken = _Taken()
        seen: set[bytes] = set()
        topics: dict[bytes, str] = {}
        record = self._mappings.record
        for number, event in enumerate(events):
            try:
                schema, key, value = record(event)
                topic = topics.get(schema.fingerprint)
                if topic is None:
                    topic = topics[schema.fingerprint] = self._topic(request.topic_prefix, schema.event_type)
                    taken.schemas[schema.fingerprint] = schema
            except Unmapped as error:
                taken.parked.append((number, str(error)))
                continue
            if value in seen:  # with the id in it
                taken.repeated += 1
                continue
            seen.add(value)
            taken.outgoing.append((topic, key, value, -1, None))
        return taken

    def _topic(self, prefix: str, event_type: str) -> str:
        """The topic of an event type. Raises `Unmapped` where an unknown type has none, and `NotWritten` for others."""
        topic = prefix + event_type
        if topic in self._topics:
            return topic
        if len(topic) > TOPIC_LENGTH_MAX:
            raise Unmapped("its event_type is too long for a topic's name")
        try:
            is_there = self._event_topics.make(topic)
        except KafkaRefusal as error:
            log.warning("a topic of events cannot be made", topic=topic, error=str(error))
            is_there = False
        if is_there:
            self._topics.add(topic)
            return topic
        why = f"there is no topic {topic}, and none was made; make it, or set kafka.topics.create"
        if event_type in CATALOGUE:
            raise NotWritten(why)
        raise Unmapped(why)  # Braze may add types at any time: one that is new must not hold up the others

    def _all_parked(self, request: CurrentsRequest, why: str) -> Prepared:
        content = request.body
        if len(content) > LETTER_BYTES_MAX:
            return _too_large(request, "a body that cannot be read is too large to be parked")
        letter = self._letter(request, content, why)
        return Prepared(
            request, Reception(200, {"written": 0, "parked": 1}), [letter], Counter({UNDECODABLE: 1}), len(content), 0
        )

    def _letter(self, request: CurrentsRequest, content: bytes, why: str) -> Outgoing:
        reason = Reason(UNDECODABLE, 0, why, "", "", 0, request.received_ms)
        headers = letter_headers([(INLET_HEADER, request.inlet.encode())], None, reason)
        return self._letters_topic, None, content, -1, headers


def _too_large(request: CurrentsRequest, why: str) -> Prepared:
    """Braze splits what is answered so, and sends the parts."""
    return Prepared(request, Reception(413, {"error": why}), [], Counter(), 0, 0)
