"""Single letters of one kind, one row each: the first ones of what may be a million."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from streams.delivery.letter import FINGERPRINT_HEADER, header_of
from streams.operations.dead_letters.filters import check_fingerprint
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters, silent
from streams.operations.installation import Installation
from streams.ports.kafka import Message
from streams.state.moments import iso
from streams.state.selection import LetterFacts


@dataclass(frozen=True, slots=True)
class Row:
    """One letter without its value. `topic`, `partition` and `offset` are its place."""

    topic: str
    partition: int
    offset: int
    cause: str
    status: int
    detail: str
    event_type: str
    parked_at_ms: int
    first_parked_at_ms: int
    replays: int

    def to_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "cause": self.cause,
            "status": self.status,
            "detail": self.detail,
            "event_type": self.event_type,
            "parked_at": iso(self.parked_at_ms),
            "first_parked_at": iso(self.first_parked_at_ms),
            "replays": self.replays,
        }


@dataclass(frozen=True, slots=True)
class Rows:
    """The first letters that were found. `is_cut`: there may be more."""

    rows: tuple[Row, ...]
    is_cut: bool


def rows(installation: Installation, name: str, fingerprint: str, limit: int, report: Report = silent) -> Rows:
    """Unsettled letters of one group. Raises `BadRequest`, `KafkaUnreachable` and `StateError`."""
    check_fingerprint(fingerprint)
    found: list[Row] = []
    with open_letters(installation, name) as opened:
        for message in _of_group(opened, fingerprint.encode(), report):
            found.append(_row(opened, message))
            if len(found) >= limit:
                return Rows(tuple(found), is_cut=True)
    return Rows(tuple(found), is_cut=False)


def _of_group(opened: OpenLetters, fingerprint: bytes, report: Report) -> Iterator[Message]:
    for partition, messages in opened.scan(opened.starts(opened.dead.topics), report):
        for message in messages:
            if header_of(message.headers() or [], FINGERPRINT_HEADER) != fingerprint:
                continue
            if not opened.is_settled(partition, message.offset()):
                yield message


def _row(opened: OpenLetters, message: Message) -> Row:
    facts = LetterFacts.of(message.headers() or [], opened.events.read_now(message).event_type)
    verdict = facts.verdict
    return Row(
        message.topic(),
        message.partition(),
        message.offset(),
        facts.cause,
        verdict.status,
        verdict.detail,
        facts.event_type,
        verdict.parked_at_ms,
        verdict.since_ms,
        verdict.replays,
    )
