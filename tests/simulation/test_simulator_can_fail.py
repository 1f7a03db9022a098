"""The simulator finds products that are broken on purpose, and shows each fault with a few acts that repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from streams.ports.errors import RecordsRefused
from streams.ports.kafka import Gap, Member, Position
from streams.state.audit import Line
from streams.state.records import Record
from streams.testing.ports import FakeTransactions
from streams.workers.keeper.known_topics import KnownTopics, MissingRecords
from streams.workers.keeper.lease import Lease, Outgoing
from streams.workers.keeper.purge import Purge
from streams.workers.sink.committer import Progresses, SinkCommitter
from streams.workers.sink.worker import Sink
from tests.simulation.acts import (
    Act,
    Ask,
    Connect,
    Faults,
    Key,
    Latency,
    Leave,
    Limit,
    MakeAgain,
    Pass,
    Replace,
    Retain,
    Run,
    SetClock,
    Start,
    Wake,
    Work,
    Write,
)
from tests.simulation.names import GRACE_SECONDS, TOPIC, letter_topics
from tests.simulation.plan import draw
from tests.simulation.run import failure_of, play
from tests.simulation.world import Makers

ACTS = 60
SEEDS_MAX = 200
ACTS_LEFT_MAX = 20


class OffsetsFirst(SinkCommitter):
    """Commits the offsets, and writes the letters in a transaction of their own."""

    def _commit_transaction(self, progresses: Progresses) -> None:
        self._consumer.commit(self._positions(progresses))
        super()._commit_transaction(progresses)


class CursorsFirst(Lease):
    """Writes what changed, and the records that go back in a transaction of their own."""

    def commit(
        self,
        changes: Mapping[str, Record | None],
        *,
        records: Iterable[Outgoing] = (),
        audit: Sequence[Line] = (),
    ) -> None:
        going = list(records)
        if going:
            super().commit({}, records=going)
        super().commit(changes, audit=audit)


class Unfenced(FakeTransactions):
    """A keeper's producer that does not care who took its transactional id."""

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        self.kafka.owners[self._id] = self
        super().commit(positions, member)


class DeafToGaps(Sink):
    """A sink that goes on behind what retention deleted, and counts nothing."""

    def gap(self, gap: Gap) -> None: ...


class ParksForOthers(Sink):
    """A sink that parks the events of all scopes once one of them is INVALID."""

    def _park_invalid(self) -> None:
        for refusal in self._gates.invalid.values():
            for scope, lane in self._dispatch.lanes.items():
                self._intake.flush(scope)
                lane.park_waiting(refusal)


class SendsSettled(Sink):
    """A sink that sends again what an answer settled."""

    def step(self) -> None:
        under_way = self._dispatch.in_flight
        super().step()
        for batch in under_way - self._dispatch.in_flight:
            lane = self._dispatch.lanes[batch.scope]
            if not lane.holds(batch):
                lane.offer(batch)


class ClockBelieved(Lease):
    """A keeper that purges by its own clock, whatever the broker's says."""

    def clock_problem(self, _fresh_seconds: float) -> str:
        return ""


class DeafToOrders(Purge):
    """Purges though an order waits that moves the deadline."""

    def _is_order_waiting(self, _lease: Lease) -> bool:
        return False


class RefusedForgotten(Lease):
    """Passes the letters that Kafka does not take back, and writes them nowhere."""

    def commit(
        self,
        changes: Mapping[str, Record | None],
        *,
        records: Iterable[Outgoing] = (),
        audit: Sequence[Line] = (),
    ) -> None:
        going = list(records)
        try:
            super().commit(changes, records=going, audit=audit)
        except RecordsRefused:
            super().commit(changes, audit=audit)


class DeletedUncounted(KnownTopics):
    """Notices that a topic was made again, and counts nothing of what was deleted with it."""

    def _take(self, lease: Lease, _missing: MissingRecords) -> bool:
        return super()._take(lease, MissingRecords({}))


class BlindToTopics(KnownTopics):
    """Goes on by the cursors of a topic that was deleted."""

    def _look(self, lease: Lease) -> None:
        if not lease.view.known_topics:
            super()._look(lease)


LETTERS_APART = Makers(committer=OffsetsFirst)
CURSORS_APART = Makers(lease=CursorsFirst)
UNFENCED = Makers(keepers_transactions=Unfenced)
GAPS_UNCOUNTED = Makers(sink=DeafToGaps)
REFUSED_FORGOTTEN = Makers(lease=RefusedForgotten)
PARKS_FOR_OTHERS = Makers(sink=ParksForOthers)
SENDS_SETTLED = Makers(sink=SendsSettled)
CLOCK_BELIEVED = Makers(lease=ClockBelieved)
ORDERS_UNHEARD = Makers(purge=DeafToOrders)
DELETED_UNCOUNTED = Makers(known_topics=DeletedUncounted)
BLIND_TO_TOPICS = Makers(known_topics=BlindToTopics)


def first_failure(makers: Makers, first: int) -> int:
    """The first seed, from this one on, whose plan this product does not survive."""
    return next(seed for seed in range(first, SEEDS_MAX) if play(draw(seed, ACTS), makers).problem)


@pytest.mark.timeout(600)
def test_letters_that_go_back_apart_from_their_cursors_are_found_by_a_seed() -> None:
    seed = first_failure(CURSORS_APART, 30)
    assert not play(draw(seed, ACTS)).problem, "the product as it is survives the same plan"


