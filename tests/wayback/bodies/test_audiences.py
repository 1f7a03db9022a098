"""mParticle's audiences: both generations of Firehose's membership request, and the Kinesis output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.bodies.audiences import lines, take_kinesis, take_memberships
from streams.wayback.bodies.identities import identities
from streams.wayback.bodies.taken import BadBody, Taken
from streams.wayback.entries import Entry
from streams.wayback.records import Attributes, Malformed, Membership, encode

NOW = 1_790_000_000_123
SENT = 1_789_999_999_000
SAMPLES = Path(__file__).parents[3].parent / "shared" / "facts" / "mparticle" / "firehose"


def entry(kind: str = "firehose", **given: Any) -> Any:
    return TypeAdapter[Any](Entry).validate_python({"kind": kind, "keys": ["x" * 16], **given})


def request(*profiles: Any, **given: Any) -> dict[str, Any]:
    return {
        "type": "audience_membership_change_request",
        "id": "m",
        "timestamp_ms": SENT,
        "user_profiles": list(profiles),
        **given,
    }


def profile(*audiences: Any, user: str = "ann", **given: Any) -> dict[str, Any]:
    identity = {"type": "customer", "encoding": "raw", "value": user}
    return {"user_identities": [identity], "audiences": list(audiences), "mpid": "-99", **given}


def audience(group_id: Any = 456, action: Any = "add", **given: Any) -> dict[str, Any]:
    return {"audience_id": group_id, "audience_name": f"Audience {group_id}", "action": action, **given}


def memberships(content: dict[str, Any], **given: Any) -> Taken:
    found = Taken("audiences", NOW, "request-1")
    take_memberships(entry(**given), content, found)
    for record in found.records:
        encode(record)
    return found


def kinesis(content: Any, **given: Any) -> Taken:
    found = Taken("audiences", NOW, "request-1")
    take_kinesis(entry("mparticle_audiences", **given), content, found)
    for record in found.records:
        encode(record)
    return found


def words(found: Taken) -> list[tuple[str, str, str]]:
    return [
        (record.external_user_id, record.group_id, record.change)
        for record in found.records
        if isinstance(record, Membership)
    ]


def test_joining_and_leaving_are_a_record_each() -> None:
    found = memberships(request(profile(audience(456), audience(654, "delete")), profile(audience(1), user="bob")))
    assert words(found) == [("ann", "456", "add"), ("ann", "654", "remove"), ("bob", "1", "add")]
    assert found.records[0] == Membership(
        id="m/456/ann", entry="audiences", external_user_id="ann", time_ms=SENT, received_ms=NOW, group_id="456",
        group_name="Audience 456", change="add",
    )  # fmt: skip


def test_the_older_generation_has_a_list_of_each() -> None:
    older = profile(
        added_audiences=[{"audience_id": 1, "audience_name": "One"}], removed_audiences=[{"audience_id": 2}]
    )
    del older["audiences"]
    found = memberships(request(older))
    assert words(found) == [("ann", "1", "add"), ("ann", "2", "remove")]
    assert [record.group_name for record in found.records if isinstance(record, Membership)] == ["One", "2"]


@pytest.mark.parametrize("content", [{"type": "audience_membership_change_request"}, request(), request(profile())])
def test_a_request_that_keeps_the_line_alive_is_nothing(content: dict[str, Any]) -> None:
    found = memberships(content)
    assert (found.records, found.skipped) == ([], {})


@pytest.mark.parametrize("odd", [7, "plan", [7], [{"value": "x"}], [{"key": 5}], [{"key": ""}]])
def test_attributes_that_cannot_be_read_are_kept_for_a_person_and_the_word_is_taken(odd: Any) -> None:
    audience = {"audience_id": 1, "audience_name": "One", "action": "add", "user_attributes": odd}
    found = memberships(request(profile(audience)))
    assert words(found) == [("ann", "1", "add")]
    (malformed,) = [each for each in found.records if isinstance(each, Malformed)]
    assert "attribute" in malformed.reason


def test_attributes_that_come_along_are_taken_where_they_are_selected_else_counted_and_the_last_word_wins() -> None:
    update = audience(
        789,
        "attribute_update",
        user_attributes=[
            {"key": "plan", "value": "gold", "action": "upsert"},
            {"key": "churned", "action": "delete"},
            {"key": "plan", "value": "silver", "action": "upsert"},
            {"key": "other", "value": "1", "action": "upsert"},
            {},
        ],
    )
    found = memberships(request(profile(update)), attributes=["plan", "churned"])
    (record,) = found.records
    assert isinstance(record, Attributes)
    assert found.skipped == {"not_selected": 1}
    assert json.loads(record.changes) == {"plan": "silver", "churned": None}
    assert record.id == "m/attributes/ann"


def test_an_entry_of_audiences_alone_counts_each_attribute_that_comes_along_and_keeps_none() -> None:
    given = [{"key": "plan", "value": "gold"}, {"key": "churned", "action": "delete"}, {"key": "plan", "value": "x"}, 7]
    found = kinesis(request(profile(audience(user_attributes=given), audience(2, user_attributes="odd"))))
    assert words(found) == [("ann", "456", "add"), ("ann", "2", "add")]
    assert len(found.records) == 2
    assert found.skipped == {"not_selected": 2}


@pytest.mark.parametrize("encoding", ["md5", "sha1", "sha256"])
def test_a_user_who_is_named_by_a_hash_is_counted(encoding: str) -> None:
    hashed = profile(audience(), user_identities=[{"type": "customer", "encoding": encoding, "value": "4739c5"}])
    found = memberships(request(hashed, profile(audience(), user="bob")))
    assert (words(found), found.skipped) == ([("bob", "456", "add")], {"hashed_identity": 1})


def test_a_user_without_the_wanted_identity_is_counted_and_mpid_may_be_it() -> None:
    anonymous = profile(audience(), user_identities=[{"type": "email", "encoding": "raw", "value": "a@example.com"}])
    assert memberships(request(anonymous)).skipped == {"no_external_user_id": 1}
    assert words(memberships(request(anonymous), external_identity="mpid")) == [("-99", "456", "add")]
    assert words(memberships(request(anonymous), external_identity="email")) == [("a@example.com", "456", "add")]


def test_an_audience_that_is_not_selected_is_counted() -> None:
    found = memberships(request(profile(audience(1), audience(2))), select=["2"])
    assert (words(found), found.skipped) == ([("ann", "2", "add")], {"not_selected": 1})


@pytest.mark.parametrize(
    "broken", [audience(action="joined"), audience(action=None), {"action": "add"}, "audience", audience(group_id=None)]
)
def test_an_audience_that_cannot_be_read_is_kept_for_a_person_and_the_others_are_taken(broken: Any) -> None:
    found = memberships(request(profile(broken, audience(2))))
    assert isinstance(found.records[0], Malformed)
    assert words(found) == [("ann", "2", "add")]


@pytest.mark.parametrize("key", ["audiences", "added_audiences", "removed_audiences"])
def test_audiences_that_are_no_list_are_kept_for_a_person(key: str) -> None:
    found = memberships(request({**profile(), key: {"audience_id": 5}}))
    assert [type(record) for record in found.records] == [Malformed]


def test_a_profile_that_cannot_be_read_or_has_too_long_an_id_is_kept_too() -> None:
    found = memberships(request("profile", profile(audience(), user="x" * 988), profile(audience(2))))
    assert [type(record) for record in found.records] == [Malformed, Malformed, Membership]


def test_profiles_that_are_no_list_are_a_setup_fault() -> None:
    with pytest.raises(BadBody, match="user_profiles is not a list"):
        memberships({"user_profiles": {}})


def kinesis_record(**given: Any) -> dict[str, Any]:
    return {
        "MembershipChangedTimestamp": str(SENT),
        "AudienceId": 123,
        "AudienceName": "Cats",
        "IsMember": True,
        "UserIdentities": {"CustomerId": "ann", "Email": "ann@example.com", "Other3": "o3"},
        **given,
    }


def test_a_record_of_the_kinesis_output_is_a_membership() -> None:
    (record,) = kinesis(kinesis_record()).records
    assert record == Membership(
        id=f"k/{SENT}/1/123/ann", entry="audiences", external_user_id="ann", time_ms=SENT, received_ms=NOW,
        group_id="123", group_name="Cats", change="add",
    )  # fmt: skip


def test_one_a_list_lines_and_a_membership_request_are_taken() -> None:
    one = kinesis_record(IsMember=False)
    as_lines = lines(b"\n".join(json.dumps(each).encode() for each in (one, kinesis_record())))
    assert words(kinesis(lines(json.dumps(one).encode()))) == [("ann", "123", "remove")]
    assert words(kinesis(as_lines)) == [("ann", "123", "remove"), ("ann", "123", "add")]
    assert words(kinesis([request(profile(audience()))])) == [("ann", "456", "add")]
    assert kinesis([]).records == []


@pytest.mark.parametrize(
    "broken", ["x", None, {}, {"AudienceId": 1}, {"AudienceId": 1, "IsMember": "true"}, {"IsMember": True}]
)
def test_a_record_that_cannot_be_read_is_kept_for_a_person(broken: Any) -> None:
    found = kinesis([broken, kinesis_record()])
    assert [type(record) for record in found.records] == [Malformed, Membership]


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1}\nx', b"\xff"])
def test_a_body_that_is_no_json_is_told_as_such(body: bytes) -> None:
    with pytest.raises(BadBody, match="not JSON"):
        lines(body)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ([{"identity_type": "customer_id", "identity": "v"}], "customer_id"),
        ([{"type": "customer", "encoding": "raw", "value": "v"}], "customer_id"),
        ([{"type": "other10", "value": "v"}], "other_id_10"),
        ([{"identity_type": "other_id_3", "identity": "v"}], "other_id_3"),
        ({"customerid": "v"}, "customer_id"),
        ({"CustomerId": "v"}, "customer_id"),
        ({"Other3": "v"}, "other_id_3"),
        ({"MobileNumber": "v"}, "mobile_number"),
        ({"Email": "v"}, "email"),
    ],
)
def test_identities_go_by_one_name_however_they_are_spelled(given: Any, kind: str) -> None:
    assert identities(given)[kind].value == "v"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="mParticle's samples are not beside this repository")
def test_the_vendors_own_sample_is_taken() -> None:
    content = json.loads((SAMPLES / "AudienceMembershipChangeRequest.json").read_text())
    assert memberships(content).skipped == {"hashed_identity": 1}
    found = memberships(content, external_identity="mpid")
    assert words(found) == [("12345", "456", "add"), ("12345", "654", "remove")]
    assert json.loads(found.records[-1].changes) == {"Some Key": "9999999", "Churned": None}  # type: ignore[attr-defined]
