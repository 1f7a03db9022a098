"""Some seconds of a simulated inlet, and products that are broken on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.inlets.progress import Entry, State
from streams.ports.kafka import Member, Position
from streams.testing.ports import FakeTransactions
from streams.workers.inlet.lease import InletLease
from tests.simulation.inlet_acts import Act, Cut, Kill, Pass, Put, TakeOver, Wake, Work, draw
from tests.simulation.inlets import Makers, failure_of, play

ACTS = 50
PLANS = 25


class RecordsFirst(InletLease):
    """Writes the records, and how far it is in a transaction of its own."""

    def commit(self, entries: Mapping[str, Entry] | None = None, **others: Any) -> None:
        records = list(others.pop("records", ()))
        if records:
            super().commit(records=records)
        super().commit(entries, **others)


class Unfenced(FakeTransactions):
    """A producer that does not care who took its transactional id."""

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        self.kafka.owners[self._id] = self
        super().commit(positions, member)


class SilentAboutDamage(InletLease):
    """Passes what cannot be read, and says nothing."""

    def commit(self, entries: Mapping[str, Entry] | None = None, **others: Any) -> None:
        told = {name: one for name, one in (entries or {}).items() if one.state not in (State.DAMAGED, State.PARKED)}
        super().commit(told, **others)


def test_each_event_of_a_whole_file_is_written_once_whatever_happens() -> None:
    for seed in range(1, 1 + PLANS):
        failure = failure_of(seed, ACTS)
        assert failure is None, f"\n{failure}\nagain: make simulate SEED={seed} STEPS=1 WORLD=inlets"


def test_a_seed_has_one_plan_and_it_does_the_same_again() -> None:
    assert draw(7, ACTS) == draw(7, ACTS)
    assert draw(7, ACTS) != draw(8, ACTS)
    assert play(draw(3, ACTS)) == play(draw(3, ACTS))


def test_records_that_are_written_apart_from_the_progress_are_found_and_the_plan_is_shortened() -> None:
    makers = Makers(lease=RecordsFirst)
    failure = next(one for seed in range(1, 50) if (one := failure_of(seed, ACTS, makers)))
    assert len(failure.plan) <= 5, str(failure)
    assert play(failure.plan, makers).problem == failure.shortened_problem
    assert not play(failure.plan).problem, "the product as it is survives the same plan"


def test_a_zombie_that_nobody_fences_is_found() -> None:
    plan: list[Act] = [Put("a.avro", 10), Work(4), TakeOver(), Pass(31.0), Work(12), Wake(12)]
    assert "twice" in play(plan, Makers(transactions=Unfenced)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"


def test_a_file_that_is_cut_off_and_passed_without_a_word_is_found() -> None:
    plan: list[Act] = [Put("a.avro", 10), Cut("a.avro", 60), Kill(5, is_after=True), Work(20)]
    assert "nobody says so" in play(plan, Makers(lease=SilentAboutDamage)).problem
    assert not play(plan).problem, "the product as it is survives the same plan"
