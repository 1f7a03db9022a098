"""`streams ingest`: Currents files onto Currents topics, each record once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.adapters.files.currents import Found
    from streams.operations.ingest.plan import IngestPlan
    from streams.workers.ingest import Failure, Outcome

ASK_FROM_PARTITIONS = 100
"""So many partitions are not created on a terminal without a question: Kafka cannot take them back from a topic."""
NAMED_MAX = 10
"""Files that are passed over and named; of more, only how many."""


@translated
def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Avro files, also in gzip or zip; folders; globs in quotes."),
    ],
    config: ConfigPath = None,
    restamp: Annotated[
        bool, typer.Option("--restamp", help="Give every event a new id and a time within the last hour.")
    ] = False,
    again: Annotated[
        str,
        typer.Option(metavar="LABEL", help="Ingest files again that were ingested before, under this label."),
    ] = "",
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Partitions of each Currents topic that is created.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say which records would be written where, and which topics would be created; do nothing."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Create missing topics without a question.")] = False,
    output: OutputFormat = Format.TABLE,
    progress: Annotated[bool, typer.Option(help="Show progress on a terminal.")] = True,
) -> None:
    """Write Currents events from files to their topics. You can stop and start it again: each event is written once."""
    from streams.cli.assembly.ingest import ingest_files
    from streams.cli.assembly.processes import stop_on_signal
    from streams.operations.ingest.run import Order

    with ingest_files(settings_from(config, reads_secrets=False), paths) as work:
        plan = work.plan(partitions)
        _tell_plan(plan, work.found)
        if dry_run:
            _print_plan(plan, output)
            _leave(plan.untaken, is_any_taken=bool(plan.files))
            return
        if partitions is None and not yes:
            _ask(plan)
        with stop_on_signal() as stop, _bar(plan.size_bytes, progress) as advance:
            outcome = work.run(plan, Order(restamp, again), advance, stop.is_set)
    _print(outcome, output)
    if outcome.is_stopped:
        raise CommandError("stopped; run it again, and it continues where it stopped", ExitCode.INTERRUPTED)
    _leave(outcome.failures, is_any_taken=outcome.files + outcome.files_before + outcome.records > 0)


def _leave(failures: list[Failure], *, is_any_taken: bool) -> None:
    if failures:
        raise typer.Exit(ExitCode.PARTLY_DONE if is_any_taken else ExitCode.FAILED)


def _tell_plan(plan: IngestPlan, found: Found) -> None:
    """What somebody would want to know before it happens."""
    for remark in plan.remarks:
        note(remark)
    if found.passed_over:
        names = ", ".join(found.passed_over[:NAMED_MAX])
        more = len(found.passed_over) - NAMED_MAX
        note(f"passed over, no events in them: {names}" + (f" and {more:,} more" if more > 0 else ""))
    if plan.missing:
        note(
            f"{len(plan.missing):,} topics are missing and are created with {plan.partitions:,} partitions each, "
            f"{plan.partitions_created:,} in all (--partitions N chooses, --dry-run names them)"
        )


def _ask(plan: IngestPlan) -> None:
    is_large = plan.partitions_created > ASK_FROM_PARTITIONS
    if not (is_large and sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(f"Create {plan.partitions_created:,} partitions?", default=True, err=True):
        raise CommandError("nothing was created; choose with --partitions N", ExitCode.FAILED)


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


def _print_plan(plan: IngestPlan, output: Format) -> None:
    rows = [(topic, files, topic in plan.missing) for topic, files in sorted(plan.files.items())]
    if output is Format.JSON:
        print_json(
            {
                "topics": [{"topic": topic, "files": files, "missing": missing} for topic, files, missing in rows],
                "partitions": plan.partitions,
                "replication": plan.replication,
                "partitions_created": plan.partitions_created,
                "failures": _listed(plan.untaken),
            }
        )
    elif rows:
        shape = f"create, {plan.partitions} partitions, replication {plan.replication}"
        print_table(("TOPIC", "FILES", "ACTION"), ((topic, files, shape if new else "") for topic, files, new in rows))
    _name_failures(plan.untaken)


def _print(outcome: Outcome, output: Format) -> None:
    if output is Format.JSON:
        print_json(
            {
                "files": outcome.files,
                "files_before": outcome.files_before,
                "records": outcome.records,
                "records_before": outcome.records_before,
                "topics": dict(sorted(outcome.topics.items())),
                "failures": _listed(outcome.failures),
            }
        )
    elif outcome.topics:
        print_table(("TOPIC", "RECORDS"), sorted(outcome.topics.items()))
    _name_failures(outcome.failures)
    note(f"{outcome.records:,} records of {outcome.files:,} files put onto their topics")
    if outcome.files_before or outcome.records_before:
        note(
            f"{outcome.records_before:,} records and {outcome.files_before:,} whole files were there already; "
            "`--again LABEL` ingests them once more"
        )


def _listed(failures: list[Failure]) -> list[dict[str, object]]:
    return [{"file": failure.file, "record": failure.record, "reason": failure.reason} for failure in failures]


def _name_failures(failures: list[Failure]) -> None:
    for failure in failures:
        place = "" if failure.record is None else f", record {failure.record}"
        note(f"not taken: {failure.file}{place}: {failure.reason}")
