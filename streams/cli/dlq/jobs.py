"""`streams dlq jobs`: orders under way and past; and waiting for one to end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.dlq.progress import progress
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.operations.dead_letters.jobs import NamedJob
    from streams.operations.dead_letters.outcome import Outcome
    from streams.operations.installation import Installation

SILENCE_SECONDS = 30.0
"""A job that makes no progress for this long gets a remark."""
CANCEL_REASON = "cancelled on the command line"


@translated
def jobs(
    name: Name,
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="ID", help="Cancel this job. What is done stays done.")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="ID", help="Only this replay, and what became of its letters.")
    ] = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List replays and purges that people ordered, newest first, with their progress."""
    if job is not None:
        _became(settings_from(config, reads_secrets=False), name, job, output)
        return
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters import jobs as operations

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        if cancel is not None:
            note(operations.cancel(installation, name, cancel, who=who(), reason=CANCEL_REASON))
        found = operations.jobs(installation, name)
    if output is Format.JSON:
        print_json({"connector": name, "jobs": [one.to_json() for one in found]})
        return
    print_table(
        ("JOB", "ACTION", "STATUS", "DONE", "PLANNED", "LEFT OUT", "CREATED", "WHO", "REASON"),
        (_row(one) for one in found),
    )
    for one in found:
        if one.job.detail:
            note(f"job {one.id}: {one.job.detail}")
    sent = next((one for one in found if one.state == "sent again"), None)
    if sent is not None and name != "source":
        note_outcome(name, sent.id)


def watched(installation: Installation, name: str, job_id: str) -> NamedJob:
    """The job at its end; progress on stderr meanwhile. Ctrl-C stops the waiting, not the job."""
    from streams.operations.dead_letters.jobs import NamedJob, follow

    job, moved_at, is_terminal = None, time.monotonic(), sys.stderr.isatty()
    try:
        for moved in follow(installation, name, job_id):
            if moved is not None:
                job, moved_at = NamedJob(job_id, moved), time.monotonic()
                _tell(job, is_terminal)
            elif time.monotonic() - moved_at > SILENCE_SECONDS:
                moved_at = time.monotonic()
                note(f"job {job_id} does not move: is a {_role(name)} running, and its destination answering?")
    except KeyboardInterrupt:
        note(f"\njob {job_id} continues; watch it or cancel it with")
        note(f"  streams dlq jobs {name}")
        note(f"  streams dlq jobs {name} --cancel {job_id}")
        raise
    assert job is not None, "the wait ends with the job"
    return job


def _became(settings: Settings, name: str, job_id: str, output: Format) -> None:
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters.jobs import jobs as all_jobs
    from streams.operations.dead_letters.outcome import outcome

    with connected(settings, CLIENT_ID) as installation, progress("read") as report:
        found = outcome(installation, name, job_id, report)
        named = next((one for one in all_jobs(installation, name) if one.id == job_id), None)
    if output is Format.JSON:
        jobs = [] if named is None else [named.to_json()]
        print_json({"connector": name, "jobs": jobs, "became": found.to_json()})
        return
    if named is not None:
        print_job(named)
    _print_outcome(name, found)


def _print_outcome(name: str, found: Outcome) -> None:
    for sentence in found.sentences:
        print(f"  {sentence}")
    for one in found.causes:
        largest = one.largest
        print(f"    {one.count:,} {largest.cause} {largest.status or ''} {largest.message}".rstrip())
    if found.parked_again:
        note(f"look at them:\n  streams dlq top {name}")
    elif not found.is_settled:
        note(f"ask again later:\n  streams dlq jobs {name} --job {found.job}")


def note_outcome(name: str, job_id: str) -> None:
    """How to learn what became of a replay's letters."""
    note(f"sent again is not delivered: what became of the letters says\n  streams dlq jobs {name} --job {job_id}")


def print_job(named: NamedJob) -> None:
    """How a job ended, in one line."""
    job = named.job
    left = "".join(f", {count:,} left out ({reason})" for reason, count in job.left_out.items())
    sent = " sent again" if job.action == "replay" else ""
    print(f"job {named.id}: {job.action} {job.status}, {job.done:,} of {job.planned:,} letters{sent}{left}")


def _row(named: NamedJob) -> tuple[object, ...]:
    from streams.state.moments import iso

    job = named.job
    left_out = sum(job.left_out.values())
    return (named.id, job.action, named.state, job.done, job.planned, left_out, iso(job.created), job.who, job.reason)


def _tell(named: NamedJob, is_terminal: bool) -> None:
    job = named.job
    share = f"job {named.id}: {job.status}, {job.done:,} of {job.planned:,} letters"
    if is_terminal:
        print(f"\r\033[K{'' if named.is_over else share}", end="", file=sys.stderr, flush=True)
    else:
        note(share)


def _role(name: str) -> str:
    from streams.config.names import SOURCE

    return "router" if name == SOURCE else f"sink of {name}"
