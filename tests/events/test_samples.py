"""Sample events: valid, realistic, repeatable, and about nobody who exists."""

from __future__ import annotations

import re
from collections import Counter
from io import BytesIO
from random import Random
from typing import Any

import fastavro
import orjson
import pytest
from fastavro.validation import validate

from streams.events.catalogue import CATALOGUE
from streams.events.samples import MIX, SampleEvent, sample_events, sample_record
from streams.events.schemas import shipped

NOW_S = 1_800_000_000
NAMES = sorted(CATALOGUE)


def many(event_type: str, count: int = 200, **options: Any) -> list[SampleEvent]:
    return list(sample_events(count, seed=7, now_s=NOW_S, event_types=[event_type], **options))


@pytest.mark.parametrize("event_type", NAMES)
def test_samples_of_each_type_fit_its_schema_and_are_what_their_value_holds(event_type: str) -> None:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    for event in many(event_type, 40):
        validate(event.record, schema.definition, strict=True)
        assert event.event_type == event_type
        assert event.value[:10] == b"\xc3\x01" + schema.fingerprint
        assert fastavro.schemaless_reader(BytesIO(event.value[10:]), schema.definition, None) == event.record


@pytest.mark.parametrize("event_type", NAMES)
def test_samples_happened_within_the_five_minutes_before_now(event_type: str) -> None:
    for event in many(event_type, 40):
        assert NOW_S - 300 < event.record["time"] <= NOW_S


def test_a_seed_gives_the_same_events_and_another_seed_gives_others() -> None:
    first, again, other = (list(sample_events(200, seed=seed, now_s=NOW_S)) for seed in (1, 1, 2))
    assert first == again
    assert not {event.record["id"] for event in first} & {event.record["id"] for event in other}


def test_fewer_samples_are_the_first_of_more() -> None:
    assert many("users.messages.email.Open", 3) == many("users.messages.email.Open", 9)[:3]
    mixed = list(sample_events(500, seed=3, now_s=NOW_S))
    assert list(sample_events(10, seed=3, now_s=NOW_S)) == mixed[:10]


def test_every_event_has_its_own_id_in_the_form_of_a_uuid() -> None:
    ids = [event.record["id"] for event in sample_events(5_000, seed=1, now_s=NOW_S)]
    assert len(set(ids)) == len(ids)
    form = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(form.fullmatch(event_id) for event_id in ids)


def test_the_mix_is_of_eleven_types_in_its_shares() -> None:
    assert len(MIX) == 11
    assert sum(MIX.values()) == 100
    counts = Counter(event.event_type for event in sample_events(10_000, seed=1, now_s=NOW_S))
    assert set(counts) == set(MIX)
    assert all(abs(counts[name] / 10_000 - share / 100) < 0.02 for name, share in MIX.items())


def test_named_event_types_take_turns() -> None:
    events = sample_events(5, seed=1, now_s=NOW_S, event_types=["users.behaviors.Purchase", "users.canvas.Entry"])
    assert [event.event_type.rpartition(".")[2] for event in events] == [
        "Purchase",
        "Entry",
        "Purchase",
        "Entry",
        "Purchase",
    ]


def test_as_many_events_come_as_were_asked_for() -> None:
    assert list(sample_events(0, seed=1, now_s=NOW_S)) == []
    assert list(sample_events(3, seed=1, now_s=NOW_S, event_types=[])) == []
    assert len(list(sample_events(7, seed=1, now_s=NOW_S))) == 7


def test_an_unknown_event_type_is_named() -> None:
    with pytest.raises(ValueError, match=r"users\.messages\.hologram\.Open"):
        sample_record("users.messages.hologram.Open", Random(1), NOW_S)


def test_the_key_is_the_external_user_id_else_the_user_id() -> None:
    for event in many("users.messages.email.Open"):
        assert event.key == event.record["external_user_id"].encode()
    for event in many("users.UserDeleteRequest", 3):
        assert event.key == event.record["user_id"].encode()
    for event in many("agentconsole.ToolInvocation", 3):
        assert event.key is None


def test_people_without_external_user_id_come_only_when_asked_for() -> None:
    assert all(event.record["external_user_id"] for event in sample_events(1_000, seed=1, now_s=NOW_S))
    events = list(sample_events(5_000, seed=1, now_s=NOW_S, anonymous_share=0.03))
    anonymous = [event for event in events if event.record["external_user_id"] is None]
    assert 0.02 < len(anonymous) / len(events) < 0.04
    assert all(event.key == event.record["user_id"].encode() for event in anonymous)


