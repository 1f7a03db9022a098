"""The simulator of the way back finds products that are broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from streams.delivery.received import ReceivedCounts
from streams.delivery.sent_rows import FLIGHT
from streams.ports.kafka import Headers, Member, Position, Transactions
from streams.testing.memories import FakeMemories, FakePartitionMemory
from streams.testing.ports import FakeTransactions
from streams.workers.receiver.requests import Prepared
from streams.workers.receiver.writer import ReceiverWriter
from streams.workers.sink.committer import Progresses, SinkCommitter
from tests.simulation.acts import Kill, Pass, Replace, Run, Start, Wake
from tests.simulation.way_back.acts import Batch, Copied, Moved, Send, WayAct
from tests.simulation.way_back.plan import draw
from tests.simulation.way_back.run import failure_of, play
from tests.simulation.way_back.world import WayMakers

ACTS = 60
SEEDS_MAX = 200
ACTS_LEFT_MAX = 20


class WithoutFlights:
    """Transactions that leave out the rows of requests that are on their way."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self.begin, self.commit, self.abort = transactions.begin, transactions.commit, transactions.abort
        self.close = transactions.close

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        if key is None or not key.startswith(FLIGHT):
            self._transactions.write(topic, value, key, headers, partition)


def without_flights(*given: Any, transactions: Transactions, **named: Any) -> SinkCommitter:
    return SinkCommitter(*given, transactions=WithoutFlights(transactions), **named)


class OffsetsFirst(SinkCommitter):
    """Commits the offsets, and what is remembered in a transaction of its own."""

    def _commit_transaction(self, progresses: Progresses) -> None:
        self._consumer.commit(self._positions(progresses))
        super()._commit_transaction(progresses)


class AnswersFirst(ReceiverWriter):
    """A receiver that answers, and then commits."""

    def _write(self, batch: Sequence[Prepared]) -> None:
        for one in batch:
            one.request.answer.set_result(one.reception)
        for one in batch:
            self._commit(one.outgoing, {one.request.account: ReceivedCounts(one.received, one.skipped)})


class CountsApart(ReceiverWriter):
    """A receiver that counts in another transaction than it writes."""

    def _commit(self, outgoing: Any, counts: Any) -> None:
        super()._commit(outgoing, {})
        super()._commit((), counts)


class Forgetful(FakePartitionMemory):
    """Remembers no event."""

    def seen_among(self, _event_ids: Sequence[str]) -> Collection[str]:
        return ()


class ForgetfulMemories(FakeMemories):
    def open(self, partition: int, beat: Callable[[], None]) -> FakePartitionMemory:
        found = super().open(partition, beat)
        found.__class__ = Forgetful
        return found


class Memberless(FakePartitionMemory):
    """Knows nobody of a group."""

    def members(self, _group: str) -> Iterator[str]:
        return iter(())


class MemberlessMemories(FakeMemories):
    def open(self, partition: int, beat: Callable[[], None]) -> FakePartitionMemory:
        found = super().open(partition, beat)
        found.__class__ = Memberless
        return found


class Unfenced(FakeTransactions):
    """A receiver's producer that does not care who took its transactional id."""

    def __init__(self, process: Any) -> None:
        super().__init__(process.world.kafka, process.transactional_id)

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        self.kafka.owners[self._id] = self
        super().commit(positions, member)


def one_partition(*given: Any, **named: Any) -> ReceiverWriter:
    """A receiver that writes pages to the first partition alone."""
    return ReceiverWriter(*given, **{**named, "partitions_of": lambda _topic: 1})


EVENTS = Send((Batch(1, (), (1, 2, 3)),))


def test_events_that_go_before_their_flight_is_committed_are_found() -> None:
    plan: list[WayAct] = [Run(2.0), EVENTS, Run(2.0)]
    assert "a row says 0" in play(plan, WayMakers(committer=without_flights)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_events_of_a_request_that_comes_again_are_found_where_nobody_remembers_them() -> None:
    twice: list[WayAct] = [Run(2.0), EVENTS, Kill("receiver-1", 6, is_after=True), Run(3.0), Start("receiver-1")]
    plan = [*twice, Run(5.0)]
    assert "3 events too often, and 0 are counted" in play(plan, WayMakers(memories=ForgetfulMemories)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_receiver_that_answers_before_it_commits_is_found() -> None:
    plan: list[WayAct] = [Run(2.0), EVENTS, Kill("receiver-1", 1, is_after=False), Run(1.0)]
    assert "answered, and in 0 of 1 partitions" in play(plan, WayMakers(receiver=AnswersFirst)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_receiver_that_counts_apart_is_found() -> None:
    plan: list[WayAct] = [Run(2.0), EVENTS, Kill("receiver-1", 5, is_after=True), Run(1.0)]
    assert "the account says" in play(plan, WayMakers(receiver=CountsApart)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_receiver_that_nobody_fences_is_found_when_it_wakes_as_a_zombie() -> None:
    joins = Send((Moved("cohorts/7", 1, "add_members", (0,)),))
    plan: list[WayAct] = [Run(2.0), EVENTS, Pass(0.05), Replace("receiver-1"), joins, Run(1.0), Wake(2)]
    assert "the account says" in play(plan, WayMakers(receivers_transactions=Unfenced)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_members_who_leave_by_a_full_copy_are_found_where_nobody_knows_them() -> None:
    first, second = (Send((Copied("cohorts/9", session, 1, 1, users),)) for session, users in ((1, (0, 1)), (2, (1,))))
    plan: list[WayAct] = [Run(2.0), first, Run(3.0), second, Run(3.0)]
    assert "user-0 is in ['New']" in play(plan, WayMakers(memories=MemberlessMemories)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_pages_that_not_every_partition_gets_are_found() -> None:
    plan: list[WayAct] = [Run(2.0), Send((Copied("cohorts/9", 1, 1, 1, (0, 1, 2, 3, 4, 5)),)), Run(3.0)]
    assert "in 1 of 2 partitions" in play(plan, WayMakers(receiver=one_partition)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


@pytest.mark.timeout(600)
def test_what_is_remembered_apart_from_its_offsets_is_found_by_a_seed_whose_plan_is_made_short() -> None:
    makers = WayMakers(committer=OffsetsFirst)
    seed = next(seed for seed in range(1, SEEDS_MAX) if play(draw(seed, ACTS), makers).problem)
    failure = failure_of(seed, ACTS, makers)
    assert failure is not None
    assert len(failure.plan) <= ACTS_LEFT_MAX, str(failure)
    again = play(failure.plan, makers)
    assert again.problem == failure.shortened_problem
    assert not play(failure.plan).problem, "the product as it is survives the same plan"
