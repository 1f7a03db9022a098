"""The router on fakes: schemas that come late, commits that are refused, and nothing missing or twice."""

from __future__ import annotations

import json
import threading
from random import Random

import pytest
from structlog.testing import capture_logs

from streams.delivery.account import RouterCounts
from streams.events.encodings import encode_confluent, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped, writer_schema
from streams.ports.errors import SchemasUnavailable
from streams.ports.meters import UNMEASURED, RouterMeter
from streams.ports.schemas import NoSchema, SchemaSource
from streams.testing.clock import MovableClock
from streams.testing.ports import FakeConsumer, FakeKafka, FakeTransactions
from streams.wayback.records import Membership, encode
from streams.workers.reading.schema_resolver import SchemaResolver
from streams.workers.router.metadata import HandOvers
from streams.workers.router.ports import RouterPorts, RouterTopics
from streams.workers.router.routes import ConnectorRoute, Routing
from streams.workers.router.worker import Router

OPEN = "users.messages.email.Open"
SOURCE = f"currents.{OPEN}"

TOPICS = RouterTopics([r"^currents\..+"], "streams.", "streams.dead-letter.source", "streams.audit", "streams.state")


class LaterSchemas:
    """A place that knows a schema only once a test says so."""

    def __init__(self) -> None:
        self.known: dict[bytes, WriterSchema] = {}

    def find(self, header: bytes) -> WriterSchema | None:
        return self.known.get(header[2:])


class Stage:
    def __init__(
        self,
        meter: RouterMeter = UNMEASURED,
        registry: SchemaSource | None = None,
        hand_overs: HandOvers = dict,
    ) -> None:
        self.kafka, self.clock, self.later = FakeKafka(), MovableClock(), LaterSchemas()
        self.keeps = False
        """Whether this process keeps the source's dead letters."""
        self.consumer = FakeConsumer(self.kafka)
        resolver = SchemaResolver(
            shipped(),
            [self.later],
            registry,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=self.clock,
        )
        self.router = Router(
            Routing([ConnectorRoute("one", "streams.connector.one", frozenset({OPEN}))], {OPEN}),
            resolver,
            TOPICS,
            RouterPorts(
                consumer=self.consumer,
                transactions=FakeTransactions(self.kafka),
                clock=self.clock,
                keep=self.keep,
                copies=dict,
                hand_overs=hand_overs,
                connectors=["one"],
                meter=meter,
            ),
        )

    def keep(self, is_ours: bool) -> None:
        self.keeps = is_ours

    def write(self, number: int, schema: WriterSchema, partition: int = 0) -> None:
        record = {**sample_record(OPEN, Random(number), 1_790_000_000), "external_user_id": f"user-{number}"}
        self.kafka.write(SOURCE, encode_single_object(schema, record), b"key", partition=partition)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.router.step()
            self.clock.advance(0.25)

    @property
    def origins(self) -> list[str]:
        routed = self.kafka.read("streams.connector.one")
        return [(dict(message.headers() or [])["streams-origin"] or b"").decode() for message in routed]

    def counts(self, partition: int) -> dict[str, int]:
        return json.loads(self.kafka.committed[SOURCE, partition].metadata)  # type: ignore[no-any-return]


def known() -> WriterSchema:
    schema = shipped().by_event_type(OPEN)
    assert schema is not None
    return schema


def newer() -> WriterSchema:
    definition = known().definition
    field = {"name": "send_time", "type": ["null", "int"], "default": None}
    return writer_schema({**definition, "fields": [*definition["fields"], field]})


