"""`streams ingest`: Currents files onto Currents topics, each record once."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from streams.adapters.files.currents import Broken, Export
    from streams.adapters.kafka.admin import Administration
    from streams.config import Settings
    from streams.events.schema import WriterSchema
    from streams.workers.ingest import File, Outcome, Progress, Target


@translated
def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Avro files, also in gzip or zip; folders; globs in quotes."),
    ],
    config: ConfigPath = None,
    restamp: Annotated[
        bool, typer.Option("--restamp", help="Give every event a fresh id and a time within the last hour.")
    ] = False,
    again: Annotated[
        str,
        typer.Option(metavar="LABEL", help="Ingest what was ingested before once more, under this name."),
    ] = "",
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of Currents topics that are created.")
    ] = None,
    output: OutputFormat = Format.TABLE,
    progress: Annotated[bool, typer.Option(help="Show progress on a terminal.")] = True,
) -> None:
    """Put Currents events from files onto their topics. Stopped anywhere and started again, each goes once."""
    outcome = ingested(
        settings_from(config), paths, restamp, again=again, partitions=partitions, shows_progress=progress
    )
    _print(outcome, output)
    if outcome.failures:
        is_any_done = outcome.files + outcome.files_before + outcome.records > 0
        raise typer.Exit(ExitCode.PARTLY_DONE if is_any_done else ExitCode.FAILED)


def ingested(
    settings: Settings,
    paths: Sequence[str | Path],
    restamp: bool,
    *,
    again: str = "",
    partitions: int | None = None,
    shows_progress: bool = False,
) -> Outcome:
    """Ingest the files of these paths. Raises `CommandError`, `KafkaUnreachable` and `KafkaRefusal`."""
    from streams.adapters.files.currents import Broken, exports
    from streams.adapters.kafka.admin import Administration
    from streams.adapters.kafka.compacted import read_to_end
    from streams.adapters.kafka.transactions import TransactionalProducer
    from streams.ports.errors import Fenced, TransactionAborted
    from streams.workers.ingest import Failure, Ingest

    files = _found(paths)
    name = f"{settings.kafka.topic_prefix}ingest"
    client_config = settings.kafka.client_config(name)
    administration = Administration(client_config)
    _ensure_our_topics(settings, administration)
    broken: list[Broken] = []

    def readable() -> Iterator[Export]:
        for file in files:
            for export in exports(file):
                if isinstance(export, Broken):
                    broken.append(export)
                else:
                    yield export

    transactions = TransactionalProducer(client_config, name, name)
    total_bytes = sum(file.stat().st_size for file in files)
    with ExitStack() as stack, _bar(total_bytes, shows_progress) as advance:
        stack.callback(transactions.close)
        try:
            transactions.start()  # fences an ingest that runs elsewhere: what it committed is read below
            state = read_to_end(client_config, settings.topics.state, name, b"ingest/")
            schemas = read_to_end(client_config, settings.topics.schemas, name)
            loop = Ingest(
                _target(settings, administration, partitions, schemas),
                transactions,
                _progress_by_key(state),
                monotonic=time.monotonic,
                now_ms=time.time_ns() // 1_000_000,
                restamp=restamp,
                again=again,
                report=advance,
            )
            outcome = loop.run(readable())
        except Fenced:
            mend = "another `streams ingest` took over; run this one again when it is done"
            raise CommandError(mend, ExitCode.FAILED) from None
        except TransactionAborted as error:
            mend = f"Kafka refused the records ({error}); run it again, it goes on where it stopped"
            raise CommandError(mend, ExitCode.FAILED) from None
    outcome.failures += [Failure(file.name, None, file.reason) for file in broken]
    return outcome


def _found(paths: Sequence[str | Path]) -> list[Path]:
    from streams.adapters.files.currents import NoSuchFile, find

    try:
        files = find(str(path) for path in paths)
    except NoSuchFile as error:
        raise CommandError(str(error), ExitCode.NOTHING_MATCHED) from None
    if not files:
        names = ", ".join(str(path) for path in paths)
        raise CommandError(f"no Avro, gzip or zip files in {names}", ExitCode.NOTHING_MATCHED)
    return files


def _target(
    settings: Settings, administration: Administration, partitions: int | None, written: Collection[bytes]
) -> Target:
    from streams.events.schemas import shipped, writer_schema
    from streams.workers.ingest import Target

    book = shipped()
    return Target(
        topic_for=_Topics(settings, administration, partitions),
        schema_for=writer_schema,
        is_known=lambda mark: book.by_fingerprint(mark) is not None or mark.hex().encode() in written,
        state_topic=settings.topics.state,
        schemas_topic=settings.topics.schemas,
    )


class _Topics:
    """Gives a file's topic, and creates it where it is missing."""

    def __init__(self, settings: Settings, administration: Administration, partitions: int | None) -> None:
        self._prefix = settings.source.topic_prefix
        self._shape = settings.kafka.topics
        self._partitions = partitions or self._shape.partitions
        self._administration = administration
        self._known = set(administration.topic_names())
        self._replication = 1 if administration.brokers() == 1 else self._shape.replication

    def __call__(self, file: File, schema: WriterSchema) -> str:
        topic = self._prefix + _event_type(file, schema)
        if topic in self._known:
            return topic
        if not self._shape.create:
            mend = "create it, or set kafka.topics.create"
            raise CommandError(f"missing topic: {topic}; {mend}", ExitCode.USAGE)
        from streams.config.kafka import MESSAGE_BYTES_MAX

        self._administration.create_topic(
            topic, self._partitions, self._replication, {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
        )
        self._known.add(topic)
        return topic


def _event_type(file: File, schema: WriterSchema) -> str:
    """As the schema names it; the path decides only where the schema's name is none of Braze's."""
    from streams.events.catalogue import CATALOGUE, canonical_name
    from streams.workers.ingest import UnreadableFile

    named = canonical_name(schema.event_type)
    if file.path_event_type is not None:
        by_path = canonical_name(file.path_event_type)
        if named not in CATALOGUE and by_path in CATALOGUE:
            return by_path
        if by_path != named:
            note(f"{file.name}: the path says {by_path}, the records are {named}; they go by their schema")
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,200}", named):
        raise UnreadableFile(None, "its schema's name is no event type, and the path has no event_type=")
    return named


