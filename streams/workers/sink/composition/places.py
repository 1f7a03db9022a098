"""Places in topics that were deleted and made again: whatever comes from a topic that is gone is older.

    offset 7 of the first topic    ->  place 7
    offset 7 of the second topic   ->  place 7 + 2**44
    offset 7 of the third topic    ->  place 7 + 2 * 2**44

Offsets begin at 0 again in a topic that was made again. If they were places as they are, all that it holds would count
as older than what is remembered, and be skipped. So a row of each partition, `topics`, lists the topics in their order,
each by its mark (`streams.delivery.metadata.topic_mark`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from streams.delivery.letter import Origin, origin_of, verdict_of
from streams.ports.kafka import Message

TOPICS_ROW = b"topics"
UNKNOWN = ""
"""The mark of a topic whose id Kafka did not tell."""
OFFSETS_PER_TOPIC = 1 << 44
"""A partition that takes a million records a second has no more for half a year, and a place stays in 64 bits for half
a million topics."""


@dataclass(frozen=True, slots=True)
class Places:
    """The topics that a partition belonged to, by their marks, the present one last. None known: Kafka tells no ids."""

    topics: tuple[str, ...] = ()

    @property
    def first(self) -> int:
        """The place of offset 0."""
        return max(0, len(self.topics) - 1) * OFFSETS_PER_TOPIC

    def at(self, offset: int) -> int:
        return self.first + offset

    def with_topic(self, mark: str) -> Places:
        """The same where the mark is the present topic's, or is not known."""
        is_present = not mark or self.topics[-1:] == (mark,)
        return self if is_present else Places((*self.topics, mark))

    def of(self, message: Message) -> int:
        """Where a record was first read: a letter that came back keeps its place.

        An origin in another partition, or of a later offset, or of a topic that the partition never belonged to is of
        another cluster: then the record is new here.
        """
        offset, headers = message.offset(), message.headers()
        if not headers:
            return self.at(offset)
        here = Origin(message.topic(), message.partition(), offset)
        origin = origin_of(headers, here)
        verdict = verdict_of(headers)
        mark = verdict.topic if verdict is not None else ""
        if (origin.topic, origin.partition) != (here.topic, here.partition):
            return self.at(offset)
        if mark and self.topics and mark != self.topics[-1]:
            return (
                self.topics.index(mark) * OFFSETS_PER_TOPIC + origin.offset if mark in self.topics else self.at(offset)
            )
        return self.at(min(origin.offset, offset))

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": 1, "topics": self.topics})


def offset_of(place: int) -> int:
    """In the topic that it is of."""
    return place % OFFSETS_PER_TOPIC


def places(value: bytes | None) -> Places:
    """From the row's bytes. Raises `ValueError` for bytes that are none."""
    if value is None:
        return Places()
    try:
        content = orjson.loads(value)
        if content["v"] != 1 or not all(isinstance(mark, str) for mark in content["topics"]):
            raise ValueError("a list of topics of a version that this program does not know")
        return Places(tuple(content["topics"]))
    except (KeyError, TypeError, orjson.JSONDecodeError):
        raise ValueError("not a list of topics") from None
