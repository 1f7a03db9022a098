"""One letter: why it was parked, its event, and what a replay would send now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streams.delivery.contract import Rejected, Remark, Skipped
from streams.delivery.letter import Origin, Verdict, origin_of, parked_from
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters, silent
from streams.operations.dead_letters.search import letter_at, letter_of_event, letter_with_fingerprint
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Message
from streams.state.moments import iso
from streams.state.redaction import masked, masked_text
from streams.state.selection import LetterFacts
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import Known, event_type_header


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letter: exactly one of these."""

    event_id: str | None = None
    offset: str | None = None
    """Its place: `letters/partition/offset`."""
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter as it may be shown. `origin` is the place of the Currents record. `sent` is what a replay would send,
    or why it would send nothing, or why that is not known here. For the source: the connectors that would get the
    event."""

    connector: str
    place: str
    topic: str
    is_settled: bool
    origin: Origin
    cause: str
    fingerprint: str
    verdict: Verdict
    event_type: str
    event_id: str
    key: str | None
    headers: tuple[tuple[str, str | None], ...]
    payload: Any
    sent: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        verdict = self.verdict
        return {
            "connector": self.connector,
            "place": self.place,
            "topic": self.topic,
            "settled": "replayed" if self.is_settled else None,
            "origin": self.origin.to_header().decode(),
            "cause": self.cause,
            "fingerprint": self.fingerprint,
            "verdict": {
                "status": verdict.status,
                "detail": verdict.detail,
                "scope": verdict.scope,
                "parked_at": iso(verdict.parked_at_ms),
                "first_parked_at": iso(verdict.since_ms),
                "attempts": verdict.attempts,
                "replays": verdict.replays,
                "job": verdict.job,
            },
            "event_type": self.event_type,
            "event_id": self.event_id,
            "key": self.key,
            "headers": [{"name": name, "value": value} for name, value in self.headers],
            "payload": self.payload,
            "sent": dict(self.sent),
        }


def letter(
    installation: Installation, name: str, wanted: Wanted, *, shows_all: bool = False, report: Report = silent
) -> Letter:
    """The letter. Personal data is hidden unless `shows_all`; secrets always are.

    Raises `BadRequest`, `NothingMatched` and `KafkaUnreachable`.
    """
    given = [one for one in (wanted.event_id, wanted.offset, wanted.fingerprint) if one is not None]
    if len(given) != 1:
        raise BadRequest("name the letter with one of these", fields=("event-id", "offset", "fingerprint"))
    with open_letters(installation, name) as opened:
        if wanted.offset is not None:
            message = letter_at(opened, wanted.offset, report)
        elif wanted.event_id is not None:
            message = letter_of_event(opened, wanted.event_id, report)
        else:
            message = letter_with_fingerprint(opened, given[0], report)
        return _shown(opened, message, shows_all)


def _shown(opened: OpenLetters, message: Message, shows_all: bool) -> Letter:
    events, headers = opened.events, message.headers() or []
    event, record = events.read_now(message), _payload(events, message)
    facts = LetterFacts.of(headers)
    here = Origin(message.topic(), message.partition(), message.offset())
    return Letter(
        connector=opened.dead.name,
        place=opened.place(message),
        topic=message.topic(),
        is_settled=opened.is_settled((message.topic(), message.partition()), message.offset()),
        origin=origin_of(headers, parked_from(headers) or here),
        cause=facts.cause,
        fingerprint=facts.fingerprint,
        verdict=facts.verdict,
        event_type=event.event_type,
        event_id=event.event_id,
        key=masked_text(message.key(), shows_all=shows_all),
        headers=tuple((name, masked_text(value, shows_all=shows_all or _is_ours(name))) for name, value in headers),
        payload=None if record is None else masked(record, shows_all=shows_all),
        sent=_sent(opened, message, shows_all),
    )


def _payload(events: EventReader, message: Message) -> dict[str, Any] | None:
    try:
        return events.record(message)
    except SchemasUnavailable:
        return None  # `sent` says why


def _is_ours(name: str) -> bool:
    return name.startswith(("streams-", "__connect.errors."))


def _sent(opened: OpenLetters, message: Message, shows_all: bool) -> dict[str, Any]:
    value = message.value()
    try:
        resolution = opened.resolver.resolve(value, "", event_type_header(message) if value else None)
    except SchemasUnavailable as error:
        return {"rejected": f"the schema registry does not answer: {error}"}
    if not isinstance(resolution, Known):
        return {"rejected": resolution.detail}
    dead, event_type = opened.dead, resolution.schema.event_type
    if dead.connector is None:
        connectors = dead.settings.connectors.values()
        return {"routed_to": [connector.name for connector in connectors if event_type in connector.event_types]}
    try:
        destination = dead.connector.build()
    except ValueError as error:  # only this part of the letter needs the secrets
        return {"unknown": str(error)}
    encoder = destination.encoder(resolution.schema)
    if encoder is None:
        return {"rejected": f"no mapping for event type {event_type}"}
    match encoder(value or b"", resolution.start):
        case Skipped(reason):
            return {"skipped": reason}
        case Rejected(detail):
            return {"rejected": detail}
        case Remark(body):
            return {"remembered": _body(body, shows_all=shows_all)}
        case (scope, body, cut):
            return {"scope": scope, "body": _body(body, shows_all=shows_all), "truncated": cut}


def _body(body: bytes, *, shows_all: bool) -> Any:
    """The value as JSON, if it is JSON; else as text. Text is shown completely or not at all."""
    try:
        return masked(orjson.loads(body), shows_all=shows_all)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace") if shows_all else f"({len(body)} bytes)"
