"""Settled letters are passed by the cursor and their bits taken back, not before a replay may be done again."""

from __future__ import annotations

from streams.ports.errors import TransactionAborted
from streams.state.records import PURGED, REJECTED
from tests.workers.desk import TOPICS, Desk

DAY = 86_400
BLOCK = 8_192


def bits(desk: Desk) -> dict[tuple[str, int], list[int]]:
    """Settled offsets that are remembered one by one."""
    return {place: list(settled) for place, settled in desk.lease.view.settled.items() if len(settled)}


def test_leading_settled_letters_are_passed_a_day_after_the_replay() -> None:
    desk = Desk()
    for number in range(6):
        desk.letter(b"%d" % number, cause="gave-up" if number == 4 else "rejected")
    desk.finish(desk.order(causes=("rejected",)))
    desk.settle()
    assert desk.lease.view.cursors == {}
    desk.clock.advance(DAY)
    desk.settle()
    assert desk.lease.view.cursors == {(REJECTED, 0): 4}
    assert desk.lease.view.is_settled((REJECTED, 0), 5)
    assert not desk.lease.view.is_settled((REJECTED, 0), 4)
    desk.finish(desk.order())
    desk.clock.advance(DAY)
    desk.settle()
    assert desk.lease.view.cursors == {(REJECTED, 0): 6}


def test_a_purge_is_passed_at_once() -> None:
    desk = Desk()
    desk.fill(9)
    desk.finish(desk.order("purge"))
    desk.settle()
    assert desk.lease.view.cursors == {(REJECTED, partition): 3 for partition in range(3)}


def test_nothing_is_passed_while_a_job_is_under_way() -> None:
    desk = Desk()
    desk.fill(30)
    desk.finish(desk.order("purge", limit=12))
    desk.order("purge", rate=4)
    desk.jobs.step(desk.lease)
    desk.settle()
    assert desk.lease.view.cursors == {}


def test_blocks_before_the_cursor_are_taken_back_whoever_moved_it() -> None:
    desk = Desk()
    for number in range(BLOCK + 10):
        desk.letter(b"%d" % number)
    desk.finish(desk.order("purge"))
    before = bits(desk)
    assert before.keys() == {(REJECTED, 0), (PURGED, 0)}
    desk.settle()
    assert desk.lease.view.cursors == {(REJECTED, 0): BLOCK + 10}
    assert bits(desk) == {
        (REJECTED, 0): list(range(BLOCK, BLOCK + 10)),
        (PURGED, 0): list(range(BLOCK, BLOCK + 10)),
    }
    taken_back = [message for message in desk.kafka.read(TOPICS.state) if message.value() is None]
    assert {message.key() for message in taken_back} == {b"settled/growth/rejected/0/0", b"settled/growth/purged/0/0"}
    desk.take_over()
    assert bits(desk).keys() == {(REJECTED, 0), (PURGED, 0)}


def test_what_is_passed_is_passed_once_through_kills_and_refusals() -> None:
    desk = Desk()
    for number in range(25_000):
        desk.letter(b"%d" % number)
    desk.finish(desk.order("purge"))
    cursors = [0]
    for round_number in range(12):
        desk.kafka.refuse_commits = round_number % 2
        try:
            desk.rejected_cursor.step(desk.lease)
        except TransactionAborted:
            desk.rejected_cursor.begin()
        desk.kafka.refuse_commits = 0
        if round_number % 3 == 0:
            desk.take_over()
        cursors.append(desk.lease.view.cursor((REJECTED, 0)))
        desk.clock.advance(11)
    assert cursors == sorted(cursors)
    assert cursors[-1] == 25_000
    assert len(set(cursors)) > 3  # a bounded bit at a time


def test_where_nothing_is_settled_nothing_is_read_or_written() -> None:
    desk = Desk()
    desk.fill(9)
    written = len(desk.kafka.read(TOPICS.state))
    desk.settle()
    assert len(desk.kafka.read(TOPICS.state)) == written


def test_letters_that_wait_are_not_read_again_until_more_is_settled() -> None:
    desk = Desk()
    desk.letter(cause="gave-up")
    desk.fill(6)
    desk.finish(desk.order("purge", causes=("rejected",)))
    desk.settle()
    opened = desk.readers_opened
    desk.settle()
    assert desk.readers_opened == opened
    desk.finish(desk.order("purge"))
    desk.settle()
    assert desk.lease.view.cursor((REJECTED, 0)) == 3
