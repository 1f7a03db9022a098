"""`/jobs/ID`: a replay or purge that was ordered: how far it is, and what came of it.

What became of the letters that a replay sent is counted beside the page, and again while some of them wait.
"""

from __future__ import annotations

from streams.config.names import SOURCE
from streams.operations.dead_letters.jobs import NamedJob, cancel
from streams.operations.dead_letters.outcome import Outcome, outcome, untold
from streams.operations.installation import Installation
from streams.operations.state_views import state_views_of
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.pages.orders import begun
from streams.web.console.routes import Route
from streams.web.console.watch import jobs_of
from streams.web.console.works import Work

KIND, OUTCOME_KIND = "cancel", "what became of a job"
FRESH_MS = 60_000
OPEN_FRESH_MS = 5_000
"""A count is made again when it is so old and somebody looks; sooner while letters wait or the job runs."""


async def show(desk: Desk, asked: Asked) -> Shown:
    name, named = await _job(desk, asked.names["id"])
    job = named.job
    cancelled = desk.works.find(asked.first("order"))
    elapsed = max(0.0, (desk.clock.epoch_ms() - job.created) / 1000)
    work, became = _outcome(desk, name, named, asked.user.name)
    also = {
        "name": name,
        "named": named,
        "became": became,
        "counting": work,
        "untold": untold(name, named) if job.action == "replay" else "",
        "job": job,
        "elapsed": elapsed,
        "speed": job.done / elapsed if elapsed and not named.is_over else None,
        "cancelled": cancelled,
    }
    content = {"connector": name, **named.to_json(), "became": None if became is None else became.to_json()}
    is_told = named.is_over and (work is None or not (work.is_running or _is_open(work, named)))
    return Page("job.html", f"Job {named.id}", content, also, refresh_seconds=None if is_told else 3)


def known_outcome(desk: Desk, job_id: str) -> Outcome | None:
    """What became of a job's letters, as far as somebody had it counted."""
    works = desk.works.newest(OUTCOME_KIND, job_id)
    return next((work.result for work in works if work.result is not None), None)


def _outcome(desk: Desk, name: str, named: NamedJob, who: str) -> tuple[Work | None, Outcome | None]:
    """The newest count, which may still run, and what the newest one that is done came to."""
    if untold(name, named) or not named.job.done:
        return None, None
    newest = next(desk.works.newest(OUTCOME_KIND, named.id), None)
    if newest is None or _is_old(desk, newest, named):

        def count(installation: Installation, work: Work) -> Outcome:
            return outcome(installation, name, named.id, work.report)

        newest = desk.works.begin(desk.threads.counts, OUTCOME_KIND, named.id, who, count)
    return newest, known_outcome(desk, named.id)


def _is_old(desk: Desk, work: Work, named: NamedJob) -> bool:
    if work.ended_ms is None:
        return False
    fresh_ms = OPEN_FRESH_MS if _is_open(work, named) else FRESH_MS
    return desk.clock.epoch_ms() - work.ended_ms > fresh_ms


def _is_open(work: Work, named: NamedJob) -> bool:
    """Whether a count will soon come to something else: the job went on since, or letters wait."""
    found: Outcome | None = work.result
    return found is not None and (found.sent < named.job.done or bool(found.waiting))


async def stop(desk: Desk, asked: Asked) -> Shown:
    """Cancel the job: what is done stays done."""
    name, named = await _job(desk, asked.names["id"])
    who, reason = asked.user.name, asked.typed("reason") or "cancelled in the console"

    def do(installation: Installation, _work: Work) -> str:
        try:
            return cancel(installation, name, named.id, who=who, reason=reason)
        finally:
            desk.watch.look_soon()

    work = await begun(desk, desk.threads.orders, KIND, name, who, do)
    return SeeOther(with_query(f"/jobs/{segment(named.id)}", order=work.id))


async def _job(desk: Desk, job_id: str) -> tuple[str, NamedJob]:
    """The job and its connector. One that was just ordered is not in the snapshot yet: then Kafka is asked."""
    found = desk.watch.job(job_id)
    if found is None:
        found = await desk.threads.reads.ask(lambda installation: _find(installation, job_id))
        if found is None:
            raise PageError(
                404, "No such job", f"no connector has a job {job_id[:50]}", "jobs are on the connectors' pages"
            )
        desk.watch.job_was_read(*found)
    return found


def _find(installation: Installation, job_id: str) -> tuple[str, NamedJob] | None:
    for name, view in state_views_of(installation, [*installation.settings.connectors, SOURCE]).items():
        for one in jobs_of(view):
            if one.id == job_id:
                return name, one
    return None


ROUTES = (Route("GET", "/jobs/{id}", show), Route("POST", "/jobs/{id}/cancel", stop, "writes"))
