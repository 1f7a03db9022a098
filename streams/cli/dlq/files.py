"""`streams dlq export` and `import`: letters into a file and back, byte for byte."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.options import CLIENT_ID, Name, selecting
from streams.cli.dlq.progress import progress
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from streams.operations.dead_letters.imports import ImportedLetters

STDOUT = Path("-")


@translated
@selecting
def export(
    name: Name,
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="The new file; gzip if its name ends in .gz. `-`: stdout.")
    ],
    filters: Any,
    orphaned: Annotated[
        bool, typer.Option("--orphaned", help="All letters whose connector or scope is no longer in the configuration.")
    ] = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Write letters to a file, with key, value and headers unchanged. They stay in Kafka."""
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters import exports

    exported_by = exports.export_orphaned if orphaned else exports.export
    with (
        _problems_told(),
        connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation,
        progress("exported") as report,
        _target(to) as file,
    ):
        exported = exported_by(installation, name, filters, file.write, report)
    if to == STDOUT:
        note(f"{exported.letters:,} letters of {name} were written, sha256 {exported.sha256}")
        return
    if output is Format.JSON:
        print_json({"connector": name, "file": str(to), "letters": exported.letters, "sha256": exported.sha256})
        return
    print(f"{exported.letters:,} letters of {name} are in {to}")
    note("the letters are still on their topics. If they are purged, this command brings them back from the file:")
    note(f"  streams dlq import {name} --from {to}")


@translated
def import_letters(
    name: Name,
    file: Annotated[Path, typer.Option("--from", metavar="FILE", help="A file of `streams dlq export`.")],
    again: Annotated[
        str,
        typer.Option("--again", metavar="LABEL", help="Import once more what was imported before, under this label."),
    ] = "",
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Check a file of exported letters, and make dead letters of them again, each once."""
    from streams.adapters.files.letters import lines_of
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters import imports

    letters = imports.LetterFile(str(file), lambda: lines_of(file))
    with (
        _problems_told(),
        connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation,
        progress("imported") as report,
    ):
        imported = imports.import_letters(installation, name, letters, again=again, report=report)
    for number, why in imported.refusals:
        note(f"not imported: letter {number:,}: Kafka does not take it: {why}")
    _print_imported(name, file, imported, output)
    if imported.refusals:
        raise typer.Exit(ExitCode.PARTLY_DONE if imported.letters + imported.letters_before else ExitCode.FAILED)


def _print_imported(name: str, file: Path, imported: ImportedLetters, output: Format) -> None:
    if output is not Format.JSON:
        print(f"{imported.letters:,} letters imported, {imported.letters_before:,} were imported before")
        note(f"what they are: streams dlq top {name}")
        return
    print_json(
        {
            "connector": name,
            "file": str(file),
            "sha256": imported.sha256,
            "letters": imported.letters,
            "letters_before": imported.letters_before,
            "causes": dict(imported.causes),
            "refused": len(imported.refusals),
        }
    )


def _target(to: Path) -> AbstractContextManager[IO[bytes]]:
    """Where the letters go; stdout takes the lines as they are, for a pipe: nothing is written to a disk."""
    from streams.adapters.files.letters import whole_file

    return nullcontext(sys.stdout.buffer) if to == STDOUT else whole_file(to)


@contextmanager
def _problems_told() -> Iterator[None]:
    from streams.adapters.files.letters import FileProblem

    try:
        yield
    except FileProblem as error:
        raise CommandError(str(error), ExitCode.FAILED) from None