def _progress_by_key(state: dict[bytes, bytes]) -> dict[str, Progress]:
    from streams.workers.ingest import Progress

    try:
        return {key.decode(): Progress.from_json(value) for key, value in state.items()}
    except (ValueError, KeyError, TypeError):
        mend = "the progress of an earlier ingest is not readable: was it written by a newer version?"
        raise CommandError(mend, ExitCode.FAILED) from None


@contextmanager
def _bar(total_bytes: int, is_wanted: bool) -> Iterator[Callable[[Outcome], None]]:
    """A progress bar on stderr, where that is a terminal."""
    if not is_wanted or not sys.stderr.isatty():
        yield lambda _outcome: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[records]:,} records"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total_bytes, records=0)
        yield lambda outcome: bar.update(task, completed=outcome.size_bytes, records=outcome.records)


def _print(outcome: Outcome, output: Format) -> None:
    if output is Format.JSON:
        print_json(
            {
                "files": outcome.files,
                "files_before": outcome.files_before,
                "records": outcome.records,
                "records_before": outcome.records_before,
                "topics": dict(sorted(outcome.topics.items())),
                "failures": [
                    {"file": failure.file, "record": failure.record, "reason": failure.reason}
                    for failure in outcome.failures
                ],
            }
        )
    elif outcome.topics:
        print_table(("TOPIC", "RECORDS"), sorted(outcome.topics.items()))
    for failure in outcome.failures:
        place = "" if failure.record is None else f", record {failure.record}"
        note(f"not taken: {failure.file}{place}: {failure.reason}")
    note(f"{outcome.records:,} records of {outcome.files:,} files put onto their topics")
    if outcome.files_before or outcome.records_before:
        note(
            f"{outcome.records_before:,} records and {outcome.files_before:,} whole files were there already; "
            "`--again LABEL` puts them once more"
        )


def _ensure_our_topics(settings: Settings, administration: Administration) -> None:
    from streams.config.topology import wanted_topics

    needed = {settings.topics.state, settings.topics.schemas}
    missing = needed - administration.topic_names()
    if missing and not settings.kafka.topics.create:
        mend = "create them with `streams topics apply`, or set kafka.topics.create"
        raise CommandError(f"missing topics: {', '.join(sorted(missing))}; {mend}", ExitCode.USAGE)
    for topic in wanted_topics(settings, administration.brokers()):
        if topic.name in missing:
            administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)
