"""What a keeper did between two looks at its own state."""

from __future__ import annotations

from streams.state.records import Totals
from streams.workers.keeper.report import Look, moved

NOTHING = Look(Totals(), {}, frozenset())


def test_letters_that_a_person_had_purged_are_told_apart_from_those_of_the_deadline() -> None:
    before = Look(Totals(purged={"credentials": 10, "rejected": 2}), {"old": 2}, frozenset())
    after = Look(Totals(purged={"credentials": 14, "rejected": 9}), {"old": 2, "new": 7}, frozenset())
    assert dict(moved(before, after).purged) == {"deadline": 4, "ordered": 7, "expired": 0}


def test_a_job_that_was_forgotten_takes_nothing_back() -> None:
    before = Look(Totals(purged={"rejected": 9}), {"old": 9}, frozenset())
    after = Look(Totals(purged={"rejected": 9, "credentials": 1}), {}, frozenset())
    assert dict(moved(before, after).purged) == {"deadline": 1, "ordered": 0, "expired": 0}


def test_letters_that_went_back_are_told_apart_by_who_sent_them() -> None:
    after = Look(
        Totals(redriven={"credentials": 3}, replayed={"rejected": 4}, again=2, expired={"rejected": 5}), {}, frozenset()
    )
    told = moved(NOTHING, after)
    assert (told.redriven, told.replayed, told.purged["expired"]) == (3, 6, 5)


def test_the_alert_of_a_second_episode_is_another_one() -> None:
    first = Look(Totals(), {}, frozenset({("ios", 1_000, "invalid")}))
    second = Look(Totals(), {}, frozenset({("ios", 2_000, "invalid")}))
    assert moved(NOTHING, first).alerts == {"invalid": 1}
    assert moved(first, second).alerts == {"invalid": 1}
    assert moved(second, NOTHING).alerts == {}
