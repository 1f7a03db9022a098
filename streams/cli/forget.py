"""`streams forget`: what is known of some users, and with `--execute` the order to forget them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.jobs import watched
from streams.cli.dlq.orders import NoWait
from streams.cli.dlq.progress import progress
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table
from streams.cli.plans import note_that_nothing_was_done, planning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.operations.dead_letters.jobs import NamedJob
    from streams.operations.forgetting.plan import ForgetPlan

CLIENT_ID = "streams-forget"


@translated
@planning
def forget(
    external_id: Annotated[
        list[str] | None, typer.Option("--external-id", metavar="ID", help="A user's external id; may be repeated.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A file of external ids, one a line; - is stdin.")
    ] = None,
    wish: Any = None,
    no_wait: NoWait = False,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan what is known here of some users; with --execute and --reason forget them at every connector.

    Their dead letters are purged with a receipt that names nobody, what sinks remember of them is removed, and records
    of theirs that still come are skipped. What vendors have of them is not touched: see docs/privacy.md.
    """
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.forgetting.orders import order_forget
    from streams.operations.forgetting.plan import forget_plan

    if wish.execute and not wish.reason.strip():
        raise CommandError(
            "forgetting deletes for good: give the reason with --reason; it is written to the receipts", ExitCode.USAGE
        )
    users = [*(external_id or []), *_lines(source)]
    settings = settings_from(config, reads_secrets=False)
    with connected(settings, CLIENT_ID) as installation:
        with progress("read") as report:
            found = forget_plan(installation, users, expected=wish.plan_id, report=report)
        for warning in found.warnings:
            note(f"warning: {warning}")
        if output is Format.TABLE:
            _print_plan(found)
        if not wish.execute:
            if output is Format.JSON:
                print_json(found.to_json())
            note_that_nothing_was_done(found.id, " and --reason")
            return
        jobs = order_forget(installation, found, who=who(), reason=wish.reason)
        if no_wait:
            _print_ordered(found, jobs, output)
            return
        ended = {name: watched(installation, name, job_id) for name, job_id in jobs.items()}
    _print_ended(found, ended, output)


def _lines(source: Path | None) -> list[str]:
    """External ids of a file. An id may begin or end with a blank; empty lines are none."""
    if source is None:
        return []
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{source} is not UTF-8", ExitCode.USAGE) from None
    except OSError as error:
        raise CommandError(f"cannot read {source}: {error.strerror or type(error).__name__}", ExitCode.USAGE) from None
    return [line for line in text.splitlines() if line.strip()]


def _print_plan(plan: ForgetPlan) -> None:
    from streams.state.moments import iso

    print_table(
        ("CONNECTOR", "LETTERS", "CAUSES", "REMEMBERED", "OPEN COPIES", "TOPIC WITH RECORDS"),
        (
            (
                part.connector,
                sum(part.letters.values()),
                ", ".join(f"{cause} {count:,}" for cause, count in sorted(part.letters.items())),
                part.remembered,
                part.open_copies,
                part.topic,
            )
            for part in plan.parts
        ),
    )
    note(
        f"plan {plan.id}: forget {plan.users:,} users, {plan.letters:,} dead letters; records of theirs are skipped "
        f"until {iso(plan.until_ms)}"
    )


def _print_ordered(plan: ForgetPlan, jobs: Mapping[str, str], output: Format) -> None:
    if output is Format.JSON:
        print_json({**plan.to_json(), "jobs": dict(jobs)})
        return
    print_table(("CONNECTOR", "JOB"), jobs.items())
    note("ordered; watch each with: streams dlq jobs NAME")


def _print_ended(plan: ForgetPlan, ended: Mapping[str, NamedJob], output: Format) -> None:
    if output is Format.JSON:
        print_json({**plan.to_json(), "outcomes": {name: named.to_json() for name, named in ended.items()}})
    else:
        print_table(
            ("CONNECTOR", "JOB", "STATUS", "LETTERS PURGED", "NOT READABLE"),
            (
                (name, named.id, named.job.status, named.job.done, named.job.left_out.get("unreadable", 0))
                for name, named in ended.items()
            ),
        )
    if not_done := [name for name, named in ended.items() if named.job.status != "done"]:
        raise CommandError(f"not done at {', '.join(not_done)}: see `streams dlq jobs NAME`", ExitCode.PARTLY_DONE)
