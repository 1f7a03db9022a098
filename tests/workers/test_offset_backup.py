"""The keeper's copy of commits: only what was read in this term is written in it."""

from __future__ import annotations

from concurrent.futures import Future

from streams.ports.kafka import Partition
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeJournal, FakeKafka, FakeTransactions
from streams.workers.keeper.office import Office
from streams.workers.keeper.offset_backup import Bookkeeping, Books
from tests.workers.desk import TOPICS

PLACE: Partition = ("streams.connector.growth", 0)
Looked = tuple[Books | None, int | None]


def office(kafka: FakeKafka, clock: MovableClock) -> Office:
    return Office(
        "growth",
        TOPICS,
        "sink-0",
        transactions=FakeTransactions(kafka, "keeper"),
        journal=FakeJournal(kafka, TOPICS.state),
        clock=clock,
    )


def books(offset: int, topic_id: str = "one") -> Books:
    return Books({PLACE: (offset, "{}")}, 0, {PLACE[0]: topic_id})


def test_what_was_read_in_an_earlier_term_is_not_written_in_the_next() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    asked: list[Future[Looked]] = []

    def run(_call: object) -> Future[Looked]:
        asked.append(Future())
        return asked[-1]

    keeping = Bookkeeping(lambda: None, lambda: None, run)
    keeping.step(office(kafka, clock))
    keeping.begin()  # the term ends while Kafka is still being asked
    after = office(kafka, clock)
    keeping.step(after)
    asked[1].set_result((books(90), None))
    keeping.step(after)
    asked[0].set_result((books(10), None))
    clock.advance(60)
    keeping.step(after)
    assert after.standing.copies[PLACE[0]].partitions == {"0": (90, "{}")}


def test_a_copy_says_of_which_topic_it_is() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    looked: Future[Looked] = Future()
    looked.set_result((books(5, "another"), None))
    keeping, held = Bookkeeping(lambda: None, lambda: None, lambda _call: looked), office(kafka, clock)
    keeping.step(held)
    keeping.step(held)
    assert held.standing.copies[PLACE[0]].topic_id == "another"


def test_a_record_of_the_state_that_is_no_json_does_not_end_the_keeper() -> None:
    kafka, clock = FakeKafka(), MovableClock()
    held = office(kafka, clock)
    for value in (b"no json", b"[1]", b"\xff"):
        kafka.write(TOPICS.state, value, b"ingest/growth/file")
    held.follow()
    held.confirm()
