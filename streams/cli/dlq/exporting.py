"""`streams dlq export`: letters into a file, byte for byte."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq import selecting
from streams.cli.dlq.place import DeadLetters, Name, Scope, dead_letters, orphaned_letters
from streams.cli.dlq.planning import Facts
from streams.cli.dlq.reading import CLIENT_ID, names_by_topic, scanned, starts_of
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streams.adapters.kafka.admin import Administration
    from streams.config import Settings
    from streams.state.letter_file import ExportedLetter, ExportWriter
    from streams.state.selection import Selection


@translated
def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The new file; gzip if its name ends in .gz.")],
    cause: selecting.Causes = None,
    since: selecting.Since = None,
    until: selecting.Until = None,
    event_type: selecting.EventTypes = None,
    fingerprint: selecting.Fingerprints = None,
    event_id: selecting.EventIds = None,
    limit: selecting.Limit = None,
    scope: Scope = None,
    orphaned: Annotated[
        bool, typer.Option("--orphaned", help="All letters whose connector or scope left the configuration.")
    ] = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Write letters to a file, with key, value and headers as they stand. They stay where they are."""
    from streams.adapters.files.letters import FileProblem, whole_file
    from streams.adapters.kafka.admin import Administration

    settings = settings_from(config)
    administration = Administration(settings.kafka.client_config(CLIENT_ID))
    dead = _orphaned(settings, name, administration) if orphaned else dead_letters(settings, name)
    filters = {
        "causes": cause,
        "since": since,
        "until": until,
        "event_types": event_type,
        "fingerprints": fingerprint,
        "event_ids": event_id,
        "limit": limit,
    }
    given = {option: value for option, value in filters.items() if value}
    if orphaned and (given or scope):
        raise CommandError("--orphaned exports every such letter: without other options that select", ExitCode.USAGE)
    selections = _everything(dead) if orphaned else [_selection(dead, scope, filters)]
    try:
        with whole_file(to) as file:
            writer = _writer(name)
            file.write(writer.first())
            for letter in _letters(dead, administration, selections):
                file.write(writer.letter(letter))
            if not writer.count:
                raise CommandError(f"no letter of {name} matches: nothing was written", ExitCode.NOTHING_MATCHED)
            sha256 = writer.sha256
            file.write(writer.last())
    except FileProblem as error:
        raise CommandError(str(error), ExitCode.FAILED) from None
    if output is Format.JSON:
        print_json({"connector": name, "file": str(to), "letters": writer.count, "sha256": sha256})
        return
    print(f"{writer.count:,} letters of {name} are in {to}")
    note("they are still dead letters, too; back from the file, once they were purged, brings them")
    note(f"  streams dlq import {name} --from {to}")


def _orphaned(settings: Settings, name: str, administration: Administration) -> DeadLetters:
    from streams.cli.dlq.place import orphaned_topics

    names = administration.topic_names()
    left = {topic for topic, owner in orphaned_topics(settings, names).items() if owner == name}
    found = orphaned_letters(settings, name, left)
    if found is None:
        raise CommandError(f"no orphaned dead letters of {name}", ExitCode.NOTHING_MATCHED)
    return found


def _writer(name: str) -> ExportWriter:
    from streams.state.letter_file import ExportWriter

    return ExportWriter(name)


def _everything(dead: DeadLetters) -> list[Selection]:
    from streams.state.selection import Selection

    return [Selection(letters=letters) for letters in dead.topics]


def _selection(dead: DeadLetters, scope: str | None, filters: Mapping[str, object]) -> Selection:
    if scope is not None and filters["until"] is None:
        filters = {**filters, "until": "0s"}  # reading on to the end does no harm, unlike a purge
    return selecting.selection_of(dead, scope=scope, **filters)  # type: ignore[arg-type]


def _letters(
    dead: DeadLetters, administration: Administration, selections: list[Selection]
) -> Iterator[ExportedLetter]:
    """The unsettled letters that are meant, as they stand."""
    from streams.adapters.schemas.resolver import schema_resolver
    from streams.adapters.state.standings import read_standings
    from streams.state.letter_file import ExportedLetter
    from streams.workers.reading.event_reader import EventReader

    standing = read_standings(dead.settings, [dead.name])[dead.name]
    names = names_by_topic(dead)
    with ExitStack() as stack:
        events = EventReader(schema_resolver(dead.settings, CLIENT_ID, stack, 0.0))
        for selection in selections:
            facts, taken = Facts(events, selection), 0
            starts = starts_of(administration, dead, standing, [selection.letters])
            for (topic, number), messages in scanned(dead, starts, "exported"):
                for message in messages:
                    if standing.is_settled((names[topic], number), message.offset()):
                        continue
                    if not selection.takes(facts.of(message)):
                        continue
                    if selection.limit is not None and taken >= selection.limit:
                        return
                    taken += 1
                    yield ExportedLetter(
                        names[topic],
                        number,
                        message.offset(),
                        message.timestamp()[1],  # type: ignore[attr-defined]
                        message.key(),
                        message.value(),
                        tuple(message.headers() or ()),
                    )
