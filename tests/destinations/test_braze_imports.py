"""Requests to Braze's cohort import: one cohort, its name before its members, only who joined or left."""

from __future__ import annotations

from typing import Any

import pytest

from streams.delivery.composer import Composed
from tests.destinations.braze_desk import Desk, content, word


@pytest.fixture
def desk() -> Desk:
    return Desk()


def joins(user: str, group: str = "import/7", name: str = "VIP", change: Any = "add") -> Any:
    return word(group, user, change, name=name, target="cohort")


def changes(composed: Composed) -> Any:
    return content(composed.request)["cohort_changes"]


def test_a_cohort_is_named_before_its_members_come_and_once(desk: Desk) -> None:
    composed = desk.compose(joins("ann"), joins("bob"), scope="cohorts")
    assert composed.before is not None
    assert composed.before.url == "http://braze/partners/mixpanel/cohorts"
    told = content(composed.before)
    assert (told["cohort_id"], told["name"], told["created_at"]) == ("7", "VIP", "2026-09-21T13:33:20.123Z")
    assert composed.request is not None
    assert composed.request.url == "http://braze/partners/mixpanel/cohorts/users"
    assert changes(composed) == [{"user_ids": ["ann", "bob"]}]
    again = desk.compose(joins("ann", change="remove"), joins("cid"), scope="cohorts")
    assert again.before is None
    assert changes(again) == [{"user_ids": ["cid"]}, {"user_ids": ["ann"], "should_remove": True}]
    renamed = desk.compose(joins("dan", name="Gold"), scope="cohorts")
    assert renamed.before is not None
    assert content(renamed.before)["name"] == "Gold"


def test_a_name_that_was_not_delivered_is_told_again(desk: Desk) -> None:
    item = desk.item(joins("ann"))
    assert desk.compose(item, scope="cohorts", keeps=False).before is not None
    assert desk.compose(item, scope="cohorts", keeps=False).before is not None


def test_one_cohort_a_request(desk: Desk) -> None:
    records = [joins("ann"), joins("bob"), joins("ann", "import/8", "New")]
    first = desk.compose(*records, scope="cohorts")
    assert first.taken == 2
    assert content(desk.compose(*records[2:], scope="cohorts").request)["cohort_id"] == "8"


def test_no_more_than_a_thousand_users(desk: Desk) -> None:
    composed = desk.compose(*[joins(f"user-{number}") for number in range(1_001)], scope="cohorts")
    assert composed.taken == 1_000
    assert len(changes(composed)[0]["user_ids"]) == 1_000


def test_only_who_joined_or_left_by_the_last_word(desk: Desk) -> None:
    old = desk.item(joins("ann", change="remove"))
    desk.compose(joins("ann"), scope="cohorts")
    composed = desk.compose(
        joins("ann"), joins("bob"), joins("bob", change="remove"), joins("ann", name="Gold"), old, scope="cohorts"
    )
    assert composed.skipped == {0: "unchanged", 3: "unchanged", 4: "stale"}
    assert changes(composed) == [{"user_ids": ["bob"], "should_remove": True}]


def test_memberships_of_attributes_are_remembered_apart(desk: Desk) -> None:
    desk.compose(word("both/7", "ann", name="VIP"))
    composed = desk.compose(joins("ann", "both/7"), scope="cohorts")
    assert changes(composed) == [{"user_ids": ["ann"]}]
    assert list(desk.members("both/7")) == ["ann"]
    assert list(desk.members("both:cohort/7")) == ["ann"]
