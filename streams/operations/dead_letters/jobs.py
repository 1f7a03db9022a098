"""Jobs: a keeper makes one of each order. This orders, lists, follows and cancels them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streams.operations.dead_letters.plans import OrderPlan, shown_selection
from streams.operations.dead_letters.topics import dead_letters
from streams.operations.errors import BadRequest, NothingMatched, OrderRefused, PlanStale
from streams.operations.installation import Installation
from streams.operations.keeper_orders import ANSWER_SECONDS
from streams.operations.state_views import state_view_of
from streams.state.kinds import parse
from streams.state.moments import iso
from streams.state.records import Job, key

LOOK_SECONDS = 0.2
UNFINISHED = ("queued", "running")


@dataclass(frozen=True, slots=True)
class NamedJob:
    """A job and its id."""

    id: str
    job: Job

    @property
    def is_over(self) -> bool:
        return self.job.status not in UNFINISHED

    @property
    def state(self) -> str:
        """Its status for people: a replay that is done has sent its letters, which does not say what became of them."""
        return "sent again" if (self.job.action, self.job.status) == ("replay", "done") else self.job.status

    def is_as_far_as(self, other: NamedJob) -> bool:
        """Whether this was read from Kafka no earlier than another reading of the same job, as far as one can tell."""
        return (self._stage, self.job.done) >= (other._stage, other.job.done)

    @property
    def _stage(self) -> int:
        return len(UNFINISHED) if self.is_over else UNFINISHED.index(self.job.status)

    def to_json(self) -> dict[str, Any]:
        job = self.job
        return {
            "job": self.id,
            "action": job.action,
            "status": job.status,
            "who": job.who,
            "reason": job.reason,
            "created": iso(job.created),
            "selection": shown_selection(job.selection),
            "planned": job.planned,
            "done": job.done,
            "left_out": dict(job.left_out),
            "rate": job.rate,
            "detail": job.detail,
        }


def order(installation: Installation, ordered: OrderPlan, *, who: str, reason: str, is_bound: bool) -> str:
    """Order the keeper to carry a plan out. Returns the id of its job. `is_bound`: only if nothing was settled since.

    Raises `BadRequest` for a purge without a reason, `PlanStale`, `OrderRefused`, and what `Keepers.ask` does.
    """
    plan = ordered.plan
    if plan.action == "purge" and not reason.strip():
        raise BadRequest("a purge deletes for good: give the reason; it is written to the receipt", field="reason")
    arguments = plan.to_arguments(ordered.rate, is_bound=is_bound)
    name = ordered.connector
    answer = installation.keepers.ask(name, plan.action, arguments, who=who, reason=reason, wait_seconds=ANSWER_SECONDS)
    match answer.outcome:
        case "stale":
            raise PlanStale(f"plan {plan.id} is stale: {answer.detail}")
        case "refused":
            raise OrderRefused(f"the keeper of {name} refuses: {answer.detail}")
        case "done":
            return str(answer.content.get("job", ""))


def jobs(installation: Installation, name: str) -> Sequence[NamedJob]:
    """Newest first. Raises `BadRequest`, `KafkaUnreachable` and `StateError`."""
    dead_letters(installation.settings, name)
    found = state_view_of(installation, name).jobs
    return sorted((NamedJob(job_id, job) for job_id, job in found.items()), key=lambda one: -one.job.created)


def cancel(installation: Installation, name: str, job_id: str, *, who: str, reason: str) -> str:
    """End a job where it is now. Returns the keeper's answer. Raises `BadRequest`, `NothingMatched`, `OrderRefused`."""
    dead_letters(installation.settings, name)
    answer = installation.keepers.ask(
        name, "cancel", {"job": job_id}, who=who, reason=reason, wait_seconds=ANSWER_SECONDS
    )
    if answer.outcome != "done":
        raise (NothingMatched if "has no job" in answer.detail else OrderRefused)(answer.detail)
    return answer.detail


def follow(installation: Installation, name: str, job_id: str) -> Iterator[Job | None]:
    """The job, each time that it has changed, until its end. None after each look without news.

    If the caller stops asking, the job continues. Raises `KafkaUnreachable` and `StateError`.
    """
    journal = installation.open_journal()
    job_key = key("job", name, job_id)
    try:
        records = journal.read_to_end()
        while True:
            newest = None
            for record in records:
                if record.key == job_key and record.value is not None:
                    newest = parse(job_key, record.value)
            if isinstance(newest, Job):
                yield newest
                if newest.status not in UNFINISHED:
                    return
            else:
                yield None
                time.sleep(LOOK_SECONDS)
            records = journal.poll()
    finally:
        journal.close()
