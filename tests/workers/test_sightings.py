"""Which records are of an event, in every encoding, and what router and sink make of them."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

from streams.delivery.contract import Destination
from streams.destinations import REGISTRY
from streams.events.encodings import encode_bare, encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.operations.explain.sightings import Sighter
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeKafka
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.router.routes import ConnectorRoute, Routing

OPEN = "users.messages.email.Open"
BANNER = "users.messages.banner.Click"
CURRENTS, TOPIC = f"currents.{OPEN}", "streams.connector.cdp"
EVENT = "id-1"


def destination() -> Destination:
    kind = REGISTRY["mparticle"]
    ios = {"ios": {"key": "k", "secret": "s"}}
    return kind.build(kind.settings.model_validate({"feeds": ios, "feed_fallback": "skip"}))


def sighter(encoding: Literal["auto", "bare"] = "auto") -> Sighter:
    resolver = SchemaResolver(
        shipped(),
        [],
        None,
        encoding=encoding,
        source_topic_prefix="currents.",
        unknown_schema_seconds_max=60.0,
        clock=MovableClock(),
    )
    routing = Routing([ConnectorRoute("cdp", TOPIC, frozenset({OPEN}))], frozenset({OPEN}))
    places: dict[str, Any] = {CURRENTS: ("currents", "", ""), TOPIC: ("connector", "cdp", "")}
    return Sighter(EVENT, resolver, routing, {"cdp": destination()}, places)


def value(encode: Any = encode_single_object, event_type: str = OPEN, **fields: Any) -> bytes:
    schema = shipped().by_event_type(event_type)
    record = sample_record(event_type, Random(1), 1_795_000_000)
    return bytes(encode(schema, {**record, "id": EVENT, "external_user_id": "alice", **fields}))


def test_a_bare_value_is_read_by_its_topic_and_on_the_connectors_topic_by_its_header() -> None:
    kafka, looking = FakeKafka(), sighter("bare")
    read = looking.sighting(kafka.write(CURRENTS, value(encode_bare)), 5)
    assert read is not None
    assert (read.event_type, read.is_decoded, read.targets) == (OPEN, True, ("cdp",))
    headers = [("streams-origin", f"{CURRENTS}/0/0".encode()), ("streams-event-type", OPEN.encode())]
    copy = looking.sighting(kafka.write(TOPIC, value(encode_bare), headers=headers), 6)
    assert copy is not None
    assert (copy.event_type, copy.is_decoded, copy.origin) == (OPEN, True, read.origin)


def test_a_feed_without_credentials_is_why_the_sink_skips() -> None:
    kafka, looking = FakeKafka(), sighter()
    for platform, skip in (("android", "no_credentials_for_feed"), ("ios", "")):
        copy = looking.sighting(kafka.write(TOPIC, value(event_type=BANNER, platform=platform)), 6)
        assert copy is not None
        assert copy.skip == skip


def test_an_event_of_another_id_is_none_and_bytes_that_nobody_can_read_may_be_it() -> None:
    kafka, looking = FakeKafka(), sighter()
    assert looking.sighting(kafka.write(CURRENTS, value(id="id-10")), 5) is None
    damaged = looking.sighting(kafka.write(CURRENTS, value()[:40]), 5)
    assert damaged is not None
    assert not damaged.is_decoded
    assert looking.sighting(kafka.write(CURRENTS, b"id-1"), 5) is not None
