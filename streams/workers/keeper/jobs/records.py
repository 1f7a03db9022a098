"""What is written of a job: its record from order to end, its line in the audit, the receipt of a purge."""

from __future__ import annotations

from collections.abc import Mapping

from streams.state.audit import JobEnded, ReceiptLine
from streams.state.orders import Action, Order
from streams.state.records import Job, Record, Request, key
from streams.state.state_view import StateView, added
from streams.workers.keeper.jobs.batch import Batch

ENDED_JOBS_MAX = 50
"""Ended jobs of a connector that are remembered; older ones are in the audit topic."""


def is_active(job: Job) -> bool:
    """Whether it has not ended."""
    return job.status in ("queued", "running")


def action_of(job: Job) -> Action:
    """Of a replay or purge."""
    return "purge" if job.action == "purge" else "replay"


def active_job(jobs: Mapping[str, Job]) -> tuple[str, Job] | None:
    """The replay or purge that has not ended, with its id; there is one at most. Orders to forget users go beside."""
    return next(((job_id, job) for job_id, job in jobs.items() if is_active(job) and job.action != "forget"), None)


def named(job_id: str, job: Job) -> str:
    """As a sentence names it."""
    return f"job {job_id} ({job.action}, {job.status})"


def new_job(action: Action, request: Request, order: Order, now: int) -> Job:
    """The job of an order, at its beginning."""
    return Job(
        action=action,
        status="queued",
        who=request.who,
        reason=request.reason,
        created=now,
        selection=order.selection.to_arguments(),
        ends=order.ends,
        planned=order.planned,
        rate=order.rate,
    )


def job_after(job: Job, letters: str, batch: Batch) -> Job:
    """The job with what this batch did."""
    positions = {f"{letters}/{number}": offset for number, offset in batch.positions.items()}
    return job.model_copy(
        update={
            "status": "running",
            "positions": {**job.positions, **positions},
            "done": job.done + batch.taken,
            "left_out": added(job.left_out, batch.left_out),
        }
    )


def receipt(job_id: str, job: Job, letters: str, batch: Batch) -> ReceiptLine:
    """Of one transaction of a purge."""
    return ReceiptLine.model_validate(
        {
            "what": "purged",
            "who": job.who,
            "why": job.reason,
            "job": job_id,
            "from": letters,
            "bytes": "leave with their prefix, or 14 days after they were parked",
            **batch.receipt.to_json(),
        }
    )


def ending(job_id: str, job: Job) -> JobEnded:
    """The line of a job that is done or failed; that of a cancelled one is the request's."""
    return JobEnded(
        what=f"{job.action} {job.status}",
        who=job.who,
        why=job.reason,
        job=job_id,
        planned=job.planned,
        done=job.done,
        left_out=dict(job.left_out),
        detail=job.detail,
    )


def forgotten_jobs(view: StateView) -> dict[str, Record | None]:
    """Ended jobs that are too many once one more ends, taken back: the oldest."""
    ended = [(job.created, job_id) for job_id, job in view.jobs.items() if not is_active(job)]
    old = sorted(ended, reverse=True)[ENDED_JOBS_MAX - 1 :]
    return {key("job", view.connector, job_id): None for _, job_id in old}
