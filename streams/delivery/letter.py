"""Dead letters: the source's key, value and foreign headers, with headers that say why it was parked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

AnyHeaders = Sequence[tuple[str, bytes | None]]

ORIGIN_HEADER = "streams-origin"
EVENT_TYPE_HEADER = "streams-event-type"
CAUSE_HEADER = "streams-cause"
FINGERPRINT_HEADER = "streams-fingerprint"
VERDICT_HEADER = "streams-verdict"
INLET_HEADER = "streams-inlet"
"""The HTTP inlet that a letter came to: its value is what Braze sent, and no record of a topic."""
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
    topic: str = ""
    """The mark of the topic that it was read from; only where places are remembered."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the header `streams-verdict` says. `replays` counts orders of people, `job` is the last of them.

    `again` is the job that sends a settled letter once more: its destination must not take it for a duplicate.
    `topic` is the mark of the connector's topic that the letter was first read from: it tells whether its origin is a
    place of this topic. Only letters of connectors that remember places have it. `first_parked_at_ms` is when a letter
    that came back was parked the first time; 0 in one that was parked once.
    """

    status: int = 0
    detail: str = ""
    scope: str = ""
    parked_at_ms: int = 0
    attempts: int = 0
    replays: int = 0
    job: str | None = None
    again: str | None = None
    topic: str = ""
    first_parked_at_ms: int = 0

    @property
    def since_ms(self) -> int:
        """When the letter was parked the first time."""
        return self.first_parked_at_ms or self.parked_at_ms

    def to_header(self) -> bytes:
        content = {
            "status": self.status,
            "detail": self.detail,
            "scope": self.scope,
            "parked_at": self.parked_at_ms,
            "attempts": self.attempts,
            "replays": self.replays,
            "job": self.job,
        }
        rare = {"again": self.again, "topic": self.topic, "first_parked_at": self.first_parked_at_ms}
        return orjson.dumps(content | {name: value for name, value in rare.items() if value})

    @classmethod
    def from_header(cls, value: bytes | None) -> Verdict | None:
        """None where the header is not there, or not as we write it."""
        try:
            content = orjson.loads(value or b"")
            return cls(
                status=int(content["status"]),
                detail=str(content["detail"]),
                scope=str(content["scope"]),
                parked_at_ms=int(content["parked_at"]),
                attempts=int(content["attempts"]),
                replays=int(content["replays"]),
                job=content.get("job"),
                again=content.get("again"),
                topic=str(content.get("topic", "")),
                first_parked_at_ms=int(content.get("first_parked_at", 0)),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None


def header_of(headers: AnyHeaders, name: str) -> bytes | None:
    """The last header of this name, which is the one that counts."""
    for header, value in reversed(headers):
        if header == name:
            return value
    return None


def verdict_of(headers: AnyHeaders) -> Verdict | None:
    """What the record's `streams-verdict` says; None where it has none that can be read."""
    return Verdict.from_header(header_of(headers, VERDICT_HEADER))


def again_of(headers: AnyHeaders) -> str | None:
    """The job that sends this settled letter once more; None for every other record."""
    for name, value in headers:
        if name == VERDICT_HEADER:
            verdict = Verdict.from_header(value)
            return None if verdict is None else verdict.again
    return None


def fingerprint(reason: Reason) -> str:
    """16 hex digits that letters of one kind share: cause, status, message without its variable parts, event type."""
    message = normalised(reason.detail)
    content = "\n".join((reason.cause, str(reason.status), message, reason.event_type))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def normalised(detail: str) -> str:
    """A message with its variable parts as `*`."""
    return _VARIABLE.sub("*", detail)


def origin_of(headers: AnyHeaders, read_from: Origin) -> Origin:
    """The Currents record's place: what `streams-origin` says, else where the record was read."""
    value = header_of(headers, ORIGIN_HEADER)
    return read_from if value is None else Origin.from_header(value) or read_from


def parked_from(headers: AnyHeaders) -> Origin | None:
    """The Currents record's place, as it was written when the record was parked; None where we did not park it."""
    parts = [
        header_of(headers, name) or b""
        for name in (CONNECT_TOPIC_HEADER, CONNECT_PARTITION_HEADER, CONNECT_OFFSET_HEADER)
    ]
    return Origin.from_header(b"/".join(parts))


def foreign_headers(headers: AnyHeaders) -> list[tuple[str, bytes | None]]:
    """The headers that the record had before it was parked."""
    return [(name, value) for name, value in headers if name not in PARKING_HEADERS]


def letter_headers(headers: AnyHeaders, origin: Origin | None, reason: Reason) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter: every foreign one as it was, ours replaced, never appended twice.

    A record that was parked before keeps its history: attempts are summed; replays, job and the time of the first
    parking stay. What came over HTTP was on no topic before, and has no `origin`.
    """
    before = verdict_of(headers) or Verdict()
    verdict = Verdict(
        status=reason.status,
        detail=reason.detail,
        scope=reason.scope,
        parked_at_ms=reason.parked_at_ms,
        attempts=before.attempts + reason.attempts,
        replays=before.replays,
        job=before.job,
        topic=before.topic or reason.topic,
        first_parked_at_ms=before.since_ms,
    )
    place: list[tuple[str, bytes | None]] = []
    if origin is not None:
        place = [
            (CONNECT_TOPIC_HEADER, origin.topic.encode()),
            (CONNECT_PARTITION_HEADER, str(origin.partition).encode()),
            (CONNECT_OFFSET_HEADER, str(origin.offset).encode()),
        ]
    return [
        *foreign_headers(headers),
        (CAUSE_HEADER, reason.cause.encode()),
        (FINGERPRINT_HEADER, fingerprint(reason).encode()),
        (VERDICT_HEADER, verdict.to_header()),
        *place,
        (CONNECT_MESSAGE_HEADER, reason.detail.encode()),
    ]


def returned_headers(
    headers: AnyHeaders, *, job: str | None = None, again: bool = False
) -> list[tuple[str, bytes | None]]:
    """The headers of a letter on its way back: as before it was parked, and its history in `streams-verdict`.

    `job` is the order of a person, which counts as a replay; a redrive has none. `again` marks a copy of a settled
    letter.
    """
    verdict = verdict_of(headers) or Verdict()
    if job is not None:
        verdict = replace(verdict, replays=verdict.replays + 1, job=job, again=job if again else None)
    kept = foreign_headers(headers)
    origin = parked_from(headers)
    if origin is not None and header_of(headers, ORIGIN_HEADER) is None:
        # What a receiver wrote has no origin: without one it would lose its place behind later words.
        kept.append((ORIGIN_HEADER, origin.to_header()))
    return [*kept, (VERDICT_HEADER, verdict.to_header())]
