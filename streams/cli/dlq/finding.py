"""Finds the one letter that a person means: by its place, its event, or its group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.cli.dlq.place import DeadLetters
from streams.cli.dlq.reading import names_by_topic, scanned, starts_of
from streams.cli.dlq.selecting import check_fingerprint
from streams.cli.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from streams.adapters.kafka.admin import Administration
    from streams.ports.kafka import Message
    from streams.state.standing import Standing
    from streams.workers.reading.schema_resolver import SchemaResolver


@dataclass(frozen=True, slots=True)
class Found:
    """A letter and where it lies."""

    letters: str
    message: Message

    @property
    def place(self) -> str:
        return f"{self.letters}/{self.message.partition()}/{self.message.offset()}"


def letter_at(dead: DeadLetters, administration: Administration, standing: Standing, place: str) -> Found:
    letters, _, rest = place.partition("/")
    number, _, offset = rest.partition("/")
    if letters not in dead.topics or not number.isdigit() or not offset.isdigit():
        there_are = ", ".join(dead.topics)
        mend = f"it must be letters/partition/offset, where letters is one of: {there_are}"
        raise CommandError(f"--offset: {place} is no place of a letter of {dead.name}; {mend}", ExitCode.USAGE)
    partition = (dead.topics[letters], int(number))
    if partition in administration.partitions(partition[0]):
        for _, messages in scanned(dead, {partition: int(offset)}, "read"):
            if messages[0].offset() == int(offset):
                return _visible(standing, Found(letters, messages[0]))
            break
    raise CommandError(f"there is no letter at {place}", ExitCode.NOTHING_MATCHED)


def letter_of_event(
    dead: DeadLetters,
    administration: Administration,
    standing: Standing,
    resolver: SchemaResolver,
    event_id: str,
) -> Found:
    """The newest letter of the event: one that was replayed may have been parked again."""
    from streams.workers.reading.event_reader import EventReader

    events, names, mark = EventReader(resolver), names_by_topic(dead), event_id.encode()
    newest: tuple[int, Found] | None = None
    for (topic, number), messages in scanned(dead, _all_starts(administration, dead, standing), "searched"):
        for message in messages:
            if mark not in (message.value() or b"") or events.read(message).event_id != event_id:
                continue
            if _is_gone(standing, names[topic], number, message.offset()):
                continue
            parked_ms = _parked_ms(message)
            if newest is None or parked_ms >= newest[0]:
                newest = parked_ms, Found(names[topic], message)
    if newest is None:
        raise CommandError(f"no letter of {dead.name} holds the event {event_id}", ExitCode.NOTHING_MATCHED)
    return newest[1]


def letter_with_fingerprint(
    dead: DeadLetters, administration: Administration, standing: Standing, fingerprint: str
) -> Found:
    from streams.delivery.letter import FINGERPRINT_HEADER, header_of

    check_fingerprint(fingerprint)
    names = names_by_topic(dead)
    for (topic, number), messages in scanned(dead, _all_starts(administration, dead, standing), "searched"):
        for message in messages:
            if standing.is_settled((names[topic], number), message.offset()):
                continue
            if header_of(message.headers() or [], FINGERPRINT_HEADER) == fingerprint.encode():
                return Found(names[topic], message)
    raise CommandError(f"no letter of {dead.name} has the fingerprint {fingerprint}", ExitCode.NOTHING_MATCHED)


def _all_starts(administration: Administration, dead: DeadLetters, standing: Standing) -> Mapping[tuple[str, int], int]:
    return starts_of(administration, dead, standing, dead.topics)


def _visible(standing: Standing, found: Found) -> Found:
    if _is_gone(standing, found.letters, found.message.partition(), found.message.offset()):
        raise CommandError(
            f"the letter at {found.place} is gone: replayed, redriven, purged or expired; the audit topic says which",
            ExitCode.NOTHING_MATCHED,
        )
    return found


def _is_gone(standing: Standing, letters: str, number: int, offset: int) -> bool:
    """What lies before a cursor left for good; of the letters after it, those that a person purged."""
    from streams.state.plan import is_purged

    return offset < standing.cursor((letters, number)) or is_purged(standing, letters, number, offset)


def _parked_ms(message: Message) -> int:
    from streams.delivery.letter import verdict_of

    verdict = verdict_of(message.headers() or [])
    return 0 if verdict is None else verdict.parked_at_ms
