"""What the emulated Mixpanel refuses about one event, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams.emulators.mixpanel.options import MixpanelOptions, Project
from streams.testing.emulators import MixpanelEmulator
from tests.emulators.sender import DAY_MS, NOON_MS, event, import_bytes, import_events

HOUR_MS = 3_600_000
TIME = "properties.time"
NOT_SECONDS = "'properties.time' is invalid: must be specified as seconds since epoch"
FUTURE = "'properties.time' is invalid: must not be in the future"
NO_CHARACTERS = "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters"
NO_EVENT = "'event' must not be missing or blank"


def nested(levels: int) -> dict[str, Any]:
    return {"deep": nested(levels - 1)} if levels > 1 else {"deep": 1}


@pytest.fixture
def at_noon(mixpanel: MixpanelEmulator) -> MixpanelEmulator:
    mixpanel.set_now(NOON_MS)
    return mixpanel


REFUSED: dict[str, tuple[Any, str, str]] = {
    "not an object": (7, "event", NO_EVENT),
    "no event name": ({"properties": event()["properties"]}, "event", NO_EVENT),
    "a blank event name": (event() | {"event": "  "}, "event", NO_EVENT),
    "an event name that is a number": (event() | {"event": 7}, "event", NO_EVENT),
    "no properties": ({"event": "Email Open"}, "properties", "'properties' is invalid: must not be missing"),
    "properties in an array": (
        {"event": "Email Open", "properties": []},
        "properties",
        "'properties' is invalid: must not be missing",
    ),
    "no time": (event(time=None), TIME, "'properties.time' is invalid: must not be missing"),
    "time as text": (event(time="1700000000"), TIME, NOT_SECONDS),
    "time that is a truth": (event(time=True), TIME, NOT_SECONDS),
    "time before 1971": (event(time=31_535_999), TIME, NOT_SECONDS),
    "negative time": (event(time=-1_700_000_000_000), TIME, NOT_SECONDS),
    "milliseconds over an hour ahead": (event(time=NOON_MS + HOUR_MS + 1), TIME, FUTURE),
    "seconds over an hour ahead": (event(time=NOON_MS // 1000 + 3_601), TIME, FUTURE),
    "older than the project keeps": (
        event(time=NOON_MS - 731 * DAY_MS),
        TIME,
        "'properties.time' is invalid: must be within the data retention period of the project",
    ),
    "nobody": (
        event(distinct_id=None, **{"$user_id": None}),
        "properties.distinct_id",
        "'properties.distinct_id' is invalid: must not be missing",
    ),
    "a blocked user": (
        event(distinct_id="undefined"),
        "properties.distinct_id",
        "'properties.distinct_id' is invalid: undefined not allowed",
    ),
    "a blocked user in capitals and blanks": (
        event(distinct_id=" NULL "),
        "properties.distinct_id",
        "'properties.distinct_id' is invalid:  NULL  not allowed",
    ),
    "the number zero as user": (
        event(distinct_id=0),
        "properties.distinct_id",
        "'properties.distinct_id' is invalid: 0 not allowed",
    ),
    "no insert id": (event(**{"$insert_id": None}), "$insert_id", "'$insert_id' is invalid: must not be missing"),
    "an insert id of 37 bytes": (
        event(**{"$insert_id": "a" * 37}),
        "$insert_id",
        "'$insert_id' is invalid: must be at most 36 bytes",
    ),
    "an insert id with a star": (event(**{"$insert_id": "a*b"}), "$insert_id", NO_CHARACTERS),
    "an insert id with a line end": (event(**{"$insert_id": "a\n"}), "$insert_id", NO_CHARACTERS),
    "a blocked insert id": (
        event(**{"$insert_id": "00000000-0000-0000-0000-000000000000"}),
        "$insert_id",
        "'$insert_id' is invalid: 00000000-0000-0000-0000-000000000000 not allowed",
    ),
    "255 properties": (
        event(**{f"p{number}": 1 for number in range(250)}),
        "properties",
        "'properties' is invalid: must have fewer than 255 properties",
    ),
    "an object of 255 keys": (
        event(cart={str(number): 1 for number in range(255)}),
        "properties.cart",
        "properties.cart is invalid: object must have fewer than 255 keys",
    ),
    "an array of 255 elements": (
        event(cart=[1] * 255),
        "properties.cart",
        "properties.cart is invalid: array must have fewer than 255 elements",
    ),
    "an array of 255 elements in an object": (
        event(cart={"items": [1] * 255}),
        "properties.cart.items",
        "properties.cart.items is invalid: array must have fewer than 255 elements",
    ),
    "four levels": (
        event(tree=nested(4)),
        "properties.tree.deep.deep.deep",
        "properties.tree.deep.deep.deep is invalid: must not be nested deeper than 3 levels",
    ),
    "a lone surrogate": (
        event(utm_source="a\ud800"),
        "properties.utm_source",
        "properties.utm_source is invalid: string should be valid utf8",
    ),
    "a lone surrogate in an array": (
        event(tags=["fine", "a\ud800"]),
        "properties.tags[1]",
        "properties.tags[1] is invalid: string should be valid utf8",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_breaks_a_rule_is_refused_with_its_index_and_message(
    at_noon: MixpanelEmulator, case: str
) -> None:
    broken, field, message = REFUSED[case]
    answer = import_events(at_noon, [event(1), broken, event(2)])
    assert answer.status == 400
    content = answer.json()
    (record,) = content.pop("failed_records")
    assert (record["index"], record["field"], record["message"]) == (1, field, message)
    assert content == {
        "code": 400,
        "error": "some data points in the request failed validation",
        "status": "Bad Request",
        "num_records_imported": 2,
    }
    assert [row["properties"]["$insert_id"] for row in at_noon.rows()] == ["event-1", "event-2"]


TAKEN = {
    "seconds": event(time=1_700_000_000),
    "fractions of a second": event(time=1_700_000_000.5),
    "the first second of 1971": event(time=31_536_000),
    "an hour ahead": event(time=NOON_MS + HOUR_MS),
    "an empty user": event(distinct_id=""),
    "no distinct_id beside a user": event(distinct_id=None),
    "no distinct_id beside a device": event(distinct_id=None, **{"$user_id": None, "$device_id": "device-1"}),
    "a user who is a number": event(distinct_id=17),
    "an insert id of 36 bytes": event(**{"$insert_id": "a" * 36}),
    "254 properties": event(**{f"p{number}": 1 for number in range(249)}),
    "three levels": event(tree=nested(3)),
    "arrays between levels": event(tree=[[[[nested(3)]]]]),
    "254 elements": event(cart=[1] * 254),
    "letters of the world": event(name="héllo 💌"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_an_event_at_the_edge_of_a_rule_is_taken(case: str) -> None:
    project = Project(retention_days=40_000)
    with MixpanelEmulator(MixpanelOptions(projects=(project,))) as emulator:
        emulator.set_now(NOON_MS)
        answer = import_events(emulator, [TAKEN[case]])
        assert answer.json() == {"code": 200, "num_records_imported": 1, "status": "OK"}
        assert len(emulator.rows()) == 1


def test_bytes_that_are_no_utf8_refuse_their_event_only(at_noon: MixpanelEmulator) -> None:
    body = json.dumps([event(1, utm_source="XX"), event(2)]).encode().replace(b"XX", b"\xff\xfe")
    answer = import_bytes(at_noon, body)
    assert answer.status == 400
    assert [record["message"] for record in answer.json()["failed_records"]] == [
        "properties.utm_source is invalid: string should be valid utf8"
    ]
    assert len(at_noon.rows()) == 1


def test_an_event_of_a_mebibyte_is_refused_and_one_byte_less_is_taken(at_noon: MixpanelEmulator) -> None:
    frame = len(json.dumps(event(1, text=""), separators=(",", ":")))
    largest = event(1, text="x" * (1_048_575 - frame))
    larger = event(2, text="x" * (1_048_576 - frame))
    answer = import_events(at_noon, [largest, larger])
    assert answer.json()["failed_records"] == [
        {
            "index": 1,
            "insert_id": "event-2",
            "field": "properties",
            "message": "'properties' is invalid: event must be smaller than 1048576 bytes",
        }
    ]


def test_the_original_id_merge_wants_a_distinct_id() -> None:
    with MixpanelEmulator(MixpanelOptions(projects=(Project(id_mode="original"),))) as emulator:
        emulator.set_now(NOON_MS)
        answer = import_events(emulator, [event(distinct_id=None)])
        assert answer.json()["failed_records"][0]["message"] == (
            "'properties.distinct_id' is invalid: must not be missing"
        )
        assert import_events(emulator, [event() | {"event": "$identify"}]).status == 200


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge"])
def test_an_identity_event_refuses_the_whole_batch_of_a_simplified_project(
    at_noon: MixpanelEmulator, name: str
) -> None:
    answer = import_events(at_noon, [event(1), event(2) | {"event": name}])
    assert answer.status == 400
    assert answer.json()["num_records_imported"] == 0
    assert answer.json()["failed_records"] == [
        "identity events are not allowed when project is using simplified identity management"
    ]
    assert at_noon.rows() == []


def test_lax_insert_ids_may_have_any_length_and_characters_but_are_not_blocked_ones() -> None:
    with MixpanelEmulator(MixpanelOptions(lax_insert_id=True)) as emulator:
        emulator.set_now(NOON_MS)
        assert import_events(emulator, [event(**{"$insert_id": "8Qa*#" * 10})]).status == 200
        assert import_events(emulator, [event(**{"$insert_id": "null"})]).status == 400