def test_a_partition_waits_for_its_schema_while_others_go_on_and_then_goes_on_in_order() -> None:
    stage = Stage()
    for number in range(3):
        stage.write(number, known())
    stage.write(3, newer())
    stage.write(4, known())
    stage.write(5, known(), partition=1)
    stage.run(10)
    assert sorted(stage.origins) == [f"{SOURCE}/0/0", f"{SOURCE}/0/1", f"{SOURCE}/0/2", f"{SOURCE}/1/0"]
    stage.later.known[newer().fingerprint] = newer()
    stage.run(3)
    assert [origin for origin in stage.origins if "/0/" in origin] == [f"{SOURCE}/0/{number}" for number in range(5)]
    assert stage.counts(0)["read"] == 5
    assert stage.kafka.read("streams.dead-letter.source") == []


def test_a_partition_that_waited_is_read_on_once_its_topic_was_made_again() -> None:
    stage = Stage()
    stage.kafka.tells_ids = True
    stage.write(0, newer())
    stage.run(0.5)
    assert stage.consumer.paused == {(SOURCE, 0)}
    stage.kafka.make_again(SOURCE)
    stage.write(1, known())
    stage.run(2)
    assert stage.origins == [f"{SOURCE}/0/0"]


def test_a_record_of_the_way_back_is_never_routed_wherever_it_lies() -> None:
    stage = Stage()
    member = Membership(
        id="1",
        entry="cohorts",
        external_user_id="u",
        time_ms=1,
        received_ms=1,
        group_id="7",
        group_name="x",
        change="add",
    )
    stage.kafka.write(SOURCE, encode(member), b"u")
    stage.run(1)
    assert stage.origins == []
    assert stage.kafka.read("streams.dead-letter.source") == []
    assert json.loads(stage.kafka.committed[SOURCE, 0].metadata)["skipped"] == {"no_mapping": 1}


def test_a_schema_that_never_comes_parks_the_record_after_a_minute() -> None:
    stage = Stage()
    stage.write(0, newer())
    stage.write(1, known())
    stage.run(59)
    assert stage.origins == []
    stage.run(4)
    assert stage.origins == [f"{SOURCE}/0/1"]
    (letter,) = stage.kafka.read("streams.dead-letter.source")
    assert dict(letter.headers() or [])["streams-cause"] == b"unknown-schema"


def test_refused_commits_lose_nothing_and_count_once_even_while_a_partition_waits() -> None:
    stage = Stage()
    for number in range(4):
        stage.write(number, newer() if number == 2 else known())
    stage.kafka.refuse_commits = 3
    stage.run(5)
    stage.write(4, known(), partition=1)
    stage.kafka.refuse_commits = 2
    stage.run(5)
    stage.later.known[newer().fingerprint] = newer()
    stage.run(5)
    assert sorted(stage.origins) == [*(f"{SOURCE}/0/{number}" for number in range(4)), f"{SOURCE}/1/0"]
    assert (stage.counts(0)["read"], stage.counts(1)["read"]) == (4, 1)


def test_a_topic_that_comes_later_is_read_within_half_a_minute() -> None:
    stage = Stage()
    stage.run(1)
    stage.write(0, known())
    stage.run(30)
    assert stage.origins == [f"{SOURCE}/0/0"]


def test_the_source_has_a_keeper_also_when_its_first_topic_is_gone_for_good() -> None:
    stage = Stage()
    first = "currents.users.behaviors.app.FirstSession"
    stage.kafka.write(first, b"no Avro", b"key")
    stage.write(0, known())
    stage.run(5)
    assert stage.keeps
    stage.kafka.delete_topic(first)
    stage.run(90)
    assert stage.keeps
    stage.write(1, known())
    stage.kafka.write(first, b"no Avro", b"key")
    stage.run(30)
    assert stage.origins == [f"{SOURCE}/0/0", f"{SOURCE}/0/1"]
    assert stage.keeps, "by the first topic, which was made again"
    assert len(stage.kafka.read("streams.dead-letter.source")) == 2


def test_it_leaves_when_told_to() -> None:
    stage = Stage()
    stop = threading.Event()
    stop.set()
    stage.write(0, known())
    stage.router.step()
    stage.router.run(stop)
    assert stage.consumer.is_closed


