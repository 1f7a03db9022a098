"""What a process tells of a topic that was deleted after its partitions were taken away."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streams.delivery.account import RouterCounts
from streams.delivery.metadata import topic_mark
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.state.worker_records import LastCommit
from streams.testing.clock import MovableClock
from streams.workers.reading.last_commits import KEEP_SECONDS, LOOK_SECONDS, LastCommits

OPEN: Partition = ("currents.Open", 3)


class Stage:
    """A topic with an id, what the state topic has, and one process."""

    def __init__(self) -> None:
        self.ids: dict[str, str] | None = {OPEN[0]: "old"}
        self.told: dict[Partition, LastCommit] = {}
        self.clock = MovableClock()
        self.commits = LastCommits("source", self.topic_ids, lambda: self.told, self.clock)

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        if self.ids is None:
            raise KafkaUnreachable("no broker answers")
        return {topic: name for topic, name in self.ids.items() if topic in topics}

    def take_away(self, read: int) -> LastCommit:
        commit = counted(read)
        self.commits.taken_away(OPEN, commit.offset, commit.metadata)
        return commit


def counted(read: int) -> LastCommit:
    counts = RouterCounts(routed={"one": read}, read=read, topic=topic_mark("old"))
    return LastCommit(offset=read, metadata=counts.to_metadata())


def test_a_topic_that_is_deleted_soon_after_nobody_had_it_any_more_is_told() -> None:
    stage = Stage()
    commit = stage.take_away(7)
    assert stage.commits.of_deleted() == {}
    stage.clock.advance(LOOK_SECONDS)
    stage.ids = {OPEN[0]: "new"}
    assert stage.commits.of_deleted() == {OPEN: commit}
    stage.commits.written([OPEN])
    stage.clock.advance(LOOK_SECONDS)
    assert stage.commits.of_deleted() == {}


def test_a_topic_that_is_gone_is_told_at_once_where_its_partitions_are_given() -> None:
    stage = Stage()
    commit = stage.take_away(7)
    assert stage.commits.of_deleted() == {}
    stage.ids = {OPEN[0]: "new"}
    assert stage.commits.of_deleted([OPEN]) == {OPEN: commit}


def test_a_partition_that_comes_back_is_not_told_when_its_topic_is_deleted_later() -> None:
    stage = Stage()
    stage.take_away(7)
    assert stage.commits.of_deleted([OPEN]) == {}
    stage.clock.advance(LOOK_SECONDS)
    stage.ids = {}
    assert stage.commits.of_deleted() == {}


def test_what_another_process_told_with_more_counts_stays() -> None:
    stage = Stage()
    stage.take_away(7)
    stage.told[OPEN] = counted(9)
    stage.ids = {}
    assert stage.commits.of_deleted() == {}


def test_what_another_process_told_with_fewer_counts_is_told_anew() -> None:
    stage = Stage()
    commit = stage.take_away(7)
    stage.told[OPEN] = counted(5)
    stage.ids = {}
    assert stage.commits.of_deleted() == {OPEN: commit}


def test_while_no_broker_answers_nothing_is_told_and_nothing_forgotten() -> None:
    stage = Stage()
    commit = stage.take_away(7)
    stage.ids = None
    assert stage.commits.of_deleted() == {}
    stage.ids = {}
    stage.clock.advance(LOOK_SECONDS)
    assert stage.commits.of_deleted() == {OPEN: commit}


def test_after_a_while_it_is_another_process_that_tells() -> None:
    stage = Stage()
    stage.take_away(7)
    stage.clock.advance(KEEP_SECONDS)
    stage.ids = {}
    assert stage.commits.of_deleted() == {}
