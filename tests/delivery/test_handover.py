"""Counts of connectors that left the configuration change hands, and count once at every moment."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery.account import RouterCounts
from streams.delivery.handover import HandedOver, next_hand_over, owed, retired, without
from streams.delivery.metadata import METADATA_BYTES_TO_WARN_AT

NAMES = [f"connector-{number}" for number in range(5)]


class Installation:
    """One partition: a commit, the keeper's record and copy, and a router that may be killed at any moment."""

    def __init__(self) -> None:
        self.connectors = set(NAMES)
        self.commit = RouterCounts().to_metadata()
        self.record: HandedOver | None = None
        self.copy: str | None = None
        self.truth_of_copy: dict[str, int] = {}
        self.router = RouterCounts()
        self.truth = dict.fromkeys(NAMES, 0)

    def route(self, name: str, count: int) -> None:
        """Records and counts in one transaction, which commits."""
        self.router.route(name, count)
        self.truth[name] += count
        self.commit = self.router.to_metadata()

    def restart(self) -> None:
        self.router = RouterCounts.from_metadata(self.commit)

    def forget_the_group(self) -> None:
        """Kafka forgets the commits; nothing was routed since the copy."""
        is_newest = self.truth_of_copy == self.truth
        if self.copy is not None and is_newest and counted(self.copy) == counted(self.commit):
            self.commit = self.copy
            self.restart()

    def take_over(self, is_late: bool) -> None:
        commit = self.copy if is_late and self.copy is not None else self.commit
        handed = next_hand_over(RouterCounts.from_metadata(commit), self.connectors, self.record)
        if handed is not None:
            self.record, self.copy = handed, commit
            if commit == self.commit:
                self.truth_of_copy = dict(self.truth)

    def give_away(self, is_committed: bool) -> None:
        if self.record is not None:
            self.router = without(self.router, self.record)
            if is_committed:
                self.commit = self.router.to_metadata()

    def counts(self) -> dict[str, int]:
        read = RouterCounts.from_metadata(self.commit)
        kept = RouterCounts({} if self.record is None else owed(read, self.record))
        return {name: read.routed_to(name) + kept.routed_to(name) for name in NAMES}


def counted(metadata: str) -> dict[str, int]:
    read = RouterCounts.from_metadata(metadata)
    return {name: read.routed_to(name) for name in NAMES}


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_at_every_moment_each_record_counts_once(random: Random) -> None:
    one = Installation()
    for _ in range(60):
        step = random.randrange(7)
        if step == 0:
            one.connectors ^= {random.choice(NAMES)}
            one.restart()
        elif step == 1 and one.connectors:
            one.route(random.choice(sorted(one.connectors)), random.randrange(1, 2**40))
        elif step == 2:
            one.take_over(is_late=random.random() < 0.3)
        elif step == 3:
            one.give_away(is_committed=random.random() < 0.7)
        elif step == 4:
            one.restart()
        elif step == 5:
            one.forget_the_group()
        assert one.counts() == one.truth


def test_an_installation_that_had_a_thousand_connectors_can_still_commit() -> None:
    names = [f"a-connector-with-a-longer-name-{number:04d}" for number in range(1_000)]
    record, commit = None, RouterCounts().to_metadata()
    for first in range(0, 1_000, 100):
        configured = names[first : first + 100]
        router = RouterCounts.from_metadata(commit)
        for name in configured:
            router.route(name, 10**9)
        commit = router.to_metadata()
        assert len(commit) < METADATA_BYTES_TO_WARN_AT
        record = next_hand_over(router, configured, record) or record
        commit = (router if record is None else without(router, record)).to_metadata()
    read = RouterCounts.from_metadata(commit)
    assert record is not None
    kept = RouterCounts(owed(read, record))
    assert [read.routed_to(name) + kept.routed_to(name) for name in names] == [10**9] * 1_000


def test_a_commit_that_somebody_set_to_nothing_does_not_go_below_nothing() -> None:
    handed = next_hand_over(RouterCounts({"gone": 7, "here": 3}), ["here"])
    assert handed is not None
    nothing = RouterCounts.from_metadata("")
    assert owed(nothing, handed) == {"gone": 7}
    after = without(nothing, handed)
    assert after.routed == {}
    assert owed(after, handed) == {"gone": 7}


def test_a_step_begins_only_once_the_one_before_it_is_committed() -> None:
    counts = RouterCounts({"gone": 7})
    first = next_hand_over(counts, [])
    assert first is not None
    counts.route("gone", 5)
    assert next_hand_over(counts, [], first) is None
    after = without(counts, first)
    assert retired(after, []) == {"gone": 5}
    second = next_hand_over(after, [], first)
    assert second is not None
    assert (second.times, second.total) == (2, {"gone": 12})
