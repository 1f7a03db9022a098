"""The keeper's copy of commits: only what was read under this lease is written in it."""

from __future__ import annotations

from concurrent.futures import Future

from streams.delivery.account import RouterCounts, SinkCounts
from streams.delivery.metadata import topic_mark
from streams.ports.kafka import Partition
from streams.state.records import KnownTopic, Totals, key
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeTransactions
from streams.workers.keeper.commit_copies import CommitCopies, GroupCommits, Looked
from streams.workers.keeper.lease import Lease
from tests.workers.desk import TOPICS

PLACE: Partition = ("streams.connector.growth", 0)


def lease(kafka: FakeKafka, clock: MovableClock) -> Lease:
    return Lease(
        "growth",
        TOPICS,
        "sink-0",
        transactions=FakeTransactions(kafka, "keeper"),
        journal=FakeJournal(kafka, TOPICS.state),
        clock=clock,
    )


def committed(offset: int, topic_id: str = "one") -> GroupCommits:
    return GroupCommits({PLACE: (offset, "{}")}, 0, {PLACE[0]: topic_id})


def test_what_was_read_in_an_earlier_lease_is_not_written_in_the_next() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    asked: list[Future[Looked]] = []

    def run(_call: object) -> Future[Looked]:
        asked.append(Future())
        return asked[-1]

    copies = CommitCopies(lambda: None, lambda: None, run)
    copies.step(lease(kafka, clock))
    copies.begin()  # the lease ends while Kafka is still being asked
    after = lease(kafka, clock)
    copies.step(after)
    asked[1].set_result((committed(90), None))
    copies.step(after)
    asked[0].set_result((committed(10), None))
    clock.advance(60)
    copies.step(after)
    assert after.view.copies[PLACE[0]].partitions == {"0": (90, "{}")}


def test_an_excess_that_was_counted_with_a_deleted_topic_meanwhile_is_not_counted_once_more() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    asked: list[Future[Looked]] = []

    def run(_call: object) -> Future[Looked]:
        asked.append(Future())
        return asked[-1]

    copies, held = CommitCopies(lambda: None, lambda: None, run), lease(kafka, clock)
    copies.step(held)
    held.commit({key("totals", "growth"): Totals(again=1, revision=1)})
    asked[0].set_result((GroupCommits({PLACE: (5, "{}")}, 2), 1))
    copies.step(held)
    assert (held.view.totals.overcounted, held.view.totals.reconciled) == (0, 0)
    clock.advance(60)
    copies.step(held)
    asked[1].set_result((GroupCommits({PLACE: (5, "{}")}, 2), 0))
    copies.step(held)
    assert (held.view.totals.overcounted, held.view.totals.reconciled) == (0, 2)


def test_a_copy_says_of_which_topic_it_is() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    looked: Future[Looked] = Future()
    looked.set_result((committed(5, "another"), None))
    copies, held = CommitCopies(lambda: None, lambda: None, lambda _call: looked), lease(kafka, clock)
    copies.step(held)
    copies.step(held)
    assert held.view.copies[PLACE[0]].topic_id == "another"


def test_a_record_of_the_state_that_is_no_json_does_not_end_the_keeper() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    held = lease(kafka, clock)
    for value in (b"no json", b"[1]", b"\xff"):
        kafka.write(TOPICS.state, value, b"ingest/growth/file")
    held.follow()
    held.confirm()


def test_counts_of_partitions_of_a_topic_that_was_made_again_stay_in_the_copy_until_each_is_committed() -> None:
    """Members commit one after the other; a partition that nobody committed yet begins at the copy."""
    kafka, clock, topic = FakeKafka(), MovableClock(), PLACE[0]
    before = {(topic, number): (30 + number, counted(number + 1, "old")) for number in range(3)}
    looked = [
        GroupCommits(before, 0, {topic: "old"}),
        GroupCommits({(topic, 1): (4, counted(9, "new"))}, 0, {topic: "new"}),
    ]
    found = iter(looked)

    def run(_call: object) -> Future[Looked]:
        future: Future[Looked] = Future()
        future.set_result((next(found), None))
        return future

    copies, held = CommitCopies(lambda: None, lambda: None, run), lease(kafka, clock)
    for _ in looked:
        copies.step(held)
        copies.step(held)
        clock.advance(60)
    copy = held.view.copies[topic]
    assert copy.topic_id == "new"
    assert copy.partitions == {"0": before[topic, 0], "1": (4, counted(9, "new")), "2": before[topic, 2]}


def counted(read: int, topic_id: str) -> str:
    return RouterCounts(read=read, topic=topic_mark(topic_id)).to_metadata()


def committed_under(state_id: str, found: str) -> GroupCommits:
    """GroupCommits of a sink that committed while the state topic had one id, and has another one now."""
    counts = SinkCounts(delivered=5, state=topic_mark(state_id))
    return GroupCommits({PLACE: (5, counts.to_metadata())}, 0, {}, state_id=found)


def told(kafka: FakeKafka, clock: MovableClock, held: Lease, found: GroupCommits) -> int:
    """How often the loss of the state is told, once the committed were read under this lease."""
    looked: Future[Looked] = Future()
    looked.set_result((found, None))
    copies = CommitCopies(lambda: None, lambda: None, lambda _call: looked)
    for _ in range(4):
        copies.step(held)
        clock.advance(60)
    return sum(b"state lost" in (one.value() or b"") for one in kafka.read(TOPICS.audit))


def test_the_first_keeper_of_a_state_topic_tells_once_that_sinks_committed_by_another_one() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    first = lease(kafka, clock)
    first.commit({key("topic", "growth", "rejected"): KnownTopic(topic_id="one")})
    assert told(kafka, clock, first, committed_under("old", "new")) == 1
    assert first.view.known_topics["rejected"].is_uncounted
    assert told(kafka, clock, lease(kafka, clock), committed_under("old", "new")) == 1, "a later keeper knows the state"


def test_nothing_is_lost_where_the_state_topic_is_the_same_or_is_not_known() -> None:
    for found in (committed_under("one", "one"), committed_under("one", ""), committed(5)):
        kafka, clock = FakeKafka(), MovableClock()
        first = lease(kafka, clock)
        first.commit({key("topic", "growth", "rejected"): KnownTopic(topic_id="one")})
        assert told(kafka, clock, first, found) == 0


def test_the_last_copy_of_a_process_that_stops_is_written_and_judges_nothing() -> None:
    """A keeper that wrote again what it knows may stop before its sinks commit by the new topic of the state."""
    kafka, clock = FakeKafka(), MovableClock()
    held = lease(kafka, clock)
    held.commit({key("topic", "growth", "rejected"): KnownTopic(topic_id="one")})
    found = committed_under("old", "new")
    CommitCopies(lambda: found, lambda: None, lambda _call: Future()).finish(held)
    assert held.view.copies[PLACE[0]].partitions == {"0": found.commits[PLACE]}
    assert not any(b"state lost" in (one.value() or b"") for one in kafka.read(TOPICS.audit))
