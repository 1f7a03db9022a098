"""Finds one letter: by its place, its event, or its group."""

from __future__ import annotations

from streams.delivery.letter import FINGERPRINT_HEADER, header_of, verdict_of
from streams.operations.dead_letters.filters import check_fingerprint
from streams.operations.dead_letters.open_letters import OpenLetters, Report
from streams.operations.errors import BadRequest, NothingMatched
from streams.ports.kafka import Message


def letter_at(opened: OpenLetters, place: str, report: Report) -> Message:
    """The letter at `letters/partition/offset`. Raises `BadRequest` and `NothingMatched`."""
    dead = opened.dead
    letters, _, rest = place.partition("/")
    number, _, offset = rest.partition("/")
    if letters not in dead.topics or not number.isdigit() or not offset.isdigit():
        there_are = ", ".join(dead.topics)
        raise BadRequest(
            f"{place} is not the place of a letter of {dead.name}: it must be letters/partition/offset. letters is "
            f"one of: {there_are}",
            field="offset",
        )
    partition = (dead.topics[letters], int(number))
    if partition in opened.installation.cluster.partitions(partition[0]):
        for _, messages in opened.scan({partition: int(offset)}, report):
            if messages[0].offset() == int(offset):
                return _still_there(opened, messages[0])
            break
    raise NothingMatched(f"there is no letter at {place}")


def letter_of_event(opened: OpenLetters, event_id: str, report: Report) -> Message:
    """The newest letter of the event, because a replayed event may be parked again. Raises `NothingMatched`."""
    events, mark = opened.events, event_id.encode()
    newest: tuple[int, Message] | None = None
    for _, messages in opened.scan(opened.starts(opened.dead.topics), report):
        for message in messages:
            if mark not in (message.value() or b"") or events.read(message).event_id != event_id:
                continue
            parked_ms = _parked_ms(message)
            if not opened.is_gone(message) and (newest is None or parked_ms >= newest[0]):
                newest = parked_ms, message
    if newest is None:
        raise NothingMatched(f"no letter of {opened.dead.name} is of the event {event_id}")
    return newest[1]


def letter_with_fingerprint(opened: OpenLetters, fingerprint: str, report: Report) -> Message:
    """The first unsettled letter of a group. Raises `BadRequest` and `NothingMatched`."""
    check_fingerprint(fingerprint)
    for partition, messages in opened.scan(opened.starts(opened.dead.topics), report):
        for message in messages:
            if opened.is_settled(partition, message.offset()):
                continue
            if header_of(message.headers() or [], FINGERPRINT_HEADER) == fingerprint.encode():
                return message
    raise NothingMatched(f"no letter of {opened.dead.name} has the fingerprint {fingerprint}")


def _still_there(opened: OpenLetters, message: Message) -> Message:
    if opened.is_gone(message):
        raise NothingMatched(
            f"the letter at {opened.place(message)} was settled: replayed, redriven, purged or expired; "
            f"`streams audit {opened.dead.name}` says which"
        )
    return message


def _parked_ms(message: Message) -> int:
    verdict = verdict_of(message.headers() or [])
    return 0 if verdict is None else verdict.parked_at_ms
