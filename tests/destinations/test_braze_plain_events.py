"""An event that is read without a record in between becomes the same object, to the key's place, as by the records."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from streams.delivery.contract import Encoding, Rejected
from streams.destinations.braze import items
from streams.destinations.braze.encoder import Items, encoder
from streams.destinations.braze.plain_events import plain_events
from streams.destinations.braze.settings import BrazeSettings
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from streams.wayback.records import Event, encode
from tests.destinations.braze_desk import KEYS, TIME_MS, settings

ENTRIES: dict[str, Any] = {
    "plain": {},
    "strict": {"create_users": False, "names": {"Played": "Song Played", "Old": "$New"}},
    "apps": {"app_ids": {"ios": "app-ios"}},
    "typed": {"detect_types": "both"},
}
RECEIVE = {name: {"kind": "mparticle_events", "keys": KEYS, **given} for name, given in ENTRIES.items()}
NAMES = some.sampled_from(["Played", "Old", "$Odd", "", " ", "ecommerce.order_placed", "n" * 256]) | some.text(
    max_size=9
)
KEYS_OF = some.sampled_from(["colour", "time", "event_name", "$price", "", "k" * 256]) | some.text(max_size=9)
NUMBERS = some.integers(-(2**53), 2**53) | some.floats(allow_nan=False, allow_infinity=False)
PLAIN = some.none() | some.booleans() | NUMBERS | some.text(max_size=9) | some.sampled_from(["x" * 255, "x" * 256])
VALUES = PLAIN | some.lists(PLAIN, max_size=2) | some.dictionaries(some.text(max_size=3), PLAIN, max_size=2)
OBJECTS = some.dictionaries(KEYS_OF, VALUES, max_size=5).map(lambda content: orjson.dumps(content).decode())

SHORT_TIMES = (1 << 27) * 1000, (1 << 41) - 1
"""The first and the last time that the short way takes: in 1974 and 2039."""


@pytest.fixture(scope="module")
def workspace() -> BrazeSettings:
    return settings(receive=RECEIVE)


def schema() -> WriterSchema:
    found = shipped().by_event_type("wayback.Event")
    assert found is not None
    return found


def by_the_encoder(workspace: BrazeSettings, value: bytes) -> Encoding:
    found = encoder(schema(), workspace)
    assert found is not None
    return found(value, SINGLE_OBJECT_HEADER_BYTES)


def told(encoding: Encoding) -> Any:
    """What of an encoding counts."""
    if not isinstance(encoding, tuple):
        return encoding
    scope, body, cuts = encoding
    sent = items.sent(body)
    return scope, body[:1], cuts, sent.id, sent.losses, json.dumps(json.loads(sent.json))


def event(**given: Any) -> Event:
    common = {"id": "id-1", "entry": "plain", "external_user_id": "ann", "time_ms": TIME_MS, "received_ms": TIME_MS}
    return Event(**{"name": "Played", **common, **given})


@given(
    some.builds(
        event,
        id=some.text(min_size=1, max_size=40),
        entry=some.sampled_from([*ENTRIES, "gone"]),
        external_user_id=some.text(min_size=1, max_size=9),
        time_ms=some.integers(-(2**40), 2**43),
        name=NAMES,
        properties=OBJECTS | some.sampled_from(["{}", "[]", "7", "no JSON", "null", '{"a": 1, "b" :\n"x"}']),
        platform=some.none() | some.sampled_from(["ios", "web"]),
    )
)
@example(event(id="é" * 300, properties='{"colour":"blue"}'))
@example(event(entry="apps", platform="ios", properties='{"colour":"blue","price":1.5,"n":7,"yes":true}'))
@example(event(id="i" * 255))
@example(event(id="i" * 256, external_user_id="u" * 20_000, name="n" * 200))
@example(event(time_ms=SHORT_TIMES[0]))
@example(event(time_ms=SHORT_TIMES[0] - 1))
@example(event(time_ms=SHORT_TIMES[1]))
@example(event(time_ms=SHORT_TIMES[1] + 1))
@example(event(time_ms=-TIME_MS))
@example(event(entry="apps", platform="p" * 200))
@example(event(properties='{"huge":1e999}'))
@example(event(properties=orjson.dumps({"k" * 40 + str(n): "x" * 250 for n in range(400)}).decode()))
def test_an_event_becomes_the_same_object_by_either_way(workspace: BrazeSettings, record: Event) -> None:
    assert told(by_the_encoder(workspace, encode(record))) == told(Items(workspace).event(record))


def test_the_short_way_is_taken_by_plain_events_alone(workspace: BrazeSettings) -> None:
    """Else nothing above compares two ways."""

    def long_way(_value: bytes, _start: int, /) -> Encoding:
        return Rejected("the long way")

    entries = Items(workspace).data
    short = plain_events(schema(), entries, long_way)
    text = '{"colour":"blue","price":1.5,"n":7,"yes":true}'
    plain = [event(properties=text), event(entry="strict"), event(entry="apps", platform="ios"), event(name="Old")]
    plain += [event(id="i" * 255, external_user_id="u" * 20_000, platform="p" * 200)]
    plain += [event(time_ms=time_ms) for time_ms in SHORT_TIMES]
    odd = [
        event(entry="typed"),
        event(id="i" * 256),
        event(time_ms=-TIME_MS),
        event(time_ms=SHORT_TIMES[0] - 1),
        event(time_ms=SHORT_TIMES[1] + 1),
        event(properties='{"a":[]}'),
        event(properties="{"),
        event(name="$"),
    ]
    assert all(isinstance(short(encode(one), SINGLE_OBJECT_HEADER_BYTES), tuple) for one in plain)
    assert not any(isinstance(short(encode(one), SINGLE_OBJECT_HEADER_BYTES), tuple) for one in odd)


@pytest.mark.parametrize("end", range(SINGLE_OBJECT_HEADER_BYTES, 60))
def test_a_datum_that_is_cut_off_is_undecodable(workspace: BrazeSettings, end: int) -> None:
    value = encode(event())
    assert not isinstance(by_the_encoder(workspace, value[: min(end, len(value) - 1)]), tuple)
    assert not isinstance(by_the_encoder(workspace, value + b"\0"), tuple)


def test_bytes_that_are_no_utf_8_are_replaced(workspace: BrazeSettings) -> None:
    value = encode(event(properties='{"colour":"blue"}', external_user_id="annette", name="Playing"))
    for part in (b"annette", b"Playing", b"blue"):
        broken = value.replace(part, b"\xff" + part[1:])
        encoding = by_the_encoder(workspace, broken)
        assert isinstance(encoding, tuple)
        assert "�" in json.dumps(json.loads(items.sent(encoding[1]).json), ensure_ascii=False)
