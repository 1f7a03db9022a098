"""Kafka behind SCRAM, with and without TLS: every kind of client that we make, and who is not let in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.kafka.scan import scan
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.adapters.schemas.sources import TopicSchemas
from streams.config import Settings, load
from streams.ports.kafka import Gap, Message, Partition, Position, Start
from streams.testing.brokers import ApacheKafka
from tests.security.authority import Authority, authority, needs_openssl
from tests.security.guarded import GuardedScene, User
from tests.waiting import wait_until

pytestmark = [pytest.mark.apache, needs_openssl]

PROTOCOLS = ["SASL_PLAINTEXT", "SASL_SSL"]
CONNECTOR = {"destination": "mixpanel", "project_token": "0" * 32}
PATIENCE_SECONDS = 120.0
GIVE_UP_SECONDS_MAX = 300.0
"""A minute of it is what a process waits for its Kafka."""


@pytest.fixture
def scene(guarded: ApacheKafka, certificates: Authority, tmp_path: Path) -> Iterator[GuardedScene]:
    scene = GuardedScene(guarded, certificates, tmp_path, {"growth": CONNECTOR})
    yield scene
    scene.end()


@pytest.fixture
def operator(scene: GuardedScene) -> User:
    """Somebody who may do all that any role may."""
    user = scene.guard.user("anybody")
    scene.guard.allow(user, [grant for grants in scene.access.values() for grant in grants])
    return user


class Quiet:
    """Listens to a consumer and says nothing."""

    def assigned(self, starts: Sequence[Start]) -> None: ...
    def revoked(self, partitions: Sequence[Partition]) -> None: ...
    def lost(self, partitions: Sequence[Partition]) -> None: ...
    def gap(self, gap: Gap) -> None: ...
    def made_again(self, starts: Sequence[Start]) -> None: ...


def written(settings: Settings, options: dict[str, Any], topic: str) -> None:
    """One record of a transaction."""
    name = settings.groups.keeper("growth")
    transactions = TransactionalProducer(options, name, name)
    transactions.start()
    transactions.begin()
    transactions.write(topic, b"value", b"key")
    transactions.commit([], None)
    transactions.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kind_of_client_gets_in(scene: GuardedScene, operator: User, protocol: str) -> None:
    settings = load(scene.config_of(operator, protocol))
    topics, group = settings.topics, settings.groups.sink("growth")
    options: dict[str, Any] = settings.kafka.client_config(f"{group}-test")
    for topic in (topics.connector("growth"), topics.state, topics.dead_letter_source):
        written(settings, options, topic)

    consumer = GroupConsumer(options, group, "classic", "member")
    consumer.subscribe([topics.connector("growth")], Quiet())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (records := consumer.poll(10, 0.5)):
        assert time.monotonic() < deadline, "the member read nothing"
    (record,) = records
    consumer.commit([Position(record.topic(), record.partition(), record.offset() + 1, "kept")])
    consumer.close()

    administration = Administration(options)
    commits = administration.commits(group, [topics.connector("growth")])
    assert [commit.metadata for commit in commits.values() if commit.metadata] == ["kept"]

    journal = StateJournal(options, topics.state, f"{group}-journal")
    assert [entry.key for entry in journal.read_to_end()] == ["key"]
    journal.close()
    assert read_to_end(settings.kafka.client_config("streams-x"), topics.state, "streams-x") == {b"key": b"value"}

    partitions = DeadLetterTopics(options).partitions(topics.dead_letter_source)
    reader = DeadLetterReader(options, f"{group}-letters")
    reader.open(dict.fromkeys(partitions, 0))
    ends: set[Partition] = set()
    letters: list[Message] = []
    while len(ends) < len(partitions):
        assert time.monotonic() < deadline + PATIENCE_SECONDS, "the letters were not read"
        page = reader.read(10, 0.5)
        letters += page.letters
        ends |= set(page.ends)
    reader.close()
    assert [letter.value() for letter in letters] == [b"value"]
    command = settings.kafka.client_config("streams-x")
    assert sum(len(stretch) for _, stretch in scan(command, dict.fromkeys(partitions, 0))) == 1

    schemas = TopicSchemas(options, topics.schemas, f"{group}-schemas")
    assert schemas.find(b"\xc3\x01" + bytes(8)) is None
    schemas.close()


def test_who_is_not_let_in_hears_why_within_the_start_and_never_the_password(
    scene: GuardedScene, operator: User, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = User(operator.name, "a-wrong-password-x7")
    other = authority(tmp_path_factory.mktemp("other"))
    waits = {
        "authentication": scene.started(scene.config_of(stranger), "router", name="wrong-password"),
        "certificate": scene.started(
            scene.config_of(operator, "SASL_SSL", **{"ssl.ca.location": str(other.certificate)}),
            "sink",
            "growth",
            name="unknown-authority",
        ),
    }
    wait_until(
        lambda: not any(process.is_running() for process in waits.values()), "both to give up", GIVE_UP_SECONDS_MAX
    )
    for word, process in waits.items():
        assert process.exit_code == 5
        log = process.log.read_text()
        (last,) = [line for line in log.splitlines() if line.startswith("streams: ")]
        assert last.startswith("streams: Kafka at 127.0.0.1")
        assert word in last.lower()
        assert stranger.password not in log
        assert operator.password not in log


@pytest.mark.parametrize(
    "command",
    [("topics", "plan"), ("dlq", "top", "growth"), ("connectors", "suspend", "growth", "--reason", "of tests")],
)
def test_a_command_with_a_wrong_password_ends_with_5_and_says_so(
    scene: GuardedScene, operator: User, command: tuple[str, ...]
) -> None:
    stranger = User(operator.name, "a-wrong-password-x7")
    result = scene.run(stranger, *command)
    assert result.returncode == 5
    (last,) = [line for line in result.stderr.splitlines() if line.startswith("streams: ")]
    assert "authentication" in last.lower()
    assert stranger.password not in result.stderr + result.stdout


def test_who_may_not_read_settings_of_currents_topics_gets_the_usual_size_and_hears_so(scene: GuardedScene) -> None:
    source, connector = f"{scene.source_prefix}opened", scene.settings.topics.connector("growth")
    scene.administration.create_topic(source, 1, 1, {"max.message.bytes": "5000000"})

    def planned(without: tuple[str, str] | None = None) -> tuple[str | None, list[str]]:
        """The size that the connector's topic is raised to, and the topics whose settings were not read."""
        result = scene.run(scene.as_role("topics", without=without), "topics", "plan", "-o", "json")
        assert result.returncode == 0, result.stderr
        plan = json.loads(result.stdout)
        sizes = {change["topic"]: change["settings"]["max.message.bytes"]["to"] for change in plan["changes"]}
        return sizes.get(connector), plan["unread"]

    assert planned() == ("5000000", [])
    assert planned(("DescribeConfigs", scene.source_prefix.removesuffix("."))) == (None, [source])
