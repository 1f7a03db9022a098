"""`streams topics` and `streams connectors` against a broker."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from streams.state.moments import iso
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka

COMMAND_SECONDS_MAX = 240
"""Some of it is what a command waits for Kafka, or for a keeper."""


class Installation:
    """A configuration with topic names of this test's own."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        claim(bootstrap_servers, self.prefix, f"in-{self.prefix}")
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        self.config = folder / "streams.yaml"
        self.config.write_text(
            f"""
kafka: {{bootstrap_servers: "{bootstrap_servers}", topic_prefix: {self.prefix}, topics: {{partitions: 2}}}}
source: {{topics: ["^in-{self.prefix}.+"]}}
connectors:
  growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}
"""
        )

    def streams(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streams", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)

    def json(self, *arguments: str) -> dict[str, Any]:
        result = self.streams(*arguments, "--output", "json")
        assert result.returncode == 0, result.stderr
        content = json.loads(result.stdout)
        assert content["v"] == 1
        return dict(content)

    def settings_of(self, topic: str) -> dict[str, str]:
        """The topic's settings; a topic that was just created is known to its broker a moment later."""
        resource, found = ConfigResource(ResourceType.TOPIC, topic), dict[str, str]()

        def is_known() -> bool:
            (future,) = self.admin.describe_configs([resource]).values()
            try:
                found.update({name: entry.value for name, entry in future.result(60).items()})
            except KafkaException as exception:
                if exception.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
            return bool(found)

        wait_until(is_known, f"the settings of {topic}")
        return found

    def set(self, topic: str, name: str, value: str) -> None:
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(60)
        self.await_setting(topic, name, value)

    def await_setting(self, topic: str, name: str, value: str) -> None:
        """A controller takes a setting, and the broker that is asked knows it a moment later."""
        wait_until(lambda: self.settings_of(topic)[name] == value, f"{name} of {topic} to be {value}")

    def create(self, topic: str) -> None:
        make_topics(self.admin, NewTopic(topic, 1, 1))

    def write(self, topic: str, count: int) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        for number in range(count):
            producer.produce(topic, str(number), partition=0)
        producer.flush(60)

    def keep(self, key: str, record: dict[str, Any]) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        producer.produce(f"{self.prefix}state", json.dumps(record), key)
        producer.flush(60)

    def commit(self, group: str, topic: str, offset: int, account: dict[str, Any]) -> None:
        consumer = Consumer({"bootstrap.servers": self.bootstrap_servers, "group.id": group})
        try:
            position = TopicPartition(topic, 0, offset, json.dumps({"v": 1, **account}))
            consumer.commit(offsets=[position], asynchronous=False)
        finally:
            consumer.close()


@pytest.fixture
def installation(kafka: Broker, tmp_path: Path) -> Installation:
    return Installation(kafka.bootstrap_servers, tmp_path)


def test_a_plan_changes_nothing_and_apply_does_what_it_says_once(installation: Installation) -> None:
    planned = installation.json("topics", "plan")
    assert planned == installation.json("topics", "plan")
    applied = installation.json("topics", "apply")
    assert applied == planned
    assert {change["action"] for change in applied["changes"]} == {"create"}
    assert f"{installation.prefix}connector.growth" in {change["topic"] for change in applied["changes"]}
    again = installation.streams("topics", "apply")
    assert (again.returncode, again.stdout) == (0, "")
    assert "nothing to do" in again.stderr


def test_created_topics_are_set_as_the_contract_says(installation: Installation) -> None:
    installation.json("topics", "apply")
    connector = installation.settings_of(f"{installation.prefix}connector.growth")
    assert connector["retention.ms"] == str(14 * 86_400_000)
    assert connector["max.message.bytes"] == "2000000"
    letters = installation.settings_of(f"{installation.prefix}dead-letter.growth.rejected")
    assert (letters["cleanup.policy"], letters["retention.ms"]) == ("delete", "-1")
    assert installation.settings_of(f"{installation.prefix}state")["cleanup.policy"] == "compact"


def test_a_setting_that_would_lose_records_is_put_right(installation: Installation) -> None:
    installation.json("topics", "apply")
    topic = f"{installation.prefix}dead-letter.growth.rejected"
    installation.set(topic, "retention.ms", "1000")
    (change,) = installation.json("topics", "apply")["changes"]
    assert change == {
        "topic": topic,
        "action": "configure",
        "settings": {"retention.ms": {"from": "1000", "to": "-1"}},
    }
    installation.await_setting(topic, "retention.ms", "-1")


def test_topics_that_records_go_onto_are_raised_to_what_the_currents_topics_take(installation: Installation) -> None:
    prefix, small, large = installation.prefix, "1000000", "6000000"
    installation.json("topics", "apply")
    for name, size in (("clicks", small), ("opens", large)):
        installation.create(f"in-{prefix}{name}")
        installation.set(f"in-{prefix}{name}", "max.message.bytes", size)
    installation.set(f"{prefix}dead-letter.source", "max.message.bytes", "9000000")

    planned = installation.json("topics", "plan")
    raised = {change["topic"]: change["settings"] for change in planned["changes"]}
    wanted = {"max.message.bytes": {"from": "2000000", "to": large}}
    assert raised == dict.fromkeys(
        (
            f"{prefix}connector.growth",
            f"{prefix}dead-letter.growth.rejected",
            f"{prefix}dead-letter.growth.credentials.default",
        ),
        wanted,
    )
    assert planned["unread"] == []
    assert installation.json("topics", "apply") == planned
    for topic in raised:
        installation.await_setting(topic, "max.message.bytes", large)
    assert installation.settings_of(f"{prefix}dead-letter.source")["max.message.bytes"] == "9000000"
    assert installation.json("topics", "plan")["changes"] == []


def test_a_topic_of_a_connector_that_left_is_told_and_left_alone(installation: Installation) -> None:
    installation.create(f"{installation.prefix}connector.old")
    assert installation.json("topics", "apply")["orphaned"] == [f"{installation.prefix}connector.old"]
    assert installation.json("topics", "plan")["orphaned"] == [f"{installation.prefix}connector.old"]


def test_a_connector_that_never_ran_has_an_empty_account(installation: Installation) -> None:
    shown = installation.json("connectors", "show", "growth")
    assert (shown["connector"], shown["state"], shown["members"]) == ("growth", "RUNNING", 0)
    assert shown["scopes"]["default"]["state"] == "VALID"
    assert shown["account"]["routed"] == shown["account"]["waiting"] == 0


def test_the_people_who_own_a_connector_are_shown(installation: Installation) -> None:
    installation.json("topics", "apply")
    assert installation.json("connectors", "show", "growth")["contact"] is None
    text = installation.config.read_text()
    installation.config.write_text(text.replace("destination: mixpanel", "destination: mixpanel, contact: a@b.example"))
    assert installation.json("connectors", "show", "growth")["contact"] == "a@b.example"
    rows = installation.streams("connectors", "show", "growth").stdout.splitlines()
    assert [row.split() for row in rows if row.startswith("contact")] == [["contact", "a@b.example"]]


def test_an_account_is_the_sum_of_what_router_and_sink_committed(installation: Installation) -> None:
    installation.json("topics", "apply")
    topic = f"{installation.prefix}connector.growth"
    began = time.time()
    installation.write(topic, 10)
    installation.commit(
        f"{installation.prefix}sink.growth",
        topic,
        7,
        {"delivered": 4, "skipped": {"no_credentials_for_feed": 1}, "parked": {"rejected": 2}, "lost": 0},
    )
    source = f"in-{installation.prefix}source"
    installation.create(source)
    installation.commit(
        f"{installation.prefix}router",
        source,
        20,
        {"routed": {"growth": 10, "other": 5}, "skipped": {"no_mapping": 5}, "undecodable": 0, "lost": 0},
    )
    shown = installation.json("connectors", "show", "growth")
    assert shown["account"] == {
        "routed": 10,
        "imported": 0,
        "again": 0,
        "delivered": 4,
        "skipped": {"no_credentials_for_feed": 1},
        "parked": {"credentials": 0, "rejected": 2, "gave-up": 0},
        "purged": 0,
        "expired": 0,
        "lost": 0,
        "waiting": 3,
    }
    assert shown["lag"]["offsets"] == 3
    assert 0 <= shown["lag"]["seconds"] <= time.time() - began + 1
    (listed,) = installation.json("connectors", "list")["connectors"]
    assert listed["account"] == shown["account"]
    for command in (("connectors", "list"), ("connectors", "show", "growth")):
        assert "RUNNING (no sink runs)" in installation.streams(*command).stdout


def test_states_and_deadlines_are_what_the_keeper_wrote(installation: Installation) -> None:
    installation.json("topics", "apply")
    since = (time.time_ns() // 60_000_000_000 - 60) * 60_000  # an hour ago
    evidence = {"status": 401, "detail": "unauthorized", "at": since}
    scope = {"v": 1, "epoch": 3, "state": "INVALID", "since": since, "evidence": evidence, "extended_ms": 3_600_000}
    installation.keep("scope/growth/default", scope)
    shown = installation.json("connectors", "show", "growth")
    assert shown["state"] == "RUNNING"
    assert shown["scopes"]["default"]["state"] == "INVALID"
    assert shown["scopes"]["default"]["since"] == iso(since)
    assert shown["scopes"]["default"]["deadline"] == iso(since + 49 * 3_600_000)
    assert shown["scopes"]["default"]["evidence"] == "401 unauthorized"
    state = {"v": 1, "epoch": 3, "state": "SUSPENDED", "by": "configuration", "reason": "status 404", "since": since}
    installation.keep("connector/growth", state)
    shown = installation.json("connectors", "show", "growth")
    assert (shown["state"], shown["suspended"]["reason"]) == ("SUSPENDED", "status 404")


def test_after_a_purge_no_deadline_that_is_over_is_told(installation: Installation) -> None:
    installation.json("topics", "apply")
    since = 1_767_225_600_000
    installation.keep("scope/growth/default", {"v": 1, "epoch": 3, "state": "INVALID", "since": since})
    assert installation.json("connectors", "show", "growth")["scopes"]["default"]["deadline"] is None
    letters = f"{installation.prefix}dead-letter.growth.credentials.default"
    installation.write(letters, 3)
    installation.keep("cursor/growth/credentials.default/0", {"v": 1, "epoch": 3, "offset": 2})
    deadline = installation.json("connectors", "show", "growth")["scopes"]["default"]["deadline"]
    assert deadline > iso(time.time_ns() // 1_000_000)


def test_a_flood_is_looked_at_before_it_is_resumed(installation: Installation) -> None:
    installation.json("topics", "apply")
    installation.keep("connector/growth", {"v": 1, "epoch": 3, "state": "SUSPENDED", "by": "flood", "since": 5})
    group = f"{installation.prefix}sink.growth"
    member = Consumer({"bootstrap.servers": installation.bootstrap_servers, "group.id": group})
    member.subscribe([f"{installation.prefix}connector.growth"])
    try:
        while not member.assignment():
            member.poll(0.2)
        assert installation.json("connectors", "show", "growth")["next"] == "streams dlq top growth"
    finally:
        member.close()


def test_counts_that_a_deleted_topic_took_along_never_leave_less_than_nothing_waiting(
    installation: Installation,
) -> None:
    installation.json("topics", "apply")
    topic = f"{installation.prefix}connector.growth"
    installation.write(topic, 4)
    installation.commit(f"{installation.prefix}sink.growth", topic, 4, {"delivered": 4})
    shown = installation.json("connectors", "show", "growth")
    assert (shown["account"]["routed"], shown["account"]["waiting"]) == (0, 0)


def test_topics_are_made_and_connectors_are_listed_where_no_secret_of_a_destination_is(
    installation: Installation,
) -> None:
    text = installation.config.read_text()
    installation.config.write_text(text.replace("0" * 32, "${STREAMS_TEST_IS_NOT_SET}"))
    assert installation.json("topics", "apply")["changes"]
    assert installation.json("topics", "plan")["changes"] == []
    assert [one["connector"] for one in installation.json("connectors", "list")["connectors"]] == ["growth"]


def test_a_router_is_not_needed_where_only_brazes_connectors_are(installation: Installation, tmp_path: Path) -> None:
    back: dict[str, Any] = {
        "destination": "braze",
        "instance": "US-01",
        "rest_key": "0" * 32,
        "scratch": str(tmp_path / "scratch"),
    }
    back["receive"] = {"data": {"kind": "mparticle_events", "keys": ["sixteen-characters"]}}
    text = installation.config.read_text()
    growth = text.splitlines()[-1]
    installation.config.write_text(text.replace(growth, f"  back: {json.dumps(back)}"))
    installation.json("topics", "apply")
    listed = installation.json("connectors", "list")
    assert (listed["router"]["state"], listed["router"]["next"]) == ("NOT_NEEDED", None)
    assert "NOT_NEEDED" in installation.streams("connectors", "list").stdout.splitlines()[1]
    installation.config.write_text(f"{text}  back: {json.dumps(back)}\n")
    installation.json("topics", "apply")
    router = installation.json("connectors", "list")["router"]
    assert (router["state"], router["next"]) == ("STOPPED", "streams run router")


def test_apply_says_what_it_did(installation: Installation) -> None:
    said = installation.streams("topics", "apply").stderr
    assert f"created {installation.prefix}connector.growth" in said
    assert "topics created, 0 configured" in said


def test_orders_without_a_keeper_say_that_none_runs(installation: Installation) -> None:
    installation.json("topics", "apply")
    result = installation.streams("connectors", "suspend", "growth", "--reason", "maintenance")
    assert (result.returncode, result.stdout) == (5, "")
    assert "is a sink of growth running?" in result.stderr


def test_a_commit_that_this_program_did_not_write_is_told(installation: Installation) -> None:
    installation.json("topics", "apply")
    topic = f"{installation.prefix}connector.growth"
    installation.commit(f"{installation.prefix}sink.growth", topic, 0, {"v": 9})
    result = installation.streams("connectors", "show", "growth")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{installation.prefix}sink.growth" in result.stderr
