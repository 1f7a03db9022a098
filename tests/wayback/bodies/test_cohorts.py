"""Mixpanel's cohort webhook: every kind of body, and what each becomes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.bodies.cohorts import take
from streams.wayback.bodies.taken import BadBody, Taken
from streams.wayback.entries import Entry, MixpanelCohorts
from streams.wayback.records import Malformed, Membership, Page, encode

NOW = 1_790_000_000_123


def entry(**given: Any) -> MixpanelCohorts:
    content = {"kind": "mixpanel_cohorts", "auth": {"passwords": ["x" * 16]}, **given}
    made = TypeAdapter[Any](Entry).validate_python(content)
    assert isinstance(made, MixpanelCohorts)
    return made


def body(action: str, members: Any = (), **parameters: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "mixpanel_project_id": "p",
        "mixpanel_cohort_id": "7",
        "mixpanel_cohort_name": "VIP",
        "mixpanel_session_id": "s",
        "page_info": {"total_pages": 3, "page_count": 2},
        "members": list(members),
        **parameters,
    }
    return {"action": action, "parameters": {name: value for name, value in given.items() if value is not None}}


def taken(content: Any, **given: Any) -> Taken:
    found = Taken("cohorts", NOW, "request-1")
    take(entry(**given), content, found)
    for record in found.records:
        encode(record)  # each fits its schema
    return found


def member(user: str, **fields: Any) -> dict[str, Any]:
    return {"$distinct_id": user, "email": "someone@example.com", **fields}


def test_a_page_of_a_full_copy_is_its_members_and_behind_them_its_marker() -> None:
    found = taken(body("members", [member("ann"), member("bob")]))
    common: dict[str, Any] = {
        "entry": "cohorts", "time_ms": NOW, "received_ms": NOW, "group_id": "7", "group_name": "VIP",
        "session": "p/s/3", "page": 2, "request": "request-1",
    }  # fmt: skip
    assert found.records == [
        Membership(id="p/s/3/7/ann", external_user_id="ann", change="present", **common),
        Membership(id="p/s/3/7/bob", external_user_id="bob", change="present", **common),
        Page(id="p/s/3/2", pages=3, **common),
    ]
    assert found.answer == {"action": "members", "status": "success"}
    assert not found.skipped


@pytest.mark.parametrize(("action", "change"), [("add_members", "add"), ("remove_members", "remove")])
def test_a_difference_completes_nothing(action: str, change: str) -> None:
    found = taken(body(action, [member("ann")]))
    (record,) = found.records
    assert isinstance(record, Membership)
    assert record.change == change
    assert found.answer == {"action": action, "status": "success"}


@pytest.mark.parametrize("action", ["add_members", "remove_members"])
def test_the_first_page_of_a_difference_tells_the_name_also_without_members(action: str) -> None:
    first = {"page_info": {"total_pages": 3, "page_count": 1}}
    (name,) = taken(body(action, **first)).records
    assert isinstance(name, Page)
    assert (name.id, name.purpose, name.group_id, name.group_name) == (f"p/s/3/{action}", "name", "7", "VIP")
    assert [type(one) for one in taken(body(action, [member("ann")], **first)).records] == [Membership, Page]
    assert not taken(body(action, mixpanel_cohort_name=None, **first)).records


def test_the_same_call_again_has_the_same_ids() -> None:
    once, again = (taken(body("members", [member("ann")])) for _ in range(2))
    assert [record.id for record in once.records] == [record.id for record in again.records]


@pytest.mark.parametrize("action", ["members", "add_members", "remove_members"])
@pytest.mark.parametrize("members", [[], None])
def test_a_call_without_members_is_normal(action: str, members: Any) -> None:
    content = body(action)
    content["parameters"]["members"] = members
    if members is None:
        del content["parameters"]["members"]
    found = taken(content)
    assert [type(record) for record in found.records] == ([Page] if action == "members" else [])


def test_a_flat_body_and_numbers_as_text_and_unknown_keys_are_taken() -> None:
    flat = {"action": "members", "more": 1, **body("members", [member("ann")])["parameters"]}
    flat["page_info"] = {"total_pages": "3", "page_count": "2", "more": 1}
    flat["mixpanel_cohort_id"] = 7
    assert taken(flat).records == taken(body("members", [member("ann")])).records


def test_one_page_needs_no_session_and_no_page_info() -> None:
    found = taken(body("members", [member("ann")], mixpanel_session_id=None, page_info=None))
    page = found.records[-1]
    assert isinstance(page, Page)
    assert (page.session, page.page, page.pages) == ("p/request-1/1", 1, 1)


def test_a_cohort_without_a_name_goes_by_its_id() -> None:
    (record, _) = taken(body("members", [member("ann")], mixpanel_cohort_name=None)).records
    assert isinstance(record, Membership)
    assert record.group_name == "7"


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({"$braze_external_id": "b", "$distinct_id": "d", "mixpanel_distinct_id": "m"}, "b"),
        ({"$distinct_id": "d", "mixpanel_distinct_id": "m"}, "d"),
        ({"$braze_external_id": "", "$distinct_id": None, "mixpanel_distinct_id": "m"}, "m"),
        ({"$distinct_id": 42}, "42"),
    ],
)
def test_the_external_id_is_the_first_property_that_is_there(fields: dict[str, Any], user: str) -> None:
    (record,) = taken(body("add_members", [fields])).records
    assert record.external_user_id == user


@pytest.mark.parametrize(
    "fields", [{}, {"$distinct_id": "  "}, {"$distinct_id": "$device:1234"}, {"$distinct_id": True}, {"$email": "x"}]
)
def test_a_member_without_an_external_id_is_counted(fields: dict[str, Any]) -> None:
    found = taken(body("add_members", [fields, member("ann")]))
    assert [record.external_user_id for record in found.records] == ["ann"]
    assert found.skipped == {"no_external_user_id": 1}


def test_another_property_may_hold_the_external_id() -> None:
    (record,) = taken(body("add_members", [{"crm": "c", "$distinct_id": "d"}]), external_id=["crm"]).records
    assert record.external_user_id == "c"


@pytest.mark.parametrize(
    ("write_as", "targets", "ids"),
    [
        ("attribute", ["attribute"], ["p/s/3/7/ann"]),
        ("cohort_api", ["cohort"], ["p/s/3/7/ann/cohort"]),
        ("both", ["attribute", "cohort"], ["p/s/3/7/ann", "p/s/3/7/ann/cohort"]),
    ],
)
def test_a_membership_is_one_record_for_each_place_it_goes_to(
    write_as: str, targets: list[str], ids: list[str]
) -> None:
    records = taken(body("add_members", [member("ann")]), **{"as": write_as}).records
    assert [record.target for record in records if isinstance(record, Membership)] == targets
    assert [record.id for record in records] == ids


@pytest.mark.parametrize("select", [["8"], ["VIP *"], ["vip"]])
def test_a_cohort_that_is_not_selected_is_counted_by_member_and_answered_as_ever(select: list[str]) -> None:
    found = taken(body("members", [member("ann"), member("bob")]), select=select)
    assert (found.records, found.skipped) == ([], {"not_selected": 2})
    assert found.answer == {"action": "members", "status": "success"}


@pytest.mark.parametrize("broken", ["ann", None, 1, ["ann"], {"$distinct_id": "x" * 988}])
def test_a_member_that_no_retry_makes_whole_is_kept_for_a_person_and_the_others_are_taken(broken: Any) -> None:
    found = taken(body("add_members", [broken, member("ann")]))
    first, second = found.records
    assert isinstance(first, Malformed)
    assert second.external_user_id == "ann"
    assert taken(body("add_members", [broken])).records[0].id == first.id


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a JSON object"),
        ([], "not a JSON object"),
        ({}, "action is none of members, add_members, remove_members"),
        ({"action": "deleted"}, "action is none of"),
        ({"action": ["members"]}, "action is none of"),
        ({"action": "members"}, "mixpanel_cohort_id is missing"),
        (body("members", mixpanel_cohort_id=""), "mixpanel_cohort_id is missing"),
        (body("members", mixpanel_session_id=None), "mixpanel_session_id is missing"),
        ({"action": "members", "mixpanel_cohort_id": "7", "members": {"a": 1}}, "members is not a list"),
        (body("members", page_info=[]), "page_info is not a JSON object"),
        (body("members", page_info={"total_pages": 2, "page_count": 3}), "page_count not larger than total_pages"),
        (body("members", page_info={"total_pages": 2, "page_count": 0}), "numbers from 1"),
        (body("members", page_info={"total_pages": "two"}), "numbers from 1"),
        (body("members", page_info={"total_pages": -1}), "numbers from 1"),
        (body("members", page_info={"total_pages": 1.5}), "numbers from 1"),
    ],
)
def test_a_setup_fault_is_told_as_such(content: Any, words: str) -> None:
    with pytest.raises(BadBody, match=words):
        taken(content)
