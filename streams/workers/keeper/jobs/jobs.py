"""Jobs: replays and purges of dead letters that a person ordered, carried out by the keeper, one at a time.

A job is a record of the state, from its order to its end. A new keeper goes on with the job where the last commit left
it. `step` makes at most one transaction, in this order:

1. read letters from the job's positions on, as committed, and decide for each: taken, left out, or not selected;
2. in one transaction, write the records to their topics, the settled letters, the totals, the job with its positions
   and counts, and for a purge the receipt; at the end of the job also its end and its audit line;
3. only then change the memory. Letters of an aborted transaction are read again from the committed positions.

So each letter leaves once, even if a process is killed at any point. A replay of source letters writes what the router
would write. So a way (`ways`) decides what becomes of a letter, not this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from streams.delivery.pace import Share
from streams.ports.errors import RecordsRefused
from streams.ports.letters import Letters, LetterTopics
from streams.state.audit import Line
from streams.state.orders import Action, OrderError, order_of, partition_of
from streams.state.records import REJECTED, Answer, Job, Record, Request, key
from streams.state.state_view import added
from streams.workers.bisection import Bisection
from streams.workers.keeper.jobs.batch import Batch, settled_changes
from streams.workers.keeper.jobs.records import (
    action_of,
    active_job,
    ending,
    forgotten_jobs,
    is_active,
    job_after,
    named,
    new_job,
    receipt,
)
from streams.workers.keeper.jobs.run import TAKEN_MAX, JobRun, Place
from streams.workers.keeper.jobs.ways import Purged, Way
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.refused import set_aside
from streams.workers.reading.event_reader import EventReader

log = structlog.get_logger(__name__)

Changes = dict[str, Record | None]


class Jobs:
    """Accepts orders and carries them out, a transaction a step.

    `open_letters` makes a reader of dead letters; it is held while a job is under way. `way_back` is what a replay
    does with a letter; `share` is the part of the account's rate that letters on their way back may take together.
    """

    def __init__(
        self,
        open_letters: Callable[[], Letters],
        topics: LetterTopics,
        events: EventReader,
        way_back: Way,
        share: Share | None = None,
    ) -> None:
        self._open_letters = open_letters
        self._topics = topics
        self._events = events
        self._way_back = way_back
        self._share = share
        self._running: JobRun | None = None
        self._forget_refusals("")

    def _forget_refusals(self, job_id: str) -> None:
        """What is known of letters that Kafka does not take is known of one job."""
        self._searched_job = job_id
        self._bisection = Bisection(TAKEN_MAX)
        self._refused: set[Place] = set()

    def begin(self) -> None:
        """A lease began, or a transaction was aborted: forget what was not committed."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def accept(self, lease: Lease, request_id: str, request: Request) -> tuple[Changes, Answer]:
        """What a `replay`, `purge` or `cancel` changes, and the answer. Written by the caller in one transaction.

        The job's id is the request's. Raises `KafkaUnreachable`.
        """
        match request.what:
            case "replay" | "purge":
                return self._ordered(lease, request_id, request.what, request)
            case "cancel":
                return _cancelled(lease, request)
            case _:
                return {}, _refused(f"{request.what} is not an order of a job")

    def step(self, lease: Lease) -> bool:
        """Carry the job that is ordered on by one transaction; whether there was anything to do.

        Raises `TransactionAborted`, `Fenced` and `KafkaUnreachable`.
        """
        found = active_job(lease.view.jobs)
        if found is None:
            self.begin()
            return False
        job_id, job = found
        running = self._running
        if running is None or running.job_id != job_id or running.lease is not lease:
            self.begin()
            problem = self._start(lease, job_id, job)
            if problem:
                self._fail(lease, job_id, job, problem)
                return True
        assert self._running is not None
        return self._carry_on(lease, job_id, job, self._running)

    # Orders.

    def _ordered(self, lease: Lease, job_id: str, action: Action, request: Request) -> tuple[Changes, Answer]:
        try:
            order = order_of(action, request.arguments)
        except OrderError as error:
            return {}, _refused(f"this {action} cannot be carried out: {error}")
        current = active_job(lease.view.jobs)
        if current is not None:
            return {}, _refused(f"{named(*current)} is under way, one per connector at a time: wait, or cancel it")
        revision = lease.view.totals.revision
        if order.revision is not None and order.revision != revision:
            return {}, Answer(outcome="stale", detail="letters were settled since this was planned: plan again")
        problem = self._missing(lease, action, order.selection.letters, order.ends)
        if problem:
            return {}, _refused(problem)
        job = new_job(action, request, order, lease.now())
        return {key("job", lease.connector, job_id): job}, Answer(outcome="done", content={"job": job_id})

    def _missing(self, lease: Lease, action: Action, letters: str, ends: Mapping[str, int]) -> str:
        """Which topic or partition there is not; empty where all are there."""
        topic = lease.topics.dead_letters(letters)
        there = {number for _, number in self._topics.partitions(topic)}
        for place in ends:
            if not there:
                return f"there is no topic {topic}"
            if partition_of(place, letters) not in there:
                return f"{topic} has no partition {partition_of(place, letters)}: plan again"
        for target in self._way(action).topics:
            if not self._topics.partitions(target):
                return f"there is no topic {target} to write to: streams topics apply"
        return ""

    def _way(self, action: Action) -> Way:
        return self._way_back if action == "replay" else Purged()

    # The job runs.

    def _start(self, lease: Lease, job_id: str, job: Job) -> str:
        """Begin to read; why it cannot be, else empty."""
        try:
            order = order_of(action_of(job), {"selection": job.selection, "ends": job.ends})
        except OrderError as error:
            return f"the job's record is not understood, was it written by a newer version? {error}"
        problem = self._missing(lease, action_of(job), order.selection.letters, job.ends)
        if not problem:
            if job_id != self._searched_job:
                self._forget_refusals(job_id)
            self._running = JobRun(
                lease,
                job_id,
                job,
                reader=self._open_letters(),
                events=self._events,
                way=self._way(action_of(job)),
                share=self._share,
                bisection=self._bisection,
                refused=self._refused,
            )
            log.info("job runs", connector=lease.connector, job=job_id, action=job.action, done=job.done)
        return problem

    def _carry_on(self, lease: Lease, job_id: str, job: Job, running: JobRun) -> bool:
        gathered = running.gather()
        if gathered.batch is None:
            return not gathered.waits
        batch = gathered.batch
        letters = str(job.selection.get("letters", "rejected"))
        after = job_after(job, letters, batch)
        changes: Changes = settled_changes(lease.view, letters, batch.settled, action_of(job))
        audit: list[Line] = []
        if batch.taken:
            changes[key("totals", lease.connector)] = batch.totals(lease, action_of(job))
        if batch.taken and job.action == "purge":
            audit.append(receipt(job_id, job, letters, batch))
        if gathered.is_over:
            after = after.model_copy(update={"status": "done"})
            audit.append(ending(job_id, after))
            changes.update(forgotten_jobs(lease.view))
        changes[key("job", lease.connector, job_id)] = after
        try:
            lease.commit(changes, records=batch.records, audit=audit)
        except RecordsRefused as error:
            self.begin()
            self._learn(lease, job_id, job, batch, error)
            return True
        except Exception:  # whatever it is: what was gathered is not committed, and is read again
            self.begin()
            raise
        running.committed()
        if gathered.is_over:
            self._ended(lease, job_id, after)
        return True

    def _learn(self, lease: Lease, job_id: str, job: Job, batch: Batch, error: RecordsRefused) -> None:
        """Kafka does not take a letter of the batch: look for it, and once it is found go on without it.

        It stays where it is. Credentials letters leave as a prefix, so there it is set aside.
        """
        letter = batch.last_taken
        if letter is None or not any(record.topic in error.refusals for record in batch.records):
            raise error  # a line of the state, or of the audit
        if not self._bisection.refused(batch.taken):
            log.info("Kafka refused a letter, searching for it", job=job_id, letters=batch.taken, error=str(error))
            return
        self._refused.add((letter.partition(), letter.offset()))
        log.warning(
            "letter refused",
            connector=lease.connector,
            job=job_id,
            topic=letter.topic(),
            partition=letter.partition(),
            offset=letter.offset(),
            error=str(error),
        )
        letters = str(job.selection.get("letters", REJECTED))
        is_settled = lease.view.is_settled((letters, letter.partition()), letter.offset())
        if letters != REJECTED and not is_settled:
            left_out = added(job.left_out, {"refused": 1})
            after = job.model_copy(update={"left_out": left_out})
            set_aside(lease, letters, letter, error, {key("job", lease.connector, job_id): after})

    def _fail(self, lease: Lease, job_id: str, job: Job, problem: str) -> None:
        after = job.model_copy(update={"status": "failed", "detail": problem})
        changes: Changes = {key("job", lease.connector, job_id): after, **forgotten_jobs(lease.view)}
        lease.commit(changes, audit=[ending(job_id, after)])
        self._ended(lease, job_id, after)

    def _ended(self, lease: Lease, job_id: str, job: Job) -> None:
        self.begin()
        log.info(
            "job ended",
            connector=lease.connector,
            job=job_id,
            action=job.action,
            status=job.status,
            done=job.done,
            left_out=dict(job.left_out),
            detail=job.detail,
        )


def _cancelled(lease: Lease, request: Request) -> tuple[Changes, Answer]:
    """The job ends as it stands: what it did is done. Its reader is let go with the next step."""
    job_id = str(request.arguments.get("job", ""))
    job = lease.view.jobs.get(job_id)
    if job is None:
        return {}, _refused(f"{lease.connector} has no job {job_id}")
    if not is_active(job):
        return {}, _refused(f"{named(job_id, job)} has ended already")
    detail = f"cancelled by {request.who} after {job.done} letters"
    after = job.model_copy(update={"status": "cancelled", "detail": detail})
    changes: Changes = {key("job", lease.connector, job_id): after, **forgotten_jobs(lease.view)}
    return changes, Answer(outcome="done", detail=detail, content={"job": job_id})


def _refused(detail: str) -> Answer:
    return Answer(outcome="refused", detail=detail)
