"""Text that is not as it should be costs no event: bytes that are not UTF-8, and empty items of arrays."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streams.destinations import REGISTRY
from streams.emulators.mparticle.batch import wrong_with
from streams.events.encodings import encode_bare
from streams.events.presence import presence_reader
from streams.events.schema import WriterSchema
from streams.events.schemas import writer_schema
from streams.events.walker import MISSING, PRESENT

SETTINGS: dict[str, dict[str, Any]] = {
    "mixpanel": {"project_token": "0" * 32},
    "mparticle": {
        "feeds": {"unbound": {"key": "k", "secret": "s"}, "ios": {"key": "i", "secret": "s"}},
        "apps": {"app-1": "ios"},
    },
}
FIELDS = [
    ("id", "string"),
    ("external_user_id", "string"),
    ("time", "long"),
    ("error", ["null", "string"]),
    ("message_extras", ["null", "string"]),
    ("from_phone_number", ["null", "string"]),
    ("app_id", ["null", "string"]),
    ("media_urls", ["null", {"type": "array", "items": ["null", "string"]}]),
]
RECORD = {"id": "1", "external_user_id": "user", "time": 1_790_000_000}


def schema_of(event_type: str, *, extra: tuple[tuple[str, Any], ...] = ()) -> WriterSchema:
    namespace, _, name = event_type.rpartition(".")
    fields = [{"name": field, "type": kind} for field, kind in (*FIELDS, *extra)]
    return writer_schema(
        {"type": "record", "namespace": f"dataexport.S3.inner.{namespace}", "name": name, "fields": fields}
    )


def encoded(destination: str, schema: WriterSchema, value: bytes, **settings: Any) -> tuple[str, dict[str, Any], int]:
    kind = REGISTRY[destination]
    encode = kind.build(kind.settings.model_validate({**SETTINGS[destination], **settings})).encoder(schema)
    assert encode is not None
    encoding = encode(value, 0)
    assert isinstance(encoding, tuple), encoding
    return encoding[0], orjson.loads(encoding[1]), encoding[2]


def sent(destination: str, body: dict[str, Any]) -> dict[str, Any]:
    """The event's properties or attributes."""
    found = body["properties"] if destination == "mixpanel" else body["events"][0]["data"]["custom_attributes"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
@pytest.mark.parametrize("extra", [(), (("map", {"type": "map", "values": "int"}),)], ids=["walked", "by fastavro"])
def test_a_byte_that_is_no_utf_8_is_sent_as_a_replacement_character_and_counted(
    destination: str, extra: tuple[tuple[str, Any], ...]
) -> None:
    schema = schema_of("users.messages.sms.DeliveryFailure", extra=extra)
    record = {**RECORD, "error": "no ~ such", "map": {}} if extra else {**RECORD, "error": "no ~ such"}
    value = encode_bare(schema, record).replace(b"~", b"\xff")
    _, body, changed = encoded(destination, schema, value)
    assert sent(destination, body)["error"] == "no \ufffd such"
    assert changed == (0 if extra else 1)


@pytest.mark.parametrize("destination", ["mixpanel", "mparticle"])
def test_a_user_with_such_a_byte_is_a_user(destination: str) -> None:
    schema = schema_of("users.messages.sms.DeliveryFailure")
    value = encode_bare(schema, {**RECORD, "external_user_id": "us~er"}).replace(b"~", b"\xc3")
    assert presence_reader(schema)(value, 0) == PRESENT
    assert presence_reader(schema)(encode_bare(schema, {**RECORD, "external_user_id": " "}), 0) == MISSING
    _, body, changed = encoded(destination, schema, value)
    assert "us\ufffder" in str(body)
    assert changed == 1


def test_empty_items_of_an_array_are_sent_and_nulls_are_not() -> None:
    schema = schema_of("users.messages.sms.InboundReceive")
    for items, expected in (["a", "", None, "b"], ["a", "", "b"]), ([""], [""]), ([None], None), ([], None):
        value = encode_bare(schema, {**RECORD, "media_urls": items})
        assert sent("mixpanel", encoded("mixpanel", schema, value)[1]).get("media_urls") == expected


def test_mparticle_gets_the_sender_of_failed_sms() -> None:
    schema = schema_of("users.messages.sms.DeliveryFailure")
    value = encode_bare(schema, {**RECORD, "from_phone_number": "+15550100"})
    assert sent("mparticle", encoded("mparticle", schema, value)[1])["from_phone_number"] == "+15550100"


def test_a_content_card_follows_the_feed_of_its_app_if_the_record_names_one() -> None:
    schema = schema_of("users.messages.contentcard.Send")
    scope, body, _ = encoded("mparticle", schema, encode_bare(schema, {**RECORD, "app_id": "app-1"}))
    assert (scope, sent("mparticle", body)["app_id"]) == ("ios", "app-1")
    assert encoded("mparticle", schema, encode_bare(schema, RECORD))[0] == "unbound"


@pytest.mark.parametrize("event_names", ["current", "classic"])
def test_the_app_of_a_content_card_is_sent_under_both_names(event_names: str) -> None:
    schema = schema_of("users.messages.contentcard.Send")
    value = encode_bare(schema, {**RECORD, "app_id": "app-1"})
    assert sent("mparticle", encoded("mparticle", schema, value, event_names=event_names)[1])["app_id"] == "app-1"


IDENTITIES = [
    "customer_id", "email", "mobile_number", "phone_number_2", "phone_number_3", "alias",
    "other", "other_id_2", "other_id_3", "other_id_4", "other_id_5", "other_id_6",
    "other_id_7", "other_id_8", "other_id_9", "other_id_10", "facebook", "facebook_custom_audience_id",
    "google", "microsoft", "twitter", "yahoo",
]  # fmt: skip
"""Every one of mParticle's schema: `test_mparticle_schema.py` compares."""


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_external_user_id_goes_where_it_is_wanted(identity: str) -> None:
    schema = schema_of("users.messages.email.Open", extra=(("email_address", ["null", "string"]),))
    value = encode_bare(schema, {**RECORD, "email_address": "a@b.example"})
    batch = encoded("mparticle", schema, value, identity=identity)[1]
    identities = batch["user_identities"]
    assert identities[identity] == "user"
    assert wrong_with(batch) is None
    assert identity == "email" or identities["email"] == "a@b.example"
