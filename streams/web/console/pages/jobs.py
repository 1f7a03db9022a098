"""`/jobs/ID`: a replay or purge that was ordered: how far it is, and what came of it."""

from __future__ import annotations

from streams.config.names import SOURCE
from streams.operations.dead_letters.jobs import NamedJob, cancel
from streams.operations.installation import Installation
from streams.operations.state_views import state_views_of
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.pages.orders import begun
from streams.web.console.routes import Route
from streams.web.console.watch import jobs_of
from streams.web.console.works import Work

KIND = "cancel"


async def show(desk: Desk, asked: Asked) -> Shown:
    name, named = await _job(desk, asked.names["id"])
    job = named.job
    cancelled = desk.works.find(asked.first("order"))
    elapsed = max(0.0, (desk.clock.epoch_ms() - job.created) / 1000)
    also = {
        "name": name,
        "named": named,
        "job": job,
        "elapsed": elapsed,
        "speed": job.done / elapsed if elapsed and not named.is_over else None,
        "cancelled": cancelled,
    }
    content = {"connector": name, **named.to_json()}
    return Page("job.html", f"Job {named.id}", content, also, refresh_seconds=None if named.is_over else 3)


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
