"""Bad records of every kind, end to end: parked or sent, never a crash, never a stall, and the account adds up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running

OPEN = "users.messages.email.Open"
CUSTOM = "users.behaviors.CustomEvent"
SEND = "users.messages.whatsapp.Send"


def made(event_type: str, **fields: Any) -> bytes:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    record = {**sample_record(event_type, Random(str(sorted(fields))), 1_790_000_000), "external_user_id": "someone"}
    return encode_single_object(schema, {**record, **fields})


def cut(value: bytes, end: int) -> bytes:
    return value[:end]


GOOD = made(OPEN, id="good")
UNDECODABLE: dict[str, bytes | None] = {
    "no value": None,
    "0 bytes": b"",
    "text": b"hello",
    "half a header": GOOD[:7],
    "only a header": GOOD[:10],
    "cut in the first field": cut(GOOD, 14),
    "wrong fingerprint": b"\xc3\x01" + os.urandom(8) + GOOD[10:],
    "random bytes": b"\xc3\x01" + GOOD[2:10] + b"\xff" * 40,
}
PARKED_BY_THE_SINK: dict[str, bytes] = {
    "cut in the last field": cut(GOOD, len(GOOD) - 3),
    "bytes behind the end": GOOD + b"\x00\x00",
    "deep JSON": made(CUSTOM, properties='{"a":' + "[" * 600 + "]" * 600 + "}"),
    "deeper JSON than anything parses": made(CUSTOM, properties="[" * 200_000),
    "JSON that is no object": made(CUSTOM, properties="[1]"),
    "NaN deep in JSON": made(CUSTOM, properties='{"a":{"b":NaN}}'),
    "a lone surrogate in JSON": made(CUSTOM, properties='{"a":"\\udfff"}'),
    "300 properties": made(CUSTOM, properties=json.dumps({str(number): number for number in range(300)})),
    "over a megabyte once written as JSON": made(CUSTOM, properties=json.dumps({"a": "\u0001" * 250_000})),
    "a time beyond 64 bits of milliseconds": made(SEND, time=2**62),
    "a far-future time": made(OPEN, time=2**31 - 1),
    "a negative time": made(OPEN, time=-5),
    "an id on Mixpanel's blocklist": made(OPEN, external_user_id="null"),
}
DELIVERED: dict[str, bytes] = {
    "900 kB": made(CUSTOM, id="large", properties=json.dumps({"a": "x" * 890_000})),
    "not a number where a number stands": made("users.behaviors.Purchase", id="nan", price=float("nan")),
    "every plane of Unicode": made(CUSTOM, id="unicode", name="\u0000 é 漢 😀 \U0010ffff"),
    "an id of another form": made(OPEN, id="no_uuid_at_all" * 5),
}


@pytest.mark.kafka
@pytest.mark.timeout(360)
def test_bad_records_are_parked_and_everything_else_is_delivered(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    connector = {ANALYTICS: mixpanel_connector(mixpanel)}
    with running(kafka, tmp_path, connector, {"unknown_schema_wait": "1s"}) as line:
        for bad, sent in zip([*UNDECODABLE.values()] * 2, [*PARKED_BY_THE_SINK.values()], strict=False):
            line.write(OPEN, bad)
            line.write(OPEN, sent)
        for value in [*UNDECODABLE.values(), *PARKED_BY_THE_SINK.values(), *DELIVERED.values(), GOOD]:
            line.write(OPEN, value)
        line.settle()
        account, counts = line.scene.account(ANALYTICS), line.scene.router_counts()
        topics, source_topic = line.scene.settings.topics, line.scene.source_prefix + OPEN
        rejected, source = (
            line.scene.read(topics.dead_letter_rejected(ANALYTICS)),
            line.scene.read(topics.dead_letter_source),
        )
    expected_rejected = 2 * len(PARKED_BY_THE_SINK)
    assert counts.undecodable == len(source)
    assert {letter.value for letter in source} == {value or value for value in UNDECODABLE.values()}
    assert dict(account.parked) == {"rejected": expected_rejected}
    assert {letter.value for letter in rejected} == set(PARKED_BY_THE_SINK.values())
    assert account.delivered == len(DELIVERED) + 1
    assert account.routed == account.delivered + expected_rejected
    names = {row["properties"]["$insert_id"] for row in mixpanel.unique()}
    assert {"good", "large", "nan", "unicode"} <= names
    for letter in [*rejected, *source]:
        detail = (letter.header("__connect.errors.exception.message") or b"").decode()
        assert detail
        assert "someone" not in detail
    origins = [(letter.header("streams-origin") or b"").decode() for letter in [*rejected, *source]]
    assert {origin.rsplit("/", 2)[0] for origin in origins} == {source_topic}
    assert len(set(origins)) == len(origins), "each names the one record that it was"
