"""What a page has shown of a job is not taken back by the next one."""

from __future__ import annotations

from typing import Literal

from streams.config import loads
from streams.operations.dead_letters.jobs import NamedJob
from streams.operations.installation import Installation
from streams.state.records import Job
from streams.testing.clock import MovableClock
from streams.web.console.history import History
from streams.web.console.watch import Snapshot, Watch

INLET_ALONE = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
inlets: {braze: {kind: http, tokens: [a-token-of-24-characters]}}
"""


def purge(status: Literal["queued", "running", "done"], done: int) -> NamedJob:
    return NamedJob("j1", Job(action="purge", status=status, who="oncall", created=1, done=done))


def snapshot(*jobs: NamedJob) -> Snapshot:
    return Snapshot(1, 1, None, {}, (), {}, {"analytics": jobs})


def never(_name: str) -> Installation:
    raise AssertionError("this test asks nobody")


def test_a_look_that_began_before_a_page_asked_kafka_does_not_set_the_job_back() -> None:
    watch = Watch(loads(INLET_ALONE), never, MovableClock(), History(3600))
    assert watch.job("j1") is None
    watch.snapshot = snapshot()
    watch.job_was_read("analytics", purge("running", 1))
    assert watch.job("j1") == ("analytics", purge("running", 1))
    watch.snapshot = snapshot(purge("queued", 0))
    assert watch.job("j1") == ("analytics", purge("running", 1))
    watch.snapshot = snapshot(purge("running", 2))
    assert watch.job("j1") == ("analytics", purge("running", 2))
    watch.job_was_read("analytics", purge("done", 2))
    assert watch.job("j1") == ("analytics", purge("done", 2))
    watch.snapshot = snapshot(purge("done", 2))
    assert watch.job("j1") == ("analytics", purge("done", 2))
    watch.snapshot = snapshot()
    assert watch.job("j1") is None, "a job that Kafka no longer keeps is not remembered"


def test_a_list_of_jobs_is_as_far_as_the_page_of_each() -> None:
    watch = Watch(loads(INLET_ALONE), never, MovableClock(), History(3600))
    assert watch.jobs("analytics") == ()
    older = NamedJob("j0", Job(action="purge", status="done", who="oncall", created=0))
    watch.snapshot = snapshot(older)
    watch.job_was_read("analytics", purge("running", 1))
    assert watch.jobs("analytics") == (purge("running", 1), older)
    assert watch.jobs("another") == ()
    watch.snapshot = snapshot(purge("queued", 0), older)
    assert watch.jobs("analytics") == (purge("running", 1), older)
    watch.snapshot = snapshot(purge("done", 2), older)
    assert watch.jobs("analytics") == (purge("done", 2), older)
