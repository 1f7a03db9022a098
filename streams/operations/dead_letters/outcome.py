"""What became of the letters that a replay sent again: parked again, still waiting, or gone out.

A record that went back carries the id of its job, and so does the letter that it becomes when it is parked again. So
both are counted where they are: on the connector's topic behind its sinks' commits, and on its dead-letter topics.
What is in neither place was settled otherwise: delivered, or skipped for a counted reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from streams.delivery.letter import VERDICT_HEADER, header_of
from streams.operations.accounts import Accounts
from streams.operations.dead_letters.jobs import NamedJob
from streams.operations.dead_letters.open_letters import OpenLetters, Report, open_letters, silent
from streams.operations.errors import BadRequest, NothingMatched
from streams.operations.installation import Installation
from streams.ports.kafka import Message, Partition
from streams.state.moments import iso
from streams.state.records import Job
from streams.state.top import Groups, Trouble

CLOCKS_MS = 60_000
"""How far the clocks of a keeper and of a sink may differ: letters are looked at from so long before the order on."""
WAITING_MAX = 2_000_000
"""More records than that on the connector's topic are not looked through."""
CAUSES_MAX = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the letters of one replay are.

    `waiting` is None where too much waits to be looked through. `left` were parked again and have left since: replayed
    or redriven once more, purged or expired. `is_whole` is False if letters of that time were deleted: then some that
    count as `gone_out` may have been parked again before.
    """

    job: str
    sent: int
    parked_again: int
    causes: tuple[Trouble, ...]
    waiting: int | None
    left: int
    is_whole: bool
    counted_ms: int

    @property
    def gone_out(self) -> int | None:
        """Neither parked nor waiting: delivered, or skipped. None where that is not known."""
        if self.waiting is None:
            return None
        return max(0, self.sent - self.parked_again - self.waiting - self.left)

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it waits."""
        return self.waiting == 0

    @property
    def is_good(self) -> bool:
        """Whether everything went out, as far as Kafka tells, and Kafka tells all."""
        return self.is_whole and self.gone_out == self.sent

    @property
    def sentences(self) -> tuple[str, ...]:
        """What became of them, in words."""
        told = []
        if self.parked_again:
            told.append(f"{_of_all(self.parked_again, self.sent)} were parked again")
        if self.left:
            told.append(f"{self.left:,} were parked again and have left since: replayed, redriven, purged or expired")
        if self.waiting is None:
            told.append("how many wait is not known: too many records wait on the connector's topic to look at each")
        elif self.waiting:
            told.append(f"{_of_all(self.waiting, self.sent)} wait on the connector's topic to be sent")
        if self.gone_out:
            told.append(f"{_of_all(self.gone_out, self.sent)} {self._gone_out_in_words}")
        return tuple(told) or ("nothing was sent again yet",)

    @property
    def _gone_out_in_words(self) -> str:
        if self.is_whole:
            return "went out: delivered, or skipped for a counted reason"
        return (
            "neither wait nor are parked: delivered or skipped, or parked again and deleted since, which cannot be told"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "job": self.job,
            "sent": self.sent,
            "parked_again": self.parked_again,
            "causes": [one.to_json(iso) for one in self.causes],
            "waiting": self.waiting,
            "left_again": self.left,
            "gone_out": self.gone_out,
            "is_whole": self.is_whole,
            "counted_at": iso(self.counted_ms),
        }


def outcome(installation: Installation, name: str, job_id: str, report: Report = silent) -> Outcome:
    """Where the letters of a replay are now.

    What waits is counted first: a record that is parked meanwhile may count twice, but never as gone out. Reads the
    letters since the order, and the records that wait. Raises `BadRequest`, `NothingMatched` and `KafkaUnreachable`.
    """
    with open_letters(installation, name) as opened:
        job = opened.view.jobs.get(job_id)
        if job is None:
            raise NothingMatched(f"{name} has no job {job_id}")
        if why := untold(name, NamedJob(job_id, job)):
            raise BadRequest(why)
        mark = b'"job":"' + job_id.encode() + b'"'
        waiting, read = _waiting(opened, mark, report)
        starts, is_whole = _starts(opened, job)
        groups, left = Groups(lambda message: opened.events.read_now(message).event_type), 0
        for partition, letters in opened.scan(starts, lambda count: report(read + count)):
            marked = list(_marked(letters, mark))
            open_ones = [one for one in marked if not opened.is_settled(partition, one.offset())]
            left += len(marked) - len(open_ones)
            groups.take(open_ones, f"{opened.dead.names[partition[0]]}/{partition[1]}", None)
    troubles = groups.troubles()
    parked_again = sum(one.count for one in troubles) + groups.others
    sent = max(job.done, parked_again)  # a job that runs may have sent more since
    if waiting is not None:
        waiting = min(waiting, max(0, sent - parked_again))
    now_ms = installation.clock.epoch_ms()
    return Outcome(job_id, sent, parked_again, tuple(troubles[:CAUSES_MAX]), waiting, left, is_whole, now_ms)


def untold(name: str, named: NamedJob) -> str:
    """Why it cannot be told what became of a job's letters; empty where it can."""
    if named.job.action != "replay":
        return f"job {named.id} is a {named.job.action}: nothing was sent again"
    if name == "source":
        return (
            "letters of the source are routed again, and what is routed does not say by which job: look at the "
            "connectors' letters"
        )
    return ""


def _waiting(opened: OpenLetters, mark: bytes, report: Report) -> tuple[int | None, int]:
    """How many records of the job wait on the connector's topic, None if there is too much to look at; and how many
    records were read."""
    installation, name = opened.installation, opened.dead.name
    topic = opened.dead.settings.topics.connector(name)
    partitions = installation.cluster.partitions(topic)
    commits = Accounts(installation).sink_commits(name)
    ends = installation.cluster.ends(partitions)
    starts = {partition: commits[partition].offset if partition in commits else 0 for partition in partitions}
    if sum(max(0, ends[partition] - start) for partition, start in starts.items()) > WAITING_MAX:
        return None, 0
    count = read = 0

    def told(records: int) -> None:
        nonlocal read
        read = records
        report(records)

    for _, records in opened.scan(starts, told):
        count += sum(1 for _ in _marked(records, mark))
    return count, read


def _starts(opened: OpenLetters, job: Job) -> tuple[dict[Partition, int], bool]:
    """From where on letters may be of the job, and whether all of them are still there."""
    partitions = [
        place for topic in opened.dead.topics.values() for place in opened.installation.cluster.partitions(topic)
    ]
    with closing(opened.installation.open_search(lambda _read, _total: None)) as search:
        spans = search.spans(partitions, max(0, job.created - CLOCKS_MS))
    names = opened.dead.names
    starts, is_whole = dict[Partition, int](), True
    for span in spans:
        topic, number = span.partition
        # What was planned there ended here: what came back is behind it.
        planned = job.ends.get(f"{names[topic]}/{number}", 0)
        starts[span.partition] = max(span.start, planned)
        is_whole = is_whole and (not span.is_cut or planned >= span.earliest)
    return starts, is_whole


def _marked(records: Iterable[Message], mark: bytes) -> Iterator[Message]:
    """Those that the job sent. A verdict's JSON has the mark once: inside a text, JSON writes a quote otherwise."""
    for record in records:
        if mark in (header_of(record.headers() or (), VERDICT_HEADER) or b""):
            yield record


def _of_all(count: int, sent: int) -> str:
    return f"all {sent:,}" if count == sent else f"{count:,} of {sent:,}"
