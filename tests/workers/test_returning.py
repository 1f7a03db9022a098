"""Source letters routed again: as the router would have, had it known; and what still cannot be routed stays."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from streams.delivery.letter import INLET_HEADER, Origin, Reason, header_of, letter_headers, origin_of, parked_from
from streams.events.custom_http.schemas import catalogue_schemas
from streams.events.encodings import confluent_header, encode_bare, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped, writer_schema
from streams.ports.errors import KafkaRefusal, SchemasUnavailable
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeConsumer, FakeKafka, FakeMessage, FakeTransactions
from streams.workers.keeper.jobs.currents_letters import WrittenAgain
from streams.workers.keeper.jobs.ways import RoutedAgain
from streams.workers.keeper.lease import LeaseTopics
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.routes import ConnectorRoute, Routes, Routing
from streams.workers.router.worker import Router
from tests.workers.desk import CLICK, OPEN, Desk, verdict

ABORT = "users.campaigns.Abort"
TOPICS = LeaseTopics("streams.state", "streams.audit", "", "streams.dead-letter.source", "")
ROUTING = Routing(
    [
        ConnectorRoute("one", "streams.connector.one", frozenset({OPEN, CLICK})),
        ConnectorRoute("two", "streams.connector.two", frozenset({OPEN})),
    ],
    {OPEN, CLICK, ABORT},
)


class LaterSchemas:
    """A place, or a registry, that knows a schema only once a test says so."""

    def __init__(self) -> None:
        self.known: dict[bytes, WriterSchema] = {}
        self.is_down = False

    def find(self, header: bytes) -> WriterSchema | None:
        if self.is_down:
            raise SchemasUnavailable("connection refused")
        return self.known.get(header)


def newer(event_type: str) -> WriterSchema:
    """A schema of tomorrow: the shipped one with a field more."""
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    field = {"name": "field_of_tomorrow", "type": ["null", "int"], "default": None}
    return writer_schema({**schema.definition, "fields": [*schema.definition["fields"], field]})


def record(event_type: str, number: int, **fields: Any) -> dict[str, Any]:
    return {**sample_record(event_type, Random(number), 1_790_000_000), "external_user_id": "alice", **fields}


def resolver(clock: MovableClock, place: LaterSchemas, registry: LaterSchemas, encoding: Any) -> SchemaResolver:
    return SchemaResolver(
        shipped(),
        [place],
        registry,
        encoding=encoding,
        source_topic_prefix="currents.",
        unknown_schema_seconds_max=1.0,
        clock=clock,
    )


class Source:
    """A router on fakes, and the keeper of what it could not decode."""

    def __init__(self, encoding: str = "auto", schemas_topic: str = "") -> None:
        clock = MovableClock()
        self.place, self.registry = LaterSchemas(), LaterSchemas()
        routes = Routes(ROUTING, resolver(clock, self.place, self.registry, encoding))
        self.desk = Desk(
            topics=TOPICS,
            connector="source",
            way=RoutedAgain(routes, schemas_topic),
            source=self.place,
            registry=self.registry,
            clock=clock,
        )
        self.kafka = self.desk.kafka
        self.router = self._router(self.kafka, clock, resolver(clock, self.place, self.registry, encoding))

    def _router(self, kafka: FakeKafka, clock: MovableClock, known: SchemaResolver) -> Router:
        return Router(
            ROUTING,
            known,
            RouterTopics([r"^currents\..+"], "streams.", TOPICS.rejected, TOPICS.audit, TOPICS.state),
            RouterPorts(
                consumer=FakeConsumer(kafka),
                transactions=FakeTransactions(kafka),
                clock=clock,
                keep=lambda _is_ours: None,
                copies=dict,
            ),
        )

    def route(self) -> None:
        """Let the router work until unknown schemas are given up."""
        for _ in range(20):
            self.router.step()
            self.desk.clock.advance(0.5)

    def routed(self, connector: str) -> list[FakeMessage]:
        return self.kafka.read(f"streams.connector.{connector}")


def write(kafka: FakeKafka, values: dict[str, list[bytes]]) -> None:
    """Records with foreign headers, one of them by a name of ours."""
    headers = [("tenant", b"one"), ("streams-origin", b"elsewhere/1/2"), ("tenant", b"\xff"), ("empty", None)]
    for event_type, records in values.items():
        for value in records:
            kafka.write(f"currents.{event_type}", value, b"\x00key", headers)


def plain(messages: list[FakeMessage]) -> list[tuple[Any, ...]]:
    return sorted((one.key(), one.value(), tuple(one.headers() or [])) for one in messages)


def test_after_a_schema_was_added_letters_are_written_as_the_router_would_have_written_them() -> None:
    values = {
        event_type: [encode_single_object(newer(event_type), record(event_type, number)) for number in range(3)]
        for event_type in (OPEN, CLICK)
    }
    source, knowing = Source(), Source()
    for one in (source, knowing):
        write(one.kafka, values)
    for event_type in values:
        knowing.place.known[b"\xc3\x01" + newer(event_type).fingerprint] = newer(event_type)
    knowing.route()
    source.route()
    assert source.routed("one") == []
    letters = source.kafka.read(TOPICS.rejected)
    assert len(letters) == 6
    for letter in letters:
        assert origin_of(letter.headers() or [], Origin("the letter", 0, 0)) == parked_from(letter.headers() or [])
    source.place.known = knowing.place.known
    job = source.desk.finish(source.desk.order())
    assert (job.done, job.left_out) == (6, {})
    for connector, count in (("one", 6), ("two", 3)):
        assert len(source.routed(connector)) == count
        assert plain(source.routed(connector)) == plain(knowing.routed(connector))
    totals = source.desk.lease.view.totals
    assert totals.routed == {"one": 6, "two": 3}
    assert totals.replayed == {"unknown-schema": 6}
    assert totals.skipped == {}


def test_what_still_cannot_be_decoded_stays_with_the_reason() -> None:
    source = Source()
    known = encode_single_object(newer(OPEN), record(OPEN, 1))
    unknown = encode_single_object(newer(CLICK), record(CLICK, 2))
    write(source.kafka, {OPEN: [known, unknown, b"no avro", known[:14]]})
    source.route()
    source.place.known[known[:10]] = newer(OPEN)
    job = source.desk.finish(source.desk.order())
    assert (job.done, job.left_out) == (1, {"unknown-schema": 1, "undecodable": 2})
    assert [message.value() for message in source.routed("two")] == [known]
    source.place.known[unknown[:10]] = newer(CLICK)
    assert source.desk.finish(source.desk.order()).done == 1
    assert source.desk.lease.view.totals.replayed == {"unknown-schema": 2}


@pytest.mark.parametrize(
    ("event_type", "fields", "reason"),
    [
        ("users.behaviors.app.SessionStart", {}, "no_mapping"),
        (ABORT, {}, "not_selected"),
        (OPEN, {"external_user_id": " "}, "no_external_user_id"),
        (OPEN, {"external_user_id": None}, "no_external_user_id"),
    ],
)
def test_what_the_router_would_skip_is_settled_and_counted(
    event_type: str, fields: dict[str, Any], reason: str
) -> None:
    source = Source()
    value = encode_single_object(newer(event_type), record(event_type, 1, **fields))
    write(source.kafka, {event_type: [value]})
    source.route()
    source.place.known[value[:10]] = newer(event_type)
    assert source.desk.finish(source.desk.order()).done == 1
    assert source.routed("one") == []
    totals = source.desk.lease.view.totals
    assert (totals.skipped, totals.replayed, totals.routed) == ({reason: 1}, {"unknown-schema": 1}, {})
    assert source.desk.finish(source.desk.order()).done == 0


def test_a_copy_of_a_routed_letter_is_marked_and_counted_as_routed_too() -> None:
    source = Source()
    value = encode_single_object(newer(CLICK), record(CLICK, 1))
    write(source.kafka, {CLICK: [value]})
    source.route()
    source.place.known[value[:10]] = newer(CLICK)
    source.desk.finish(source.desk.order())
    job_id = source.desk.order(again=True)
    source.desk.finish(job_id)
    first, copy = source.routed("one")
    assert "streams-verdict" not in dict(first.headers() or [])
    assert verdict(copy)["again"] == job_id
    assert dict(copy.headers() or [])["streams-origin"] == f"currents.{CLICK}/0/0".encode()
    totals = source.desk.lease.view.totals
    assert (totals.routed, totals.again) == ({"one": 2}, 1)


def test_a_bare_value_is_routed_by_the_topic_that_it_came_from() -> None:
    source = Source("bare")
    schema = shipped().by_event_type(CLICK)
    assert schema is not None
    value = encode_bare(schema, record(CLICK, 1))
    source.kafka.write(f"currents.{CLICK}", value[:5], b"key")
    source.route()
    (letter,) = source.kafka.read(TOPICS.rejected)
    # Somebody fixed the producer and brought the letter back whole, as an import would.
    source.kafka.write(TOPICS.rejected, value, b"key", letter.headers() or [])
    job = source.desk.finish(source.desk.order())
    assert (job.done, job.left_out) == (1, {"undecodable": 1})
    (message,) = source.routed("one")
    assert (message.value(), dict(message.headers() or [])["streams-event-type"]) == (value, CLICK.encode())


def test_a_job_waits_while_the_registry_does_not_answer_and_then_goes_on() -> None:
    source = Source()
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    value = confluent_header(7) + encode_bare(schema, record(OPEN, 2))
    write(source.kafka, {OPEN: [value]})
    source.route()
    job_id = source.desk.order()
    source.registry.is_down = True
    for _ in range(20):
        assert not source.desk.jobs.step(source.desk.lease)
        source.desk.clock.advance(1)
    assert source.desk.job(job_id).status == "queued"
    source.registry.is_down = False
    source.registry.known[confluent_header(7)] = schema
    assert source.desk.finish(job_id).done == 1
    assert [message.value() for message in source.routed("one")] == [value]


@pytest.mark.parametrize("selection", [{"event_types": (OPEN,)}, {"event_ids": ("id-2",)}])
def test_a_job_passes_no_letter_by_whose_event_nobody_could_tell_while_the_registry_was_away(
    selection: dict[str, Any],
) -> None:
    source = Source()
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    value = confluent_header(7) + encode_bare(schema, {**record(OPEN, 2), "id": "id-2"})
    write(source.kafka, {OPEN: [value]})
    source.route()
    job_id = source.desk.order(**selection)
    source.registry.is_down = True
    for _ in range(20):
        source.desk.jobs.step(source.desk.lease)
        source.desk.clock.advance(1)
    assert source.desk.job(job_id).status == "queued"
    source.registry.is_down = False
    source.registry.known[confluent_header(7)] = schema
    assert source.desk.finish(job_id).done == 1


def test_a_keeper_of_the_source_killed_after_every_commit_routes_each_letter_once() -> None:
    source = Source()
    values = [encode_single_object(newer(OPEN), record(OPEN, number)) for number in range(30)]
    write(source.kafka, {OPEN: values})
    source.route()
    source.place.known[values[0][:10]] = newer(OPEN)
    for _ in source.desk.steps(source.desk.order(rate=12)):
        source.desk.take_over()
    for connector in ("one", "two"):
        assert [message.value() for message in source.routed(connector)] == values
    assert source.desk.lease.view.totals.routed == {"one": 30, "two": 30}


def posted(event_type: str, identity: str, **user: Any) -> dict[str, Any]:
    return {"event_type": event_type, "id": identity, "time": 1_790_000_000, "user": user}


def park_over_http(kafka: FakeKafka, value: bytes, inlet: bytes = b"braze-http") -> None:
    """As the receiver parks what it cannot read."""
    reason = Reason("undecodable", 0, "it cannot be read", "", "", 0, 1_790_000_000_000)
    kafka.write(TOPICS.rejected, value, None, letter_headers([(INLET_HEADER, inlet)], None, reason))


def test_what_came_over_http_is_mapped_again_and_routed_behind_its_schema() -> None:
    source = Source(schemas_topic="streams.schemas")
    one_event = orjson.dumps(posted(OPEN, "alone", external_user_id="ada"))
    body = {"events": [posted(OPEN, "a", external_user_id="ada"), posted(CLICK, "b", external_user_id="bob")]}
    park_over_http(source.kafka, one_event)
    park_over_http(source.kafka, orjson.dumps(body))
    park_over_http(source.kafka, b"still no json")
    park_over_http(source.kafka, orjson.dumps(posted(OPEN, "", external_user_id="ada")))
    job = source.desk.finish(source.desk.order())
    assert (job.done, job.left_out) == (2, {"undecodable": 2})
    schemas = catalogue_schemas()

    def ids(connector: str) -> list[tuple[bytes | None, str]]:
        found = []
        for message in source.routed(connector):
            value = message.value() or b""
            (schema,) = [schemas[name] for name in (OPEN, CLICK) if schemas[name].fingerprint == value[2:10]]
            assert header_of(message.headers() or [], INLET_HEADER) == b"braze-http"
            found.append((message.key(), schema.decode(value, 10)["id"]))
        return found

    assert sorted(ids("one"), key=str) == [(b"ada", "a"), (b"ada", "alone"), (b"bob", "b")]
    assert sorted(ids("two"), key=str) == [(b"ada", "a"), (b"ada", "alone")]
    known = {message.key() for message in source.kafka.read("streams.schemas")}
    assert known == {schemas[name].fingerprint.hex().encode() for name in (OPEN, CLICK)}
    assert source.desk.lease.view.totals.routed == {"one": 3, "two": 2}


def test_an_event_over_http_that_nobody_gets_is_settled_and_counted() -> None:
    source = Source(schemas_topic="streams.schemas")
    park_over_http(source.kafka, orjson.dumps(posted(OPEN, "nobody")))
    park_over_http(source.kafka, orjson.dumps(posted("users.new.Type", "new", external_user_id="ada")))
    job = source.desk.finish(source.desk.order())
    assert (job.done, job.left_out) == (2, {})
    assert source.desk.lease.view.totals.skipped == {"no_external_user_id": 1, "no_mapping": 1}
    assert source.routed("one") == []


# Where no connector gets events, they go to the Currents topics.


class EventTopics:
    """Topics that may be made, but for those that are forbidden."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.forbidden: set[str] = set()

    def make(self, topic: str) -> bool:
        if topic in self.forbidden:
            raise KafkaRefusal("TOPIC_AUTHORIZATION_FAILED")
        self.made.add(topic)
        return True

    def forget(self) -> None:
        self.made.clear()


