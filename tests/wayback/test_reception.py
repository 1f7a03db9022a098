"""What a request is answered: who is let in, which status, which body, what has to be in Kafka before."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from streams.wayback.bodies.taken import Taken
from streams.wayback.entries import Entry
from streams.wayback.reception import KeysUnreadable, is_admitted, receive, unauthorised
from streams.wayback.records import Malformed, Membership

NOW = 1_790_000_000_123
FIRST, SECOND = "first-key-of-an-entry", "second-key-of-an-entry"
MIXPANEL: dict[str, Any] = {"kind": "mixpanel_cohorts", "auth": {"user": "mixpanel", "passwords": [FIRST, SECOND]}}
KINDS = ("mparticle_events", "firehose", "mparticle_audiences")


def entry(content: dict[str, Any] | str, **more: Any) -> Any:
    given = content if isinstance(content, dict) else {"kind": content, "keys": [FIRST, SECOND]}
    return TypeAdapter[Any](Entry).validate_python({**given, **more})


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "is_good"),
    [
        (basic(f"mixpanel:{FIRST}"), True),
        (basic(f"mixpanel:{SECOND}"), True),
        (basic(f"mixpanel:{SECOND}").replace("Basic", "basic"), True),
        (basic(f"other:{FIRST}"), False),
        (basic(f"mixpanel:{FIRST}x"), False),
        (basic("mixpanel:"), False),
        (f"Bearer {FIRST}", False),
        (FIRST, False),
        ("Basic", False),
        ("Basic \udcff", False),
        ("", False),
    ],
)
def test_mixpanel_is_let_in_by_user_and_password(authorization: str, is_good: bool) -> None:
    assert is_admitted(entry(MIXPANEL), authorization) is is_good


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("authorization", "is_good"),
    [
        (FIRST, True), (SECOND, True), (f"Bearer {FIRST}", True), (f"bearer  {SECOND}", True),
        (f"Basic {FIRST}", False), (FIRST.upper(), False), (FIRST + " ", False), ("", False),
        ("Bearer", False), ("\udcff", False),
    ],
)  # fmt: skip
def test_mparticle_is_let_in_by_a_key_as_it_is_or_behind_bearer(kind: str, authorization: str, is_good: bool) -> None:
    assert is_admitted(entry(kind), authorization) is is_good


def test_a_key_may_be_in_the_body_of_a_firehose_request_and_is_then_looked_for_there_alone() -> None:
    made = entry("firehose", key_setting="apiKey")
    assert is_admitted(made, FIRST) is None
    for setting, status in ((SECOND, 200), ("wrong", 401), (None, 401), ([FIRST], 401)):
        content = {"type": "event_processing_request", "account": {"account_settings": {"apiKey": setting}}}
        assert receive("a", made, json.dumps(content).encode(), NOW, "r").status == status
    for body in (b'{"type":"event_processing_request"}', b"[]", b'{"account":{"account_settings":[]}}'):
        assert receive("a", made, body, NOW, "r").status == 401


def test_one_of_two_keys_may_be_unreadable_while_it_is_changed_and_not_both(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text(FIRST)
    for made in (
        entry({"kind": "firehose", "keys": [f"file:{file}" for file in files]}),
        entry({**MIXPANEL, "auth": {"passwords": [f"file:{file}" for file in files]}}),
    ):
        good = basic(f"mixpanel:{FIRST}") if made.kind == "mixpanel_cohorts" else FIRST
        files[0].unlink()
        assert is_admitted(made, good) is True
        files[1].unlink()
        with pytest.raises(KeysUnreadable):
            is_admitted(made, good)
        for file in files:
            file.write_text(FIRST)


MEMBER = {"$distinct_id": "ann"}
ACTION = {"action": "add_members", "parameters": {"mixpanel_cohort_id": "7", "members": [MEMBER]}}


@pytest.mark.parametrize(
    ("kind", "content", "status", "answer"),
    [
        (MIXPANEL, ACTION, 200, {"action": "add_members", "status": "success"}),
        ("mparticle_events", {"events": []}, 202, {}),
        ("mparticle_events", [], 202, {}),
        ("mparticle_audiences", [], 202, {}),
        (
            "mparticle_audiences",
            {"requestId": "q", "timestamp": 1, "records": []},
            200,
            {"requestId": "q", "timestamp": NOW},
        ),
        (MIXPANEL, [], 400, {"status": "failure", "error": {"message": "the body is not a JSON object", "code": 400}}),
        (
            "mparticle_audiences",
            {"type": "audience_membership_change_request", "user_profiles": 1},
            400,
            {"error": "user_profiles is not a list"},
        ),
    ],
)
def test_each_kind_is_answered_in_its_vendors_words(kind: Any, content: Any, status: int, answer: Any) -> None:
    found = receive("entry", entry(kind), json.dumps(content).encode(), NOW, "r")
    assert (found.status, found.content) == (status, answer)
    assert (found.taken is None) == (status >= 400)


@pytest.mark.parametrize("kind", [MIXPANEL, *KINDS])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"action=members"])
def test_a_body_that_is_no_json_is_a_setup_fault(kind: Any, body: bytes) -> None:
    assert receive("entry", entry(kind), body, NOW, "r").status == 400


@pytest.mark.parametrize("kind", [MIXPANEL, *KINDS])
@pytest.mark.parametrize("body", [b"null", b"5", b'"x"', b"true"])
def test_json_that_is_neither_an_object_nor_a_list_is_a_setup_fault(kind: Any, body: bytes) -> None:
    assert receive("entry", entry(kind), body, NOW, "r").status == 400


@pytest.mark.parametrize("kind", ["mparticle_events", "mparticle_audiences"])
def test_bad_items_of_a_list_are_kept_for_a_person_each(kind: str) -> None:
    found = receive("entry", entry(kind), b'[null, 5, "x", []]', NOW, "r")
    assert (found.status, found.taken is not None) == (202, True)
    assert [type(record) for record in found.taken.records] == [Malformed] * 4  # type: ignore[union-attr]


def test_a_bad_membership_request_takes_nothing_else_of_its_list_or_envelope_with_it() -> None:
    bad = {"type": "audience_membership_change_request", "user_profiles": 1}
    good = {"AudienceId": 1, "IsMember": True, "UserIdentities": {"CustomerId": "ann"}}
    records = [{"data": base64.b64encode(json.dumps(one).encode()).decode()} for one in (bad, 5, good)]
    for content in ([bad, 5, good], {"requestId": "q", "timestamp": 1, "records": records}):
        found = receive("entry", entry("mparticle_audiences"), json.dumps(content).encode(), NOW, "r")
        assert isinstance(found.taken, Taken)
        assert [type(record) for record in found.taken.records] == [Malformed, Malformed, Membership]


def test_records_in_amazons_envelope_are_taken_and_broken_ones_are_kept_for_a_person() -> None:
    one = {"AudienceId": 1, "IsMember": True, "UserIdentities": {"CustomerId": "ann"}}
    encoded = base64.b64encode(json.dumps(one).encode()).decode()
    records = [{"data": encoded}, {"data": "?"}, {"data": base64.b64encode(b"x").decode()}, {}, "x"]
    body = json.dumps({"requestId": "q", "timestamp": 1, "records": records}).encode()
    found = receive("entry", entry("mparticle_audiences"), body, NOW, "r")
    assert isinstance(found.taken, Taken)
    assert [type(record) for record in found.taken.records] == [Membership, Malformed, Malformed, Malformed, Malformed]


def test_no_refusal_shows_a_key_or_a_value() -> None:
    shown = json.dumps(
        [
            dict(found.content)
            for kind in (MIXPANEL, *KINDS)
            for found in (
                unauthorised(entry(kind)),
                receive("entry", entry(kind), b'{"action":"ann@example.com","type":"ann@example.com"}', NOW, "r"),
                receive("entry", entry(kind), b"ann@example.com", NOW, "r"),
            )
        ]
    )
    assert not any(text in shown for text in (FIRST, SECOND, "ann@"))
