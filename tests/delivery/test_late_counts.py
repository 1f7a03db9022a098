"""Counts of a deleted topic that came too late: what is missing of them in a commit."""

from __future__ import annotations

import pytest

from streams.delivery.account import RouterCounts
from streams.delivery.late_counts import Late, late_counts
from streams.delivery.metadata import connector_id

NOTHING = RouterCounts()


def counts(read: int, topic: str, connector: str = "one") -> RouterCounts:
    return RouterCounts(routed={connector: read}, read=read, topic=topic)


def test_all_that_was_told_is_missing_where_the_new_topic_began_with_nothing() -> None:
    missing = late_counts(Late(counts(7, "old"), NOTHING), counts(3, "new"))
    assert (missing.read, missing.routed_to("one")) == (7, 7)


def test_only_what_is_beyond_the_copy_is_missing_where_the_new_topic_began_with_a_copy() -> None:
    told = RouterCounts({"one": 7}, {"not_selected": 5}, undecodable=2, lost=1, read=14, topic="old")
    copy = RouterCounts({connector_id("one"): 4}, {"not_selected": 5}, undecodable=1, read=10, topic="old")
    missing = late_counts(Late(told, copy), counts(3, "new"))
    assert (missing.read, missing.routed_to("one"), missing.skipped) == (4, 3, {})
    assert (missing.undecodable, missing.lost) == (1, 1)


@pytest.mark.parametrize(
    ("told", "begun_with", "committed"),
    [
        (counts(7, "old"), counts(7, "old"), counts(9, "new")),
        (counts(7, "old"), counts(8, "old"), counts(9, "new")),
        (counts(7, "old"), NOTHING, counts(7, "old")),
        (counts(7, "old"), NOTHING, None),
        (counts(7, ""), NOTHING, counts(3, "new")),
        (counts(7, "old"), NOTHING, counts(3, "")),
    ],
    ids=["it began with them", "it began with more", "the same topic", "no commit", "no id told", "no id committed"],
)
def test_nothing_is_missing(told: RouterCounts, begun_with: RouterCounts, committed: RouterCounts | None) -> None:
    assert late_counts(Late(told, begun_with), committed) == NOTHING