def written_again(event_topics: EventTopics) -> Desk:
    """The keeper of `source` where nothing is routed; the inlet `test` has topics of its own."""
    clock = MovableClock()
    known = resolver(clock, LaterSchemas(), LaterSchemas(), "auto")
    routed = RoutedAgain(Routes(Routing([], {OPEN}), known), "streams.schemas")

    def prefix_of(inlet: str) -> str:
        return "test-currents." if inlet == "test" else "currents."

    way = WrittenAgain(known, event_topics, prefix_of, "streams.schemas", routed)
    return Desk(topics=TOPICS, connector="source", way=way, clock=clock)


def test_where_nothing_is_routed_what_came_over_http_goes_to_its_currents_topic_behind_its_schema() -> None:
    desk = written_again(topics := EventTopics())
    body = {"events": [posted(OPEN, "a", external_user_id="ada"), posted(CLICK, "b")]}
    park_over_http(desk.kafka, orjson.dumps(body))
    park_over_http(desk.kafka, orjson.dumps(posted(OPEN, "own")), inlet=b"test")
    park_over_http(desk.kafka, b"still no json")
    job = desk.finish(desk.order())
    assert (job.done, job.left_out) == (2, {"undecodable": 1})
    schemas = catalogue_schemas()
    for topic, event_type, key, identity in (
        ("currents.", OPEN, b"ada", "a"),
        ("currents.", CLICK, None, "b"),
        ("test-currents.", OPEN, None, "own"),
    ):
        (message,) = desk.kafka.read(f"{topic}{event_type}")
        value = message.value() or b""
        assert (message.key(), schemas[event_type].decode(value, 10)["id"]) == (key, identity)
        assert value[2:10] == schemas[event_type].fingerprint
    known = {message.key() for message in desk.kafka.read("streams.schemas")}
    assert known == {schemas[name].fingerprint.hex().encode() for name in (OPEN, CLICK)}
    assert f"test-currents.{OPEN}" in topics.made


def test_where_nothing_is_routed_a_record_that_was_too_large_is_tried_again_with_its_key() -> None:
    desk = written_again(EventTopics())
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    value = encode_single_object(schema, record(OPEN, 1))
    park_over_http(desk.kafka, value)
    assert desk.finish(desk.order()).done == 1
    assert [(one.key(), one.value()) for one in desk.kafka.read(f"currents.{OPEN}")] == [(b"alice", value)]


def test_where_nothing_is_routed_an_event_stays_a_letter_while_its_topic_cannot_be_made() -> None:
    desk = written_again(topics := EventTopics())
    topics.forbidden = {f"currents.{OPEN}"}
    park_over_http(desk.kafka, orjson.dumps(posted(OPEN, "a")))
    job = desk.finish(desk.order())
    assert (job.done, job.left_out) == (0, {"refused": 1})
    topics.forbidden.clear()
    assert desk.finish(desk.order()).done == 1
    assert len(desk.kafka.read(f"currents.{OPEN}")) == 1