def test_a_keeper_that_nobody_fences_is_found_when_it_wakes_as_a_zombie() -> None:
    plan: list[Act] = [Run(2.0), Replace("sink-0"), Pass(46.0), Run(3.0), Ask("suspend"), Wake(4)]
    assert "after epoch 2 began" in play(plan, UNFENCED).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_records_that_retention_deleted_uncounted_are_found() -> None:
    route = Work("router-0", 10)
    plan: list[Act] = [
        Run(2.0),
        Write(0, (("good", 0), ("good", 1)), 0),
        route,
        *(Retain(TOPIC, one, 0) for one in (0, 1)),
    ]
    assert "wait" in play([*plan, Run(2.0)], GAPS_UNCOUNTED).problem
    assert not play([*plan, Run(2.0)]).problem, "the product as it is survives the same plan"


def test_letters_that_kafka_does_not_take_back_and_nobody_keeps_are_found() -> None:
    parked: list[Act] = [Run(2.0), Key(is_dead=True), Write(0, (("large", 0),), 0), Run(5.0)]
    plan: list[Act] = [*parked, Limit(TOPIC, is_on=True), Key(is_dead=False), Pass(31.0), Run(5.0)]
    assert "the account says 1 wait" in play(plan, REFUSED_FORGOTTEN).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_letters_of_a_scope_whose_key_is_good_are_found() -> None:
    dies: list[Act] = [Connect("mparticle"), Run(2.0), Key(is_dead=True, scope="ios"), Write(0, (("good", 0),), 0)]
    plan: list[Act] = [*dies, Run(5.0), Faults(("503",)), Write(1, (("good", 1),), 0), Run(2.0)]
    assert "never bad" in play(plan, PARKS_FOR_OTHERS).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_events_that_were_settled_and_are_sent_again_are_found() -> None:
    plan: list[Act] = [Run(2.0), Write(0, (("good", 0),), 0), Run(2.0)]
    assert "good-0 was sent again" in play(plan, SENDS_SETTLED).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_of_a_request_that_lost_a_partition_only_what_its_sender_kept_counts_as_settled() -> None:
    """A request fails for long. A partition of it moves away and comes back, and its event is read anew: that one goes
    in the old request, whose bytes may not change, and in another."""
    fails: list[Act] = [Leave("sink-0"), Faults(("500",) * 4), Write(0, (("good", 0), ("good", 1), ("good", 2)), 0)]
    moves: list[Act] = [Start("sink-0"), Run(0.5), Leave("sink-0")]
    plan: list[Act] = [Run(1.0), *fails, Run(10.0), *moves, Run(60.0)]
    assert not play(plan).problem
    assert "was sent again" in play(plan, SENDS_SETTLED).problem


def test_a_keeper_that_believes_its_own_clock_is_found_when_that_jumps() -> None:
    parked: list[Act] = [Run(2.0), Key(is_dead=True), Write(0, (("good", 0),), 0), Run(5.0)]
    jump: list[Act] = [SetClock(process, 3_600.0) for process in ("sink-0", "sink-1")]
    plan = [*parked, *jump, Pass(31.0), Run(5.0), Pass(31.0), Run(5.0)]
    assert "clock differs by 3600 s" in play(plan, CLOCK_BELIEVED).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_purge_while_an_extension_waits_is_found() -> None:
    parked: list[Act] = [Run(2.0), Key(is_dead=True), Write(0, (("good", 0),), 0), Run(5.0)]
    orders: list[Act] = [*(Ask("cancel") for _ in range(8)), Ask("extend", scope="default", by_ms=120_000)]
    plan = [*parked, Pass(GRACE_SECONDS + 40.0), *orders, Run(5.0)]
    assert "an extension waited" in play(plan, ORDERS_UNHEARD).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_records_that_were_deleted_with_their_topic_uncounted_are_found() -> None:
    plan: list[Act] = [Run(2.0), Latency(40.0), Write(0, (("good", 0), ("good", 1)), 0), Run(2.0), MakeAgain(TOPIC)]
    assert "the account says 2 wait, there are 0" in play(plan, DELETED_UNCOUNTED).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_keeper_that_goes_on_by_the_cursors_of_a_deleted_topic_is_found() -> None:
    parked: list[Act] = [Run(2.0), Key(is_dead=True), Write(0, (("good", 0),), 0), Run(5.0)]
    redriven: list[Act] = [Key(is_dead=False), Pass(31.0), Run(5.0)]
    plan = [*parked, *redriven, MakeAgain(letter_topics(["default"])["credentials.default"])]
    assert "hold up the others" in play(plan, BLIND_TO_TOPICS).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


@pytest.mark.timeout(600)
def test_a_plan_that_fails_is_made_short_and_what_is_left_repeats_the_failure() -> None:
    failure = failure_of(first_failure(LETTERS_APART, 10), ACTS, LETTERS_APART)
    assert failure is not None
    assert len(failure.plan) <= ACTS_LEFT_MAX, str(failure)
    again = [play(failure.plan, LETTERS_APART) for _ in range(2)]
    assert [one.problem for one in again] == [failure.shortened_problem] * 2
    assert again[0].digest == again[1].digest
    assert not play(failure.plan).problem, "the product as it is survives the same plan"
