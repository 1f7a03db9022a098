"""A minute of the simulated world: `make simulate` plays more of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.acts import (
    Act,
    Ask,
    Key,
    Kill,
    Latency,
    Leave,
    MakeAgain,
    Pass,
    Retain,
    Run,
    SetClock,
    Work,
    Write,
)
from tests.simulation.names import GRACE_SECONDS, SOURCE, TOPIC
from tests.simulation.plan import draw
from tests.simulation.run import failure_of, play

ACTS = 60
PLANS = 45
"""Of each test."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, 1 + 3 * PLANS, PLANS))
def test_every_invariant_holds_whatever_happens_in_the_world(first: int) -> None:
    for seed in range(first, first + PLANS):
        failure = failure_of(seed, ACTS)
        assert failure is None, f"\n{failure}\nagain: make simulate SEED={seed} STEPS=1"


def test_a_keeper_whose_clock_goes_back_behind_its_own_probe_purges_nothing_by_it() -> None:
    dies: list[Act] = [Key(is_dead=True), Write(0, (("good", 3),), 0), Run(5.0), Pass(GRACE_SECONDS + 575.0)]
    orders: list[Act] = [Ask("extend", scope="of nobody", by_ms=1) for _ in range(4)]
    for steps in range(1, 8):
        back: list[Act] = [Run(steps * 0.25), SetClock("sink-0", -400.0), Run(0.5)]
        assert play([*dies, *orders, *back]).problem == ""


def test_a_gap_is_counted_exactly_where_another_partition_was_emptied_behind_its_commit() -> None:
    """The commit of the other partition stands before the last marker, and nothing comes that moves it."""
    first: list[Act] = [Latency(40.0), Write(0, (("good", 1), ("good", 3), ("bad", 0)), 1), Run(2.0)]
    users = (1, 2, 3, 0, 2, 1)
    second: list[Act] = [Write(3, tuple(("good", user) for user in users), 1), Leave("sink-1"), Run(0.5)]
    assert play([*first, *second, Retain(TOPIC, 1, 3), Retain(TOPIC, 0, 0)]).problem == ""


def test_what_a_process_had_counted_before_it_died_is_not_taken_for_lost_when_its_topic_is_deleted() -> None:
    """Its partition has no owner for as long as the session lasts, so its counts are in the keeper's copy alone."""
    first: list[Act] = [Write(0, (("good", 3),), 1), Run(5.0), Pass(31.0)]
    assert play([*first, Kill("sink-1", 8, is_after=True), Run(1.0), MakeAgain(TOPIC)]).problem == ""


def test_letters_of_a_process_that_died_before_any_copy_of_its_counts_are_parked() -> None:
    dies: list[Act] = [Kill("sink-1", 1, is_after=True), Work("sink-1", 1)]
    assert play([Write(0, (("bad", 3),), 0), Run(2.0), *dies, MakeAgain(TOPIC)]).problem == ""


def test_a_currents_partition_that_waits_for_a_schema_is_read_on_when_its_topic_is_made_again() -> None:
    first: list[Act] = [Write(0, (("good", 3), ("undecodable", 3)), 0), Run(5.0)]
    assert play([*first, MakeAgain(SOURCE), Write(2, (("good", 0),), 0)]).problem == ""


def test_a_seed_has_one_plan_and_another_seed_has_another() -> None:
    assert draw(7, ACTS) == draw(7, ACTS)
    assert draw(7, ACTS) != draw(8, ACTS)


def test_a_plan_does_the_same_in_every_process_whatever_its_hashes() -> None:
    script = (
        "from tests.simulation.plan import draw\n"
        "from tests.simulation.run import play\n"
        f"print(play(draw(3, {ACTS})).digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout.splitlines()[-1]
        for seed in ("1", "2")
    }
    assert digests == {play(draw(3, ACTS)).digest}
