"""Writes letters to a file, byte for byte. They also stay on their topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from streams.operations.dead_letters.facts import Facts
from streams.operations.dead_letters.filters import Filters, selection_of
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters_of, silent
from streams.operations.dead_letters.topics import DeadLetters, dead_letters, orphaned_letters
from streams.operations.errors import BadRequest, NothingMatched
from streams.operations.installation import Installation
from streams.ports.kafka import Message
from streams.state.letter_file import ExportedLetter, ExportWriter
from streams.state.selection import Selection


@dataclass(frozen=True, slots=True)
class Exported:
    """How many letters were written, and the SHA-256 that identifies the file."""

    letters: int
    sha256: str


def export(
    installation: Installation,
    name: str,
    filters: Filters,
    write: Callable[[bytes], object],
    report: Report = silent,
) -> Exported:
    """The letters that these filters select. Raises `BadRequest`, `NothingMatched` after the first line at the
    latest."""
    dead = dead_letters(installation.settings, name)
    if filters.scope is not None and filters.until is None:
        filters = replace(filters, until="0s")  # a scan may read on to the end; a purge must not
    selection = selection_of(dead, filters, installation.clock.epoch_ms())
    return _written(installation, dead, [selection], write, report)


def export_orphaned(
    installation: Installation,
    name: str,
    filters: Filters,
    write: Callable[[bytes], object],
    report: Report = silent,
) -> Exported:
    """All letters of a connector, or of scopes of it, that left the configuration."""
    if not filters.is_empty:
        raise BadRequest("exports every such letter: leave out the other options that select letters", field="orphaned")
    dead = orphaned_letters(installation.settings, name, installation.cluster.topic_names())
    if dead is None:
        raise NothingMatched(f"no orphaned dead letters of {name}")
    return _written(installation, dead, [Selection(letters=letters) for letters in dead.topics], write, report)


def _written(
    installation: Installation,
    dead: DeadLetters,
    selections: list[Selection],
    write: Callable[[bytes], object],
    report: Report,
) -> Exported:
    writer = ExportWriter(dead.name)
    with open_letters_of(installation, dead) as opened:
        for selection in selections:
            for message in _letters(opened, selection, report):
                if not writer.count:
                    write(writer.first())
                write(writer.letter(_exported(opened, message)))
    if not writer.count:
        raise NothingMatched(f"no letter of {dead.name} matches: nothing was written")
    sha256 = writer.sha256
    write(writer.last())
    return Exported(writer.count, sha256)


def _letters(opened: OpenLetters, selection: Selection, report: Report) -> Iterator[Message]:
    """The selected letters that are not settled, as they are on the topic."""
    facts, taken = Facts(opened.events, selection), 0
    for partition, messages in opened.scan(opened.starts([selection.letters]), report):
        for message in messages:
            if opened.is_settled(partition, message.offset()) or not selection.takes(facts.of(message)):
                continue
            if selection.limit is not None and taken >= selection.limit:
                return
            taken += 1
            yield message


def _exported(opened: OpenLetters, message: Message) -> ExportedLetter:
    return ExportedLetter(
        opened.letters_of(message),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
    )
