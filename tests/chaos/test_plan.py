"""What plans of chaos promise: the same seed draws the same plan, and of a cluster one broker at most is away."""

from __future__ import annotations

import pytest

from tests.chaos import plan, ways_in_plan

TAKES = (plan.KillBroker, plan.LeaveBroker, plan.FreezeBroker)
SEEDS = range(50)


def acts_of(one: plan.Round[plan.Act]) -> list[plan.Act]:
    return [step.act for step in one.steps]


@pytest.mark.parametrize("is_cluster", [False, True])
def test_a_seed_draws_the_same_plan_again(is_cluster: bool) -> None:
    assert plan.draw(7, 3, 30, is_cluster=is_cluster) == plan.draw(7, 3, 30, is_cluster=is_cluster)
    assert plan.draw(7, 3, 30, is_cluster=is_cluster) != plan.draw(8, 3, 30, is_cluster=is_cluster)


def test_of_a_cluster_one_broker_at_most_is_away_and_comes_back_as_it_went() -> None:
    for seed in SEEDS:
        for one in plan.draw(seed, 4, 30, is_cluster=True):
            back: type[plan.Act] | None = None
            for act in acts_of(one):
                if isinstance(act, TAKES):
                    assert back is None, f"two brokers are away: {one}"
                    back = plan.ThawBroker if isinstance(act, plan.FreezeBroker) else plan.StartBroker
                elif isinstance(act, plan.StartBroker | plan.ThawBroker):
                    assert type(act) is back, f"it comes back otherwise than it went: {one}"
                    back = None


def test_each_violent_round_of_a_cluster_begins_with_a_broker_that_goes_away() -> None:
    for seed in SEEDS:
        for one in plan.draw(seed, 4, 6, is_cluster=True):
            assert any(isinstance(act, TAKES) for act in acts_of(one)[:2]) == (one.mood == "violent")


def test_brokers_are_taken_from_clusters_only() -> None:
    for seed in SEEDS:
        for one in plan.draw(seed, 4, 30):
            assert not any(isinstance(act, TAKES) for act in acts_of(one))


def test_in_a_calm_round_nothing_is_ordered_that_sends_again_what_was_refused_by_name() -> None:
    for seed in SEEDS:
        for one in plan.draw(seed, 6, 30):
            if one.mood == "calm":
                orders = [act.what for act in acts_of(one) if isinstance(act, plan.Ask)]
                assert "replay" not in orders
                assert not any(isinstance(act, plan.Import) for act in acts_of(one))


def test_a_seed_draws_the_same_plan_of_the_ways_in_again() -> None:
    assert ways_in_plan.draw(7, 3, 30) == ways_in_plan.draw(7, 3, 30)
    assert ways_in_plan.draw(7, 3, 30) != ways_in_plan.draw(8, 3, 30)


def test_of_the_ways_in_one_broker_at_most_is_away_and_one_process_of_each_role_is_left_alone() -> None:
    for seed in SEEDS:
        for one in ways_in_plan.draw(seed, 2, 30):
            brokers, hurt = 0, set[str]()
            for step in one.steps:
                match step.act:
                    case plan.KillBroker() | plan.LeaveBroker() | plan.FreezeBroker():
                        brokers += 1
                    case plan.StartBroker() | plan.ThawBroker():
                        brokers -= 1
                    case plan.Kill(process) | plan.Leave(process) | plan.Freeze(process):
                        hurt.add(process)
                    case plan.Start(process) | plan.Thaw(process):
                        hurt.discard(process)
                    case _:
                        continue
                roles = [process.rpartition("-")[0] for process in hurt]
                assert len(set(roles)) == len(roles), f"a role is away: {one}"
                assert brokers in (0, 1), f"two brokers are away: {one}"
