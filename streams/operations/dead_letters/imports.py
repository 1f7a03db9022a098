"""Writes letters from a file back to their dead-letter topics: first the whole file is checked, then each is written
once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from streams.operations.dead_letters.open_letters import Report, silent
from streams.operations.dead_letters.topics import DeadLetters, dead_letters
from streams.operations.errors import BadRequest, OperationError
from streams.operations.installation import Installation
from streams.operations.state_views import state_view_of
from streams.ports.errors import Fenced, TransactionAborted
from streams.state.letter_file import LABEL, ExportError, ExportReader
from streams.state.records import Imported, key
from streams.workers.letter_import import Import

IDENTITY_DIGITS = 16
"""How many digits of the file's SHA-256 are in the key of its progress."""


@dataclass(frozen=True, slots=True)
class LetterFile:
    """A file of exported letters. Each call of `lines` opens it and returns its lines from the first."""

    name: str
    lines: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class ImportedLetters:
    """How many letters were written now and before, and the sum by cause."""

    sha256: str
    letters: int
    letters_before: int
    causes: Mapping[str, int]
    refusals: Sequence[tuple[int, str]]
    """Letters (by number, from 1) that Kafka refused, and why."""


def import_letters(
    installation: Installation, name: str, file: LetterFile, *, again: str = "", report: Report = silent
) -> ImportedLetters:
    """Import the file. If an earlier import of it stopped, go on there. `again` is the label of another import of the
    file.

    Raises `BadRequest`, `OperationError`, and what reading the file raises.
    """
    dead = dead_letters(installation.settings, name)
    if again and not LABEL.fullmatch(again):
        raise BadRequest("a label is 1 to 40 letters, digits, dots, dashes", field="again")
    sha256 = _verified(installation, dead, file)
    identity = "/".join(part for part in (sha256[:IDENTITY_DIGITS], again) if part)
    try:
        return _imported(installation, dead, file, sha256, identity, report)
    except Fenced:
        raise OperationError(
            "another import of this connector's letters took over; run this one again when it is done"
        ) from None
    except ExportError as error:
        raise OperationError(
            f"{file.name} changed while it was read: {error}; run it again with the old file, and it "
            "continues where it stopped"
        ) from None
    except TransactionAborted as error:
        raise OperationError(
            f"Kafka refused the letters ({error}); run it again, it continues where it stopped"
        ) from None


def _verified(installation: Installation, dead: DeadLetters, file: LetterFile) -> str:
    """Read the whole file before anything is written. Returns its SHA-256."""
    reader, first_lines = ExportReader(), dict[str, int]()
    try:
        for letter in reader.read(file.lines()):
            first_lines.setdefault(letter.letters, reader.count + 1)
    except ExportError as error:
        raise OperationError(f"{file.name}, {error}; nothing was imported") from None
    if reader.connector != dead.name:
        raise BadRequest(f"{file.name} holds letters of {reader.connector}, not of {dead.name}")
    there = installation.cluster.topic_names()
    for letters, line in first_lines.items():
        if letters not in dead.topics:
            there_are = ", ".join(dead.topics)
            raise BadRequest(f"{file.name}, line {line}: {dead.name} has no letters {letters}. Names: {there_are}")
        if dead.topics[letters] not in there:
            raise OperationError(f"there is no topic {dead.topics[letters]}; make it with `streams topics apply`")
    return reader.sha256


def _imported(
    installation: Installation, dead: DeadLetters, file: LetterFile, sha256: str, identity: str, report: Report
) -> ImportedLetters:
    settings = installation.settings
    # This fences an import that runs elsewhere. Its progress is read after that.
    with installation.open_transactions(f"{settings.kafka.topic_prefix}import.{dead.name}") as transactions:
        before = state_view_of(installation, dead.name).imported.get(
            identity, Imported(file=file.name.rpartition("/")[2])
        )
        loop = Import(
            transactions,
            topics=dead.topics,
            state_topic=settings.topics.state,
            record_key=key("imported", dead.name, identity),
            before=before,
            now_ms=installation.clock.epoch_ms,
            report=report,
        )
        written = loop.run(ExportReader().read(file.lines()))
    return ImportedLetters(sha256, written, sum(before.letters.values()), dict(loop.letters), loop.refusals)
