"""What the emulated Mixpanel answers to a request as a whole: who, how, how large, how often."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from streams.emulators.mixpanel.options import Account, Limits, MixpanelOptions, Project
from streams.testing.emulators import MixpanelEmulator
from tests.emulators.sender import NOON_MS, Received, basic, event, import_bytes, import_events, send

UNAUTHORISED = {"code": 401, "error": "Invalid credentials", "status": "Unauthorized"}
PROJECT = Project(
    token="t" * 32,
    api_secret="s" * 32,
    project_id="77",
    accounts=(
        Account(user="robot", secret="account-secret"),
        Account(user="old-robot", secret="account-secret", expired=True),
    ),
)
OTHER = Project(token="u" * 32, api_secret="v" * 32, project_id="88", accounts=())


def emulator_with(**limits: Any) -> MixpanelEmulator:
    return MixpanelEmulator(MixpanelOptions(limits=Limits(**limits)))


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/import?strict=1", basic("t" * 32, ""), 200),
        ("/import/?strict=1", basic("t" * 32, ""), 200),
        ("/import?strict=1&project_id=77", basic("t" * 32, ""), 200),
        ("/import?strict=1&project_id=88", basic("t" * 32, ""), 401),
        ("/import?strict=1", basic("s" * 32, ""), 200),
        ("/import?strict=1", basic("s" * 32, "more"), 401),
        ("/import?strict=1&project_id=77", basic("robot", "account-secret"), 200),
        ("/import?strict=1", basic("robot", "account-secret"), 401),
        ("/import?strict=1&project_id=88", basic("robot", "account-secret"), 401),
        ("/import?strict=1&project_id=77", basic("robot", "wrong"), 401),
        ("/import?strict=1&project_id=77", basic("old-robot", "account-secret"), 401),
        ("/import?strict=1", basic("nobody", ""), 401),
        ("/import?strict=1", {}, 401),
        ("/import?strict=1", {"Authorization": "Bearer " + "t" * 32}, 401),
        ("/import?strict=1", {"Authorization": "Basic ?"}, 401),
    ],
)
def test_only_a_known_credential_of_the_project_may_import(path: str, headers: dict[str, str], status: int) -> None:
    with MixpanelEmulator(MixpanelOptions(projects=(PROJECT, OTHER))) as emulator:
        emulator.set_now(NOON_MS)
        answer = send(emulator.base_url, path, json.dumps([event()]).encode(), headers)
        assert answer.status == status
        if status == 401:
            assert answer.json() == UNAUTHORISED
            assert emulator.rows() == []
        else:
            assert [row["project_id"] for row in emulator.rows()] == ["77"]


def test_another_path_is_not_found_and_another_method_not_allowed(mixpanel: MixpanelEmulator) -> None:
    assert import_bytes(mixpanel, b"[]", path="/lookup-tables").status == 404
    answer = send(mixpanel.base_url, "/import", b"", basic(mixpanel.project_token, ""), method="GET")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


UNREADABLE = {
    "not JSON": (b"[{", {}, "body is not valid JSON"),
    "nothing": (b"", {}, "body is not valid JSON"),
    "not a number": (b'[{"event": NaN}]', {}, "body is not valid JSON"),
    "an object": (b"{}", {}, "body must be a JSON array of events"),
    "an empty array": (b"[]", {}, "body holds no events"),
    "no lines": (b"\n\n", {"Content-Type": "application/x-ndjson"}, "body holds no events"),
    "broken gzip": (b"not gzip at all", {"Content-Encoding": "gzip"}, "body is not valid gzip"),
    "half a gzip": (gzip.compress(b"[]" * 100)[:-9], {"Content-Encoding": "gzip"}, "body is not valid gzip"),
    "a number that no double holds": (b'[{"event": 1e400}]', {}, "body is not valid JSON"),
    "such a number beside bytes that are not UTF-8": (b'[1e400, "\xff"]', {}, "body is not valid JSON"),
    "such an integer beside bytes that are not UTF-8": (b"[" + b"9" * 400 + b', "\xff"]', {}, "body is not valid JSON"),
    "101 levels": (b"[" * 101 + b"]" * 101, {}, "body is nested deeper than 100 levels"),
    "1,000 levels": (b'{"a":[' * 500 + b"]}" * 500, {"Content-Type": "application/x-ndjson"}, "nested deeper than 100"),
    "100,000 levels": (b"[" * 100_000, {}, "body is not valid JSON"),
    "another encoding": (b"[]", {"Content-Encoding": "zstd"}, "unsupported Content-Encoding"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused_without_failed_records(mixpanel: MixpanelEmulator, case: str) -> None:
    body, headers, error = UNREADABLE[case]
    answer = import_bytes(mixpanel, body, headers=headers)
    assert answer.status == 400
    content = answer.json()
    assert error in content["error"]
    assert (content["code"], content["num_records_imported"]) == (400, 0)
    assert "failed_records" not in content


def test_one_event_a_line_is_taken_with_blank_lines_between(mixpanel: MixpanelEmulator) -> None:
    body = b"\n\n".join(json.dumps(event(number)).encode() for number in range(3)) + b"\r\n"
    answer = import_bytes(mixpanel, body, headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert answer.json() == {"code": 200, "num_records_imported": 3, "status": "OK"}


def test_gzip_in_several_members_is_one_body(mixpanel: MixpanelEmulator) -> None:
    text = json.dumps([event()]).encode()
    body = gzip.compress(text[:20]) + gzip.compress(text[20:])
    assert import_bytes(mixpanel, body, headers={"Content-Encoding": "gzip"}).status == 200


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_a_body_is_measured_uncompressed(headers: dict[str, str]) -> None:
    text = json.dumps([event()]).encode()
    body = gzip.compress(text) if headers else text
    with emulator_with(bytes_max=len(text)) as emulator:
        assert import_bytes(emulator, body, headers=headers).status == 200
    with emulator_with(bytes_max=len(text) - 1) as emulator:
        answer = import_bytes(emulator, body, headers=headers)
        assert answer.status == 413
        assert answer.json() == {
            "code": 413,
            "error": f"request exceeds max limit of {len(text) - 1} bytes",
            "status": "Request Entity Too Large",
        }
        assert emulator.rows() == []


def test_a_small_body_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(mixpanel: MixpanelEmulator) -> None:
    bomb = gzip.compress(b" " * 30_000_000)
    assert import_bytes(mixpanel, bomb, headers={"Content-Encoding": "gzip"}).status == 413


@pytest.mark.parametrize("status", [400, 413])
def test_more_than_2000_events_are_refused_together(status: int) -> None:
    with emulator_with(too_many_status=status) as emulator:
        assert import_events(emulator, [event(number) for number in range(2_000)]).status == 200
        answer = import_events(emulator, [event(number) for number in range(2_001)])
        assert answer.status == status
        assert answer.json()["error"] == "request exceeds max limit of 2000 events"
        assert len(emulator.rows()) == 2_000


def test_without_strict_bad_events_are_lost_behind_a_200(mixpanel: MixpanelEmulator) -> None:
    bad = event(time="now")
    assert import_events(mixpanel, [event(), bad], path="/import?strict=0").json() == {
        "code": 200,
        "num_records_imported": 1,
        "status": "OK",
    }
    assert import_events(mixpanel, [bad], path="/import?strict=0&verbose=1").json() == {
        "code": 200,
        "error": "some data points in the request failed validation",
        "num_records_imported": 0,
        "status": 0,
    }


def test_absent_strict_is_strict_and_verbose_spells_the_status_as_a_number(mixpanel: MixpanelEmulator) -> None:
    assert import_events(mixpanel, [event(time="now")], path="/import").status == 400
    assert import_events(mixpanel, [event()], path="/import?strict=1&verbose=1").json() == {
        "code": 200,
        "error": None,
        "num_records_imported": 1,
        "status": 1,
    }


def is_too_fast(answer: Received) -> bool:
    expected = {
        "code": 429,
        "error": "Project exceeded rate limits. Please retry the request with exponential backoff.",
        "status": "Too Many Requests",
    }
    return answer.status == 429 and answer.json() == expected


def test_the_rate_of_events_is_counted_in_a_rolling_minute() -> None:
    with emulator_with(rate_events=5) as emulator:
        emulator.set_now(NOON_MS)
        assert import_events(emulator, [event(number) for number in range(3)]).status == 200
        emulator.set_now(NOON_MS + 30_000)
        assert import_events(emulator, [event(number) for number in range(2)]).status == 200
        assert is_too_fast(import_events(emulator, [event(9)]))
        emulator.set_now(NOON_MS + 59_999)
        assert is_too_fast(import_events(emulator, [event(9)]))
        emulator.set_now(NOON_MS + 60_000)
        assert import_events(emulator, [event(number) for number in range(3)]).status == 200
        assert is_too_fast(import_events(emulator, [event(9)]))


def test_the_rate_of_bytes_counts_uncompressed_bytes_and_refused_requests_too() -> None:
    size = len(json.dumps([event(time="now")]))
    with emulator_with(rate_bytes=2 * size) as emulator:
        emulator.set_now(NOON_MS)
        assert import_events(emulator, [event(time="now")]).status == 400
        assert import_events(emulator, [event(time="now")]).status == 400
        assert is_too_fast(import_events(emulator, [event(time="now")]))


def test_discard_believes_what_it_is_sent_and_keeps_totals_only() -> None:
    with MixpanelEmulator(MixpanelOptions(keep="discard")) as emulator:
        answer = import_events(emulator, [event(1), event(2, time="now")])
        assert answer.json() == {"code": 200, "num_records_imported": 2, "status": "OK"}
        assert import_bytes(emulator, b"[]", headers=basic("nobody", "")).status == 401
        assert emulator.totals()["imported"] == 2
        assert (emulator.rows(), emulator.requests()) == ([], [])


def test_counts_checks_every_rule_and_keeps_totals_only() -> None:
    with MixpanelEmulator(MixpanelOptions(keep="counts")) as emulator:
        assert import_events(emulator, [event(1), event(2, time="now")]).json()["num_records_imported"] == 1
        totals = emulator.totals()
        assert (totals["imported"], totals["refused"], emulator.rows()) == (1, 1, [])