class Registry:
    """A registry that a test speaks for: by id, what it says."""

    def __init__(self) -> None:
        self.says: dict[int, WriterSchema | NoSchema | SchemasUnavailable] = {}

    def find(self, header: bytes) -> WriterSchema | NoSchema | None:
        said = self.says.get(int.from_bytes(header[1:], "big"))
        if isinstance(said, SchemasUnavailable):
            raise said
        return said


def junk(number: int) -> bytes:
    """Ten bytes as a single-object header has them, of a schema that nobody knows."""
    return b"\xc3\x01" + number.to_bytes(8, "big") + b"junk"


def test_a_partition_waits_once_for_all_unknown_schemas_that_it_holds() -> None:
    stage = Stage()
    for number in range(50):
        stage.kafka.write(SOURCE, junk(number))
        stage.write(number, known())
    stage.run(59)
    assert stage.origins == []
    stage.run(5)
    assert stage.origins == [f"{SOURCE}/0/{2 * number + 1}" for number in range(50)]
    assert len(stage.kafka.read("streams.dead-letter.source")) == 50


def test_a_record_that_came_while_its_partition_waited_has_a_wait_of_its_own() -> None:
    stage = Stage()
    stage.kafka.write(SOURCE, junk(1))
    stage.run(50)
    stage.kafka.write(SOURCE, junk(2))
    stage.run(50)
    assert len(stage.kafka.read("streams.dead-letter.source")) == 1
    stage.run(25)
    assert len(stage.kafka.read("streams.dead-letter.source")) == 2


def test_a_schema_that_comes_while_others_do_not_parks_only_the_others() -> None:
    stage = Stage()
    stage.kafka.write(SOURCE, junk(1))
    stage.write(0, newer())
    stage.kafka.write(SOURCE, junk(2))
    stage.run(30)
    stage.later.known[newer().fingerprint] = newer()
    stage.run(35)
    assert stage.origins == [f"{SOURCE}/0/1"]
    assert len(stage.kafka.read("streams.dead-letter.source")) == 2


def test_an_outage_is_no_answer_however_soon_it_is_asked_again() -> None:
    registry = Registry()
    stage = Stage(registry=registry)
    registry.says[7] = SchemasUnavailable("status 503")
    record = sample_record(OPEN, Random(1), 1_790_000_000)
    for partition in range(3):  # all ask for one id within one second
        stage.kafka.write(SOURCE, encode_confluent(7, known(), record), partition=partition)
    stage.run(200)
    assert stage.kafka.read("streams.dead-letter.source") == []
    registry.says[7] = known()
    stage.run(3)
    assert len(stage.origins) == 3


def test_a_refusal_parks_at_once_with_the_registrys_own_words_and_holds_nobody() -> None:
    registry = Registry()
    registry.says[7] = NoSchema("the registry answers 422: 42202 bad id", "never")
    registry.says[8] = NoSchema("it is Protobuf, and only Avro is read", "unreadable")
    stage = Stage(registry=registry)
    stage.kafka.write(SOURCE, b"\x00\x00\x00\x00\x07datum")
    stage.kafka.write(SOURCE, b"\x00\x00\x00\x00\x08datum")
    stage.write(0, known())
    stage.run(1)
    assert stage.origins == [f"{SOURCE}/0/2"]
    letters = [dict(letter.headers() or []) for letter in stage.kafka.read("streams.dead-letter.source")]
    assert [letter["streams-cause"] for letter in letters] == [b"unknown-schema", b"undecodable"]
    assert [letter["__connect.errors.exception.message"] for letter in letters] == [
        b"unknown schema id 7: the registry answers 422: 42202 bad id",
        b"undecodable: schema id 8: it is Protobuf, and only Avro is read",
    ]


CONNECTOR_TOPIC, SOURCE_LETTERS = "streams.connector.one", "streams.dead-letter.source"


def write_padded(stage: Stage, number: int, size: int) -> None:
    record = {**sample_record(OPEN, Random(number), 1_790_000_000), "external_user_id": "u" * size}
    stage.kafka.write(SOURCE, encode_single_object(known(), record), b"key")


