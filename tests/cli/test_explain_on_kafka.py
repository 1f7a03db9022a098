"""`streams explain` against a broker: records as router, sinks and keepers write them, and what is told of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.delivery.letter import Origin, Reason, letter_headers, returned_headers
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped, writer_schema
from streams.state.records import Cursor, Record, ScopeState, key
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, staged
from tests.cli.files import OPEN_SCHEMA
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running

pytestmark = pytest.mark.kafka

OPEN, PURCHASE, ORPHAN = "users.messages.email.Open", "users.behaviors.Purchase", "users.UserOrphan"
EVENT, OTHER, USER = "3f0d6c1e-0000-4000-8000-0000000000aa", "3f0d6c1e-0000-4000-8000-0000000000bb", "person-7"
EMAIL = "person-7@example.com"
TOKEN = "0" * 32

Headers = list[tuple[str, str | bytes | None]]


def value_of(event_type: str = OPEN, event_id: str = EVENT, user: str | None = USER, **fields: Any) -> bytes:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    record = sample_record(event_type, Random(3), 1_795_000_000)
    return encode_single_object(schema, {**record, "id": event_id, "external_user_id": user, **fields})


class Stage:
    """Topics of a configuration with two connectors, written by hand: no process runs."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.names = scene.settings.topics
        self.source = f"{scene.source_prefix}{OPEN}"
        scene.administration.create_topic(self.source, 4, 1, {})
        options = {"bootstrap.servers": scene.bootstrap_servers, "partitioner": "murmur2_random"}
        self._producer = Producer({**options, "enable.idempotence": True})
        self.now_ms = time.time_ns() // 1_000_000

    def write(
        self,
        topic: str,
        value: bytes,
        headers: Headers | None = None,
        user: str | None = USER,
        ago_seconds: float = 0,
    ) -> Origin:
        """Where the record came to stand."""
        places: list[Origin] = []

        def written(error: object, message: Any) -> None:
            assert error is None
            places.append(Origin(message.topic(), message.partition(), message.offset()))

        at_ms = self.now_ms - round(ago_seconds * 1000)
        record_key = None if user is None else user.encode()
        self._producer.produce(topic, value, record_key, headers=headers, timestamp=at_ms, on_delivery=written)
        self._producer.flush(60)
        return places[0]

    def routed(self, origin: Origin, value: bytes, connector: str = "growth", ago_seconds: float = 0) -> Origin:
        headers: Headers = [("streams-origin", origin.to_header())]
        place = self.write(self.names.connector(connector), value, headers, ago_seconds=ago_seconds)
        self.commit(self.scene.settings.groups.router, origin, origin.offset + 1)
        return place

    def parked(self, origin: Origin, value: bytes, reason: Reason, topic: str, ago_seconds: float = 0) -> Origin:
        headers: Headers = [*letter_headers([("streams-origin", origin.to_header())], origin, reason)]
        return self.write(topic, value, headers, ago_seconds=ago_seconds)

    def commit(self, group: str, place: Origin, offset: int) -> None:
        consumer = Consumer({"bootstrap.servers": self.scene.bootstrap_servers, "group.id": group})
        try:
            consumer.commit(offsets=[TopicPartition(place.topic, place.partition, offset, "")], asynchronous=False)
        finally:
            consumer.close()

    def settled(self, place: Origin, connector: str = "growth") -> None:
        """The sink commits past this copy."""
        self.commit(self.scene.settings.groups.sink(connector), place, place.offset + 1)

    def state(self, records: dict[str, Record]) -> None:
        for name, record in records.items():
            self._producer.produce(self.names.state, record.to_bytes(), name.encode())
        self._producer.flush(60)

    def audit(self, line: dict[str, Any]) -> None:
        content = {"v": 1, "at": self.now_ms, "who": "keeper a", "connector": "growth", **line}
        self._producer.produce(self.names.audit, json.dumps(content), b"growth")
        self._producer.flush(60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.scene, *arguments)

    def explain(self, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
        return explained(self.scene, *arguments, exit_code=exit_code)


def run(scene: Scene, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streams", "explain", *arguments, "--config", str(scene.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def explained(scene: Scene, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = run(scene, *arguments, "--output", "json")
    assert result.returncode == exit_code, result.stderr
    content: dict[str, Any] = json.loads(result.stdout)
    assert content["v"] == 1
    return content


@pytest.fixture
def stage(kafka: Broker, tmp_path: Path) -> Iterator[Stage]:
    connector = {"destination": "mixpanel", "project_token": TOKEN}
    connectors = {"growth": {**connector, "events": [OPEN]}, "archive": {**connector, "events": [PURCHASE]}}
    with staged(kafka.bootstrap_servers, tmp_path, connectors) as scene:
        yield Stage(scene)


def state_of(found: dict[str, Any], connector: str = "growth") -> str:
    (record,) = found["records"]
    return str(record["connectors"][connector]["state"])


def test_a_delivered_event_is_found_among_others_and_nothing_personal_is_shown(stage: Stage) -> None:
    value = value_of(email_address=EMAIL)
    stage.write(stage.source, value_of(event_id=OTHER))
    origin = stage.write(stage.source, value, ago_seconds=60)
    stage.settled(stage.routed(origin, value, ago_seconds=59))
    found = stage.explain(EVENT)
    (record,) = found["records"]
    assert record["event_type"] == OPEN
    assert {name: record["origin"][name] for name in ("topic", "partition", "offset")} == asdict(origin)
    assert record["origin"]["written"] == iso(stage.now_ms - 60_000)
    assert record["router"] == {"state": "routed", "detail": "to growth"}
    assert list(record["connectors"]) == ["growth"]
    assert [step["what"] for step in record["connectors"]["growth"]["steps"]] == ["routed", "delivered"]
    table = stage.run(EVENT)
    assert table.returncode == 0
    assert f"{origin.topic}/{origin.partition}/{origin.offset}" in table.stdout
    assert "not looked at" in table.stdout
    for text in (json.dumps(found), table.stdout, table.stderr):
        assert USER not in text
        assert EMAIL not in text


def iso(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_event_that_nobody_sent_yet_waits(stage: Stage) -> None:
    value = value_of()
    origin = stage.write(stage.source, value)
    assert stage.explain(EVENT)["records"][0]["router"]["state"] == "waiting"
    place = stage.routed(origin, value)
    assert state_of(stage.explain(EVENT)) == "waiting"
    stage.settled(place)
    assert state_of(stage.explain(EVENT)) == "delivered"


@pytest.mark.parametrize(
    ("event_type", "user", "reason"),
    [
        (ORPHAN, USER, "no_mapping"),
        ("users.messages.sms.Send", USER, "not_selected"),
        (OPEN, None, "no_external_user_id"),
        (OPEN, "  ", "no_external_user_id"),
    ],
)
def test_an_event_that_no_connector_gets_is_told_with_the_routers_reason(
    stage: Stage, event_type: str, user: str | None, reason: str
) -> None:
    origin = stage.write(stage.source, value_of(event_type, user=user))
    stage.commit(stage.scene.settings.groups.router, origin, origin.offset + 1)
    (record,) = stage.explain(EVENT)["records"]
    assert record["router"] == {"state": "skipped", "detail": reason}
    assert record["connectors"] == {}


def test_a_parked_event_is_told_with_cause_words_deadline_and_next_step_and_a_redriven_one_where_it_is_now(
    stage: Stage,
) -> None:
    value = value_of()
    origin = stage.write(stage.source, value, ago_seconds=1000)
    stage.settled(stage.routed(origin, value, ago_seconds=990))
    reason = Reason("credentials", 401, "Invalid credentials", "default", OPEN, 1, stage.now_ms - 900_000)
    topic = stage.names.dead_letter_credentials("growth", "default")
    letter = stage.parked(origin, value, reason, topic, ago_seconds=900)
    since = stage.now_ms - 950_000
    stage.state({key("scope", "growth", "default"): ScopeState(state="INVALID", since=since)})
    way = stage.explain(EVENT)["records"][0]["connectors"]["growth"]
    assert (way["state"], way["next_step"]) == ("parked", "streams connectors show growth")
    assert way["deadline"] == iso(stage.now_ms - 900_000 + 48 * 3_600_000)
    assert way["steps"][1]["detail"] == "credentials 401 Invalid credentials, scope default"
    assert way["steps"][1]["place"] == f"{topic}/{letter.partition}/{letter.offset}"
    stage.state(
        {
            key("scope", "growth", "default"): ScopeState(state="VALID", since=stage.now_ms - 100_000),
            key("cursor", "growth", "credentials.default", letter.partition): Cursor(offset=letter.offset + 1),
        }
    )
    letter_as_parked = letter_headers([("streams-origin", origin.to_header())], origin, reason)
    back: Headers = [*returned_headers(letter_as_parked)]
    stage.settled(stage.write(stage.names.connector("growth"), value, back, ago_seconds=90))
    way = stage.explain(EVENT)["records"][0]["connectors"]["growth"]
    assert [step["what"] for step in way["steps"]] == ["routed", "parked", "redriven", "delivered"]


def test_a_letter_that_was_purged_is_told_by_the_receipt_that_covers_it(stage: Stage) -> None:
    value = value_of()
    origin = stage.write(stage.source, value, ago_seconds=100)
    stage.settled(stage.routed(origin, value, ago_seconds=99))
    reason = Reason("rejected", 400, "no", "default", OPEN, 1, stage.now_ms - 90_000)
    letter = stage.parked(origin, value, reason, stage.names.dead_letter_rejected("growth"), ago_seconds=90)
    other = {"offsets": {str(letter.partition): [[letter.offset + 1, letter.offset + 9]]}, "event_types": {}}
    stage.audit({"what": "purged", "from": "rejected", "why": "another", **other})
    assert state_of(stage.explain(EVENT)) == "parked"
    covering = {"offsets": {str(letter.partition): [[letter.offset, letter.offset + 1]]}, "event_types": {OPEN: 1}}
    stage.audit({"what": "purged", "from": "rejected", "who": "ana@laptop", "why": "test data", **covering})
    way = stage.explain(EVENT)["records"][0]["connectors"]["growth"]
    assert (way["state"], way["steps"][-1]["detail"]) == ("purged", "by ana@laptop: test data")


def test_only_the_time_that_is_asked_for_is_looked_through_and_that_is_said(stage: Stage) -> None:
    value = value_of()
    origin = stage.write(stage.source, value, ago_seconds=7_200)
    stage.write(stage.source, value_of(event_id=OTHER))
    nothing = stage.explain(EVENT, exit_code=3)
    assert nothing["records"] == []
    assert any("written before" in sentence for sentence in nothing["not_looked_at"])
    for arguments in (["--around", "2h"], ["--since", "3h"], ["--since", "3h", "--until", "1h"], ["--until", "90m"]):
        (record,) = stage.explain(EVENT, *arguments)["records"]
        assert record["origin"]["offset"] == origin.offset
    around = datetime.fromtimestamp(stage.now_ms / 1000 - 7_200, UTC).strftime("%Y-%m-%dT%H:%M")
    assert stage.explain(EVENT, "--around", around)["records"]
    stage.explain(EVENT, "--since", "3h", "--until", "150m", exit_code=3)
    stage.explain(EVENT, "--around", "4h", exit_code=3)


def test_what_became_of_an_old_event_is_looked_for_up_to_now(stage: Stage) -> None:
    value = value_of()
    origin = stage.write(stage.source, value, ago_seconds=7_200)
    stage.settled(stage.routed(origin, value, ago_seconds=10))
    assert state_of(stage.explain(EVENT, "--since", "3h", "--until", "1h")) == "delivered"


def test_with_the_user_only_the_partitions_of_that_key_are_read(stage: Stage) -> None:
    value = value_of()
    for number in range(40):
        user = f"somebody-{number}"
        stage.write(stage.source, value_of(event_id=OTHER, user=user), user=user)
    origin = stage.write(stage.source, value)
    stage.settled(stage.routed(origin, value))
    whole, part = stage.explain(EVENT), stage.explain(EVENT, "--user", USER)
    assert part["records"] == whole["records"]
    assert part["offsets"] < whole["offsets"]
    assert any("another partitioner" in sentence for sentence in part["not_looked_at"])
    assert USER not in json.dumps(part)


def test_records_that_retention_took_are_among_what_was_not_looked_at(stage: Stage) -> None:
    origin = stage.write(stage.source, value_of())
    stage.write(stage.source, value_of(event_id=OTHER))
    admin = AdminClient({"bootstrap.servers": stage.scene.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(origin.topic, origin.partition, origin.offset + 1)]).values():
        future.result(60)
    found = stage.explain(EVENT, exit_code=3)
    assert f"records of {stage.source} that are deleted (partitions {origin.partition})" in found["not_looked_at"]


def test_an_event_whose_schema_nobody_knows_is_told_as_not_decodable_and_parked_at_the_source(stage: Stage) -> None:
    schema = writer_schema({**OPEN_SCHEMA, "fields": [*OPEN_SCHEMA["fields"], {"name": "more", "type": "string"}]})
    value = encode_single_object(schema, {"id": EVENT, "time": 1_795_000_000, "external_user_id": USER, "more": "x"})
    origin = stage.write(stage.source, value)
    stage.commit(stage.scene.settings.groups.router, origin, origin.offset + 1)
    reason = Reason("unknown-schema", 0, "unknown schema fingerprint", "", "", 0, stage.now_ms)
    stage.parked(origin, value, reason, stage.names.dead_letter_source)
    (record,) = stage.explain(EVENT)["records"]
    assert (record["decoded"], record["router"]["state"]) == (False, "parked")
    assert record["connectors"]["source"]["state"] == "parked"
    assert "unknown-schema" in record["connectors"]["source"]["steps"][0]["detail"]
    assert "nothing here can read them" in stage.run(EVENT).stdout


def test_an_id_that_only_stands_in_another_field_is_another_event(stage: Stage) -> None:
    stage.write(stage.source, value_of(event_id=OTHER, user=f"about {EVENT}"))
    stage.explain(EVENT, exit_code=3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((EVENT, "--around", "yesterday"), "--around: yesterday is not a time"),
        ((EVENT, "--around", "1h", "--since", "2h"), "--around: sets both ends"),
        ((EVENT, "--since", "1h", "--until", "2h"), "--since: must be before until"),
        (("  ",), "EVENT_ID must be"),
        ((EVENT, "--user", ""), "--user must be"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(stage: Stage, arguments: tuple[str, ...], says: str) -> None:
    result = stage.run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert says in result.stderr


def test_real_processes_leave_what_is_told(kafka: Broker, mixpanel: MixpanelEmulator, tmp_path: Path) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, value_of(), USER.encode())
        line.write(OPEN, value_of(event_id=OTHER, user="null"), b"null")
        line.settle()
        assert state_of(explained(line.scene, EVENT), ANALYTICS) == "delivered"
        parked = explained(line.scene, OTHER)["records"][0]["connectors"][ANALYTICS]
        assert parked["state"] == "parked"
        assert parked["next_step"] == f"streams dlq replay {ANALYTICS} --event-id {OTHER}"
        assert [step["what"] for step in parked["steps"]] == ["routed", "parked"]


def test_a_replay_and_a_purge_by_real_keepers_are_told_with_who_ordered_them(
    kafka: Broker, mixpanel: MixpanelEmulator, tmp_path: Path
) -> None:
    def ordered(what: str, reason: str) -> None:
        selection = ["--event-id", OTHER, "--execute", "--reason", reason, "--config", str(line.scene.config)]
        command = [sys.executable, "-m", "streams", "dlq", what, ANALYTICS, *selection]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr

    def way() -> dict[str, Any]:
        (record,) = explained(line.scene, OTHER)["records"]
        return dict(record["connectors"][ANALYTICS])

    def steps() -> list[str]:
        return [step["what"] for step in way()["steps"]]

    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        line.write(OPEN, value_of(event_id=OTHER, user="null"), b"null")
        line.settle()
        ordered("replay", "try it once more")
        line.scene.wait_until(lambda: steps() == ["routed", "parked", "replayed", "parked"], "the replay to be refused")
        assert way()["state"] == "parked"
        assert way()["steps"][2]["detail"].endswith(": try it once more")
        ordered("purge", "a test event")
        assert (way()["state"], steps()[-1]) == ("purged", "purged")
        assert way()["steps"][-1]["detail"].endswith(": a test event")


def test_the_whole_way_of_letters_that_were_redriven_and_then_rejected_is_told(
    kafka: Broker, mixpanel: MixpanelEmulator, tmp_path: Path
) -> None:
    """By the destination, and by Kafka: a topic that takes smaller records now. The first letters' bytes are gone."""

    def steps(event_id: str) -> list[dict[str, Any]]:
        (record,) = explained(line.scene, event_id)["records"]
        return list(record["connectors"][ANALYTICS]["steps"])

    def parked(cause: str) -> int:
        return line.scene.account(ANALYTICS).parked.get(cause, 0)

    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        topics = line.scene.settings.topics
        mixpanel.revoke()
        line.write(OPEN, value_of(event_id=OTHER, user="null"), b"null")
        line.write(OPEN, value_of(user_agent=Random(1).randbytes(5_000).hex()), USER.encode())
        line.scene.wait_until(lambda: parked("credentials") == 2, "the letters of credentials")
        line.scene.administration.configure_topic(topics.connector(ANALYTICS), {"max.message.bytes": "3000"})
        mixpanel.restore()
        line.scene.wait_until(lambda: parked("rejected") == 2, "the letters to be rejected")
        letters = topics.dead_letter_credentials(ANALYTICS, "default")
        line.scene.wait_until(lambda: not line.scene.read(letters), "the first letters to be deleted")
        by_destination, by_kafka = steps(OTHER), steps(EVENT)
    assert [step["what"] for step in by_destination] == ["routed", "parked", "redriven", "parked"]
    assert by_destination[1]["detail"].startswith("credentials 401 ")
    assert by_destination[3]["detail"].startswith("rejected 400 ")
    assert [step["what"] for step in by_kafka] == ["routed", "moved"]
    assert by_kafka[1]["detail"].startswith("from credentials to rejected: Kafka does not take it back: ")
    assert by_kafka[1]["place"].startswith(topics.dead_letter_rejected(ANALYTICS))