def test_about_half_of_the_optional_fields_are_null_and_each_is_there_at_times() -> None:
    book = shipped()
    nulls = total = 0
    for event_type in NAMES:
        schema = book.by_event_type(event_type)
        assert schema is not None
        events = many(event_type, 100)
        for field in schema.fields:
            if field.nullable:
                empty = sum(event.record[field.name] is None for event in events)
                never_there = event_type == "users.campaigns.Abort" and field.name.startswith("canvas_")
                assert (empty == 100) is never_there, (event_type, field.name)
                nulls, total = nulls + empty, total + 100
    assert 0.4 < nulls / total < 0.6


def test_a_message_belongs_to_a_campaign_or_to_a_canvas_never_to_both() -> None:
    for event in many("users.messages.email.Send"):
        of_campaign = {event.record[name] for name in ("campaign_id", "campaign_name", "message_variation_id")} - {None}
        of_canvas = {event.record[name] for name in ("canvas_id", "canvas_name", "canvas_step_id")} - {None}
        assert not (of_campaign and of_canvas)


def test_an_event_of_a_campaign_never_belongs_to_a_canvas() -> None:
    assert {event.record["canvas_id"] for event in many("users.campaigns.Abort")} == {None}
    assert len({event.record["campaign_id"] for event in many("users.campaigns.Abort")}) > 2


def test_what_only_iphones_do_is_done_by_ios() -> None:
    assert {event.record["platform"] for event in many("users.messages.pushnotification.IosForeground")} == {"ios"}


def nesting(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((nesting(item) for item in value.values()), default=0)
    return max((nesting(item) for item in value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize("event_type", ["users.behaviors.CustomEvent", "users.behaviors.Purchase"])
def test_custom_properties_are_json_objects_of_every_kind_of_value(event_type: str) -> None:
    texts = [event.record["properties"] for event in many(event_type)]
    objects = [orjson.loads(text) for text in texts]
    assert all(isinstance(item, dict) for item in objects)
    kinds = {type(value) for item in objects for value in item.values()}
    assert {str, int, bool, list, dict} <= kinds
    assert max(nesting(item) for item in objects) == 3  # the object itself, and two within
    assert {} in objects


def test_other_fields_of_json_hold_json() -> None:
    for event_type, name in [
        ("users.profile.Update", "custom_attributes"),
        ("users.messages.email.Send", "message_extras"),
        ("users.canvas.Conversion", "conversion_behavior"),
        ("agentconsole.ToolInvocation", "tool_arguments"),
    ]:
        texts = [event.record[name] for event in many(event_type) if event.record[name] is not None]
        assert texts
        assert all(isinstance(orjson.loads(text), dict) for text in texts)


def test_addresses_and_numbers_are_from_ranges_reserved_for_examples() -> None:
    phone = re.compile(r"\+1\d{3}55501\d\d|\+447700900\d{3}")
    email = re.compile(r"[a-z]+\.\d+@example\.(com|org)")
    seen = Counter[str]()
    for event in sample_events(5_000, seed=1, now_s=NOW_S, event_types=NAMES):
        for name, value in event.record.items():
            if value is None:
                continue
            if name.endswith("phone_number"):
                assert phone.fullmatch(value), value
                seen["phone"] += 1
            elif name == "email_address":
                assert email.fullmatch(value), value
                seen["email"] += 1
            elif name in ("url", "endpoint_url", "short_url"):
                assert re.match(r"https://(\w+\.)?example\.(com|org)/", value), value
                seen["url"] += 1
            elif name == "sending_ip":
                assert value.startswith(("192.0.2.", "198.51.100.", "203.0.113.")), value
                seen["ip"] += 1
    assert set(seen) == {"phone", "email", "url", "ip"}


def test_some_texts_are_beyond_ascii() -> None:
    names = {event.record["campaign_name"] for event in many("users.messages.email.Open")} - {None}
    assert any(name.isascii() for name in names)
    assert any(not name.isascii() for name in names)


def test_a_person_has_several_events_in_a_small_sample() -> None:
    keys = Counter(event.key for event in sample_events(5_000, seed=1, now_s=NOW_S))
    assert max(keys.values()) > 2
    assert len(keys) > 500