def numbers(stage: Stage) -> list[int]:
    return [int(origin.rsplit("/", 1)[1]) for origin in stage.origins]


def letter_facts(stage: Stage) -> list[tuple[str, str]]:
    """Cause and scope of the source's letters."""
    letters = [dict(message.headers() or []) for message in stage.kafka.read(SOURCE_LETTERS)]
    verdicts = [json.loads(one["streams-verdict"] or b"") for one in letters]
    return [
        ((one["streams-cause"] or b"").decode(), verdict["scope"])
        for one, verdict in zip(letters, verdicts, strict=True)
    ]


@pytest.mark.parametrize("refusing", ["client", "topic"])
def test_a_record_that_is_too_large_is_parked_or_passed_and_the_stream_goes_on(refusing: str) -> None:
    stage = Stage()
    for number in range(100):
        write_padded(stage, number, 3_000 if number in (17, 18, 60) else 10)
    if refusing == "client":
        stage.kafka.record_bytes_max = 2_000
    else:
        stage.kafka.topic_bytes_max[CONNECTOR_TOPIC] = 2_000
    stage.run(30)
    assert numbers(stage) == [number for number in range(100) if number not in (17, 18, 60)]
    account = RouterCounts.from_metadata(stage.kafka.committed[SOURCE, 0].metadata)
    assert account.read == 100
    if refusing == "topic":
        assert letter_facts(stage) == [("refused", "one")] * 3
        assert (account.undecodable, account.skipped) == (3, {})
    else:
        assert stage.kafka.read(SOURCE_LETTERS) == []
        assert (account.undecodable, account.skipped) == (0, {"refused_by_kafka": 3})
    assert account.routed == {"one": 97}


def test_a_record_that_no_topic_takes_is_counted_and_the_audit_says_its_place() -> None:
    stage = Stage()
    for number in range(5):
        write_padded(stage, number, 3_000 if number == 2 else 10)
    stage.kafka.topic_bytes_max |= {CONNECTOR_TOPIC: 2_000, SOURCE_LETTERS: 2_000}
    stage.run(10)
    assert numbers(stage) == [0, 1, 3, 4]
    account = RouterCounts.from_metadata(stage.kafka.committed[SOURCE, 0].metadata)
    assert (account.read, account.skipped) == (5, {"refused_by_kafka": 1})
    lines = [json.loads(one.value() or b"") for one in stage.kafka.read("streams.audit")]
    (line,) = [line for line in lines if "passed" in line["what"]]
    assert line["records"] == [f"{SOURCE}/0/2"]
    assert "too large" in line["why"]


def test_a_policy_of_the_cluster_that_refuses_one_record_stops_no_other() -> None:
    stage = Stage()
    for number in range(10):
        write_padded(stage, number, 50 if number == 4 else 10)
    stage.kafka.policies[CONNECTOR_TOPIC] = lambda value: "the policy" if b"u" * 50 in (value or b"") else ""
    stage.run(10)
    assert numbers(stage) == [number for number in range(10) if number != 4]
    assert letter_facts(stage) == [("refused", "one")]


def test_an_audit_that_takes_no_line_stops_no_record() -> None:
    stage = Stage()
    stage.write(0, known())
    stage.kafka.policies["streams.audit"] = lambda _value: "no"
    stage.run(5)
    assert numbers(stage) == [0]


def test_a_topic_that_comes_soon_after_the_start_is_read_within_seconds() -> None:
    stage = Stage()
    stage.run(1)
    stage.write(0, known())
    stage.run(2.5)
    assert numbers(stage) == [0]


def test_that_there_is_no_topic_yet_is_said_once_a_minute_however_often_it_is_looked() -> None:
    stage = Stage()
    with capture_logs() as lines:
        stage.run(110)
    assert [line["event"] for line in lines].count("no Currents topic yet") == 2
