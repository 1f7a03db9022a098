"""Counts of retired connectors on fakes: the keeper takes them over, the router drops them, and warns in time."""

from __future__ import annotations

from concurrent.futures import Future

from structlog.testing import capture_logs

from streams.delivery.account import RouterCounts
from streams.delivery.handover import HandedOver
from streams.delivery.metadata import METADATA_BYTES_TO_WARN_AT
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition, Position
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeTransactions
from streams.workers.keeper.commit_copies import LOOK_SECONDS, CommitCopies, GroupCommits, Looked
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.retirement import Retirement
from streams.workers.router.metadata import LOOK_SECONDS_FIRST, MetadataWatch
from streams.workers.router.partitions import PartitionState
from tests.workers.desk import TOPICS
from tests.workers.test_router import SOURCE, Stage, known

PLACE: Partition = (SOURCE, 0)
GONE = {f"gone-{number}": 10**9 for number in range(200)}


def commit(stage: Stage, counts: RouterCounts) -> None:
    stage.kafka.commit([Position(*PLACE, 0, counts.to_metadata())])


def keep(kafka: FakeKafka, rounds: int = 1) -> dict[Partition, HandedOver]:
    """The source's keeper reads what is committed; what it took over by then."""
    clock = MovableClock()
    lease = Lease(
        "source",
        TOPICS,
        "router-0",
        transactions=FakeTransactions(kafka, "keeper"),
        journal=FakeJournal(kafka, TOPICS.state),
        clock=clock,
    )

    def read(_call: object) -> Future[Looked]:
        looked: Future[Looked] = Future()
        commits = {place: (one.offset, one.metadata) for place, one in kafka.committed.items()}
        looked.set_result((GroupCommits(commits, 0), None))
        return looked

    task = CommitCopies(lambda: None, lambda: None, read, Retirement(["one"]))
    for _ in range(rounds):
        task.step(lease)
        task.step(lease)
        clock.advance(LOOK_SECONDS)
    return lease.view.handed_over


def test_the_router_drops_what_the_keeper_took_over_without_any_record_to_read() -> None:
    handed: dict[Partition, HandedOver] = {}
    stage = Stage(hand_overs=lambda: handed)
    commit(stage, RouterCounts({**GONE, "one": 4}))
    stage.kafka.records[PLACE] = []
    stage.run(LOOK_SECONDS_FIRST)
    handed.update(keep(stage.kafka, rounds=3))
    assert sum(handed[PLACE].total.values()) == 200 * 10**9
    assert handed[PLACE].times == 1, "the next step waits until the router committed this one"
    stage.run(3 * LOOK_SECONDS_FIRST)
    after = RouterCounts.from_metadata(stage.kafka.committed[PLACE].metadata).named(["one"])
    assert (after.routed, after.handed_over) == ({"one": 4}, 1)
    stage.write(1, known())
    stage.run(1)
    assert RouterCounts.from_metadata(stage.kafka.committed[PLACE].metadata).routed_to("one") == 5


def test_a_state_that_cannot_be_read_is_read_later_and_routing_goes_on() -> None:
    asked: list[int] = []

    def read() -> dict[Partition, HandedOver]:
        asked.append(1)
        if len(asked) == 1:
            raise KafkaUnreachable("nobody answers")
        return {PLACE: HandedOver(1, {"gone": 7}, {"gone": 7})}

    stage = Stage(hand_overs=read)
    commit(stage, RouterCounts({"gone": 7}))
    stage.write(1, known())
    stage.run(4 * LOOK_SECONDS_FIRST)
    assert RouterCounts.from_metadata(stage.kafka.committed[PLACE].metadata).routed == {"one": 1}
    assert len(asked) == 2, "once nothing is left to give away, it is not read again"


def test_metadata_that_comes_near_to_what_kafka_takes_is_told_once_an_hour_before_a_commit_fails() -> None:
    watch = MetadataWatch(["one"], dict)
    counts = RouterCounts(GONE | {f"too-{number}": 10**9 for number in range(60)})
    state = PartitionState(b"", 1, counts, None, pending_offset=2)
    position = state.position(PLACE)
    assert position is not None
    assert METADATA_BYTES_TO_WARN_AT < len(position.metadata) < 4096
    with capture_logs() as logs:
        for now in (0.0, 60.0, 3_601.0):
            watch.look([position], now)
    assert [line["log_level"] for line in logs] == ["warning", "warning"]
