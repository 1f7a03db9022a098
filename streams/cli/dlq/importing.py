"""`streams dlq import`: letters from a file back onto the dead-letter topics that they came from."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq.place import DeadLetters, Name, dead_letters
from streams.cli.dlq.reading import CLIENT_ID, Progress
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.state.letter_file import ExportReader
    from streams.workers.letter_import import Import

IDENTITY_DIGITS = 16
"""Of a file's SHA-256, in the key of what was imported of it."""


@translated
def import_letters(
    name: Name,
    file: Annotated[Path, typer.Option("--from", metavar="FILE", help="A file of `streams dlq export`.")],
    again: Annotated[
        str, typer.Option("--again", metavar="LABEL", help="Import what was imported before once more, as this.")
    ] = "",
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Verify a file of exported letters, and make dead letters of them again. Each goes once."""
    dead = dead_letters(settings_from(config), name)
    _check_label(again)
    whole = _verified(dead, file)
    written, before, letters, refusals = _imported(dead, file, whole, again)
    for number, why in refusals:
        note(f"not imported: letter {number:,}: Kafka does not take it: {why}")
    if output is Format.JSON:
        print_json(
            {
                "connector": name,
                "file": str(file),
                "sha256": whole.sha256,
                "letters": written,
                "letters_before": before,
                "causes": letters,
                "refused": len(refusals),
            }
        )
    else:
        print(f"{written:,} letters imported, {before:,} were imported before")
        note(f"what they are: streams dlq top {name}")
    if refusals:
        raise typer.Exit(ExitCode.PARTLY_DONE if written + before else ExitCode.FAILED)


def _check_label(label: str) -> None:
    from streams.state.letter_file import LABEL

    if label and not LABEL.fullmatch(label):
        raise CommandError("--again: a label is 1 to 40 letters, digits, dots, dashes", ExitCode.USAGE)


def _verified(dead: DeadLetters, file: Path) -> ExportReader:
    """Read the whole file before anything is written. Raises `CommandError`."""
    from streams.adapters.files.letters import FileProblem, lines_of
    from streams.adapters.kafka.admin import Administration
    from streams.state.letter_file import ExportError, ExportReader

    reader, kinds = ExportReader(), dict[str, int]()
    try:
        for letter in reader.read(lines_of(file)):
            kinds.setdefault(letter.letters, reader.count + 1)
    except FileProblem as error:
        raise CommandError(str(error), ExitCode.FAILED) from None
    except ExportError as error:
        raise CommandError(f"{file}, {error}; nothing was imported", ExitCode.FAILED) from None
    if reader.connector != dead.name:
        raise CommandError(f"{file} holds letters of {reader.connector}, not of {dead.name}", ExitCode.USAGE)
    there = Administration(dead.settings.kafka.client_config(CLIENT_ID)).topic_names()
    for letters, line in kinds.items():
        if letters not in dead.topics:
            there_are = ", ".join(dead.topics)
            raise CommandError(
                f"{file}, line {line}: {dead.name} has no letters {letters}; there are: {there_are}", ExitCode.USAGE
            )
        if dead.topics[letters] not in there:
            mend = "make it with `streams topics apply`"
            raise CommandError(f"there is no topic {dead.topics[letters]}; {mend}", ExitCode.FAILED)
    return reader


def _imported(
    dead: DeadLetters, file: Path, whole: ExportReader, again: str
) -> tuple[int, int, dict[str, int], list[tuple[int, str]]]:
    """How many letters were written now, and before, all of them by cause, and which Kafka does not take, and why."""
    from streams.adapters.files.letters import FileProblem, lines_of
    from streams.adapters.kafka.transactions import TransactionalProducer
    from streams.adapters.state.standings import read_standings
    from streams.ports.errors import Fenced, TransactionAborted
    from streams.state.letter_file import ExportError, ExportReader
    from streams.state.records import Imported, key
    from streams.workers.letter_import import Import

    settings = dead.settings
    transactional_id = f"{settings.kafka.topic_prefix}import.{dead.name}"
    transactions = TransactionalProducer(
        settings.kafka.client_config(transactional_id), transactional_id, transactional_id
    )
    identity = "/".join(part for part in (whole.sha256[:IDENTITY_DIGITS], again) if part)
    progress = Progress("imported")
    with ExitStack() as stack:
        stack.callback(transactions.close)
        stack.callback(progress.end)
        try:
            transactions.start()  # fences an import that runs elsewhere: what it committed is read below
            known = read_standings(settings)[dead.name].imported
            before = known.get(identity, Imported(file=file.name))
            loop: Import = Import(
                transactions,
                topics=dead.topics,
                state_topic=settings.topics.state,
                record_key=key("imported", dead.name, identity),
                before=before,
                now_ms=lambda: time.time_ns() // 1_000_000,
                report=progress,
            )
            written = loop.run(ExportReader().read(lines_of(file)))
        except Fenced:
            mend = "another import of this connector's letters took over; run this one again when it is done"
            raise CommandError(mend, ExitCode.FAILED) from None
        except (ExportError, FileProblem) as error:
            mend = "run it again with the file as it was, it goes on where it stopped"
            raise CommandError(f"{file} changed while it was read: {error}; {mend}", ExitCode.FAILED) from None
        except TransactionAborted as error:
            mend = f"Kafka refused the letters ({error}); run it again, it goes on where it stopped"
            raise CommandError(mend, ExitCode.FAILED) from None
    return written, sum(before.letters.values()), dict(loop.letters), loop.refusals
