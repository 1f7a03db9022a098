"""`streams dlq jobs`: orders under way and past; and waiting for one to end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.dlq.place import DeadLetters, Name, dead_letters
from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.state.records import Job

ANSWER_SECONDS = 20.0
SILENCE_SECONDS = 30.0
"""A job that does not move for so long is remarked upon."""
CANCEL_REASON = "cancelled on the command line"


@translated
def jobs(
    name: Name,
    cancel: Annotated[str | None, typer.Option("--cancel", metavar="ID", help="End this job where it stands.")] = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List replays and purges that people ordered, newest first, with their progress."""
    from streams.adapters.state.standings import read_standings
    from streams.state.moments import iso

    dead = dead_letters(settings_from(config), name)
    if cancel is not None:
        _cancel(dead, cancel)
    found = sorted(read_standings(dead.settings)[name].jobs.items(), key=lambda item: -item[1].created)
    if output is Format.JSON:
        print_json({"connector": name, "jobs": [job_json(job_id, job) for job_id, job in found]})
        return
    print_table(
        ("JOB", "ACTION", "STATUS", "DONE", "PLANNED", "LEFT OUT", "CREATED", "WHO", "REASON"),
        (
            (
                job_id,
                job.action,
                job.status,
                job.done,
                job.planned,
                sum(job.left_out.values()),
                iso(job.created),
                job.who,
                job.reason,
            )
            for job_id, job in found
        ),
    )
    for job_id, job in found:
        if job.detail:
            note(f"job {job_id}: {job.detail}")


def watched(dead: DeadLetters, job_id: str) -> Job:
    """The job at its end; progress on stderr meanwhile. Ctrl-C stops the waiting, not the job."""
    from streams.adapters.state.jobs import follow_job

    job, moved_at, is_terminal = None, time.monotonic(), sys.stderr.isatty()
    try:
        for moved in follow_job(dead.settings, dead.name, job_id):
            if moved is not None:
                job, moved_at = moved, time.monotonic()
                _tell(job_id, job, is_terminal)
            elif time.monotonic() - moved_at > SILENCE_SECONDS:
                moved_at = time.monotonic()
                note(f"job {job_id} does not move: is a {_role(dead)} running, and its destination answering?")
    except KeyboardInterrupt:
        note(f"\njob {job_id} goes on without you; watch it, or end it where it stands, with")
        note(f"  streams dlq jobs {dead.name}")
        note(f"  streams dlq jobs {dead.name} --cancel {job_id}")
        raise
    assert job is not None, "following ends with the job's end"
    return job


def job_json(job_id: str, job: Job) -> dict[str, Any]:
    """A job as listings show it."""
    from streams.cli.dlq.planning import shown_selection
    from streams.state.moments import iso

    return {
        "job": job_id,
        "action": job.action,
        "status": job.status,
        "who": job.who,
        "reason": job.reason,
        "created": iso(job.created),
        "selection": shown_selection(dict(job.selection)),
        "planned": job.planned,
        "done": job.done,
        "left_out": dict(job.left_out),
        "rate": job.rate,
        "detail": job.detail,
    }


def print_job(job_id: str, job: Job) -> None:
    """How a job ended, in one line."""
    left = "".join(f", {count:,} left out ({reason})" for reason, count in job.left_out.items())
    print(f"job {job_id}: {job.action} {job.status}, {job.done:,} of {job.planned:,} letters{left}")


def _cancel(dead: DeadLetters, job_id: str) -> None:
    from streams.adapters.state.requests import ask

    answer = ask(dead.settings, dead.name, "cancel", {"job": job_id}, CANCEL_REASON, ANSWER_SECONDS)
    if answer.outcome != "done":
        is_unknown = "has no job" in answer.detail
        raise CommandError(answer.detail, ExitCode.NOTHING_MATCHED if is_unknown else ExitCode.FAILED)
    note(answer.detail)


def _tell(job_id: str, job: Job, is_terminal: bool) -> None:
    share = f"job {job_id}: {job.status}, {job.done:,} of {job.planned:,} letters"
    if is_terminal:
        is_over = job.status not in ("queued", "running")
        print(f"\r\033[K{'' if is_over else share}", end="", file=sys.stderr, flush=True)
    else:
        note(share)


def _role(dead: DeadLetters) -> str:
    return "router" if dead.connector is None else f"sink of {dead.name}"
