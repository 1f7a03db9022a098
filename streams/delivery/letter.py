"""Dead letters: the headers that say why a record was parked, beside the source's key, value and foreign headers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

Headers = list[tuple[str, bytes]]

ORIGIN_HEADER = "streams-origin"
EVENT_TYPE_HEADER = "streams-event-type"
CAUSE_HEADER = "streams-cause"
FINGERPRINT_HEADER = "streams-fingerprint"
VERDICT_HEADER = "streams-verdict"
CONNECT_TOPIC_HEADER = "__connect.errors.topic"
CONNECT_PARTITION_HEADER = "__connect.errors.partition"
CONNECT_OFFSET_HEADER = "__connect.errors.offset"
CONNECT_MESSAGE_HEADER = "__connect.errors.exception.message"
"""The names under which Kafka Connect's tools look for why a record was dead-lettered (KIP-298)."""

PARKING_HEADERS = frozenset(
    {
        CAUSE_HEADER,
        FINGERPRINT_HEADER,
        VERDICT_HEADER,
        CONNECT_TOPIC_HEADER,
        CONNECT_PARTITION_HEADER,
        CONNECT_OFFSET_HEADER,
        CONNECT_MESSAGE_HEADER,
    }
)

_VARIABLE = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|'[^']*'|\"[^\"]*\"|\b[0-9a-fA-F]{16,}\b|\d+")


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a Currents record: what `streams-origin` says."""

    topic: str
    partition: int
    offset: int

    def to_header(self) -> bytes:
        return f"{self.topic}/{self.partition}/{self.offset}".encode()

    @classmethod
    def from_header(cls, value: bytes) -> Origin | None:
        """None where the header is not `topic/partition/offset`."""
        match = re.fullmatch(rb"([A-Za-z0-9._-]{1,249})/(\d{1,10})/(\d{1,19})", value)
        return None if match is None else cls(match[1].decode(), int(match[2]), int(match[3]))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record is parked. `detail` is the destination's own words, without secrets and values."""

    cause: str
    status: int
    detail: str
    scope: str
    event_type: str
    attempts: int
    parked_at_ms: int


def fingerprint(reason: Reason) -> str:
    """16 hex digits that letters of one kind share: cause, status, message without its variable parts, event type."""
    message = _VARIABLE.sub("*", reason.detail)
    content = "\n".join((reason.cause, str(reason.status), message, reason.event_type))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def origin_of(headers: Sequence[tuple[str, bytes | None]], read_from: Origin) -> Origin:
    """The Currents record's place: what `streams-origin` says, else where the record was read."""
    for name, value in reversed(headers):
        if name == ORIGIN_HEADER and value is not None:
            return Origin.from_header(value) or read_from
    return read_from


def letter_headers(
    headers: Sequence[tuple[str, bytes | None]], origin: Origin, reason: Reason
) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter: every foreign one as it was, ours replaced, never appended twice."""
    verdict = {
        "status": reason.status,
        "detail": reason.detail,
        "scope": reason.scope,
        "parked_at": reason.parked_at_ms,
        "attempts": reason.attempts,
        "replays": 0,
        "job": None,
    }
    return [
        *((name, value) for name, value in headers if name not in PARKING_HEADERS),
        (CAUSE_HEADER, reason.cause.encode()),
        (FINGERPRINT_HEADER, fingerprint(reason).encode()),
        (VERDICT_HEADER, orjson.dumps(verdict)),
        (CONNECT_TOPIC_HEADER, origin.topic.encode()),
        (CONNECT_PARTITION_HEADER, str(origin.partition).encode()),
        (CONNECT_OFFSET_HEADER, str(origin.offset).encode()),
        (CONNECT_MESSAGE_HEADER, reason.detail.encode()),
    ]
