"""Asking a keeper through the state topic, and reading how connectors stand, on a broker."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.state.requests import KeeperRequests
from streams.adapters.state.views import read_state_views
from streams.config import Settings, loads
from streams.ports.errors import KafkaRefusal, NoKeeperAnswers
from streams.ports.state import What
from streams.state.kinds import parse
from streams.state.records import Answer, ConnectorState, Record, Request, ScopeState, StateError, key
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka: Broker) -> Settings:
    text = f"""
kafka: {{bootstrap_servers: "{kafka.bootstrap_servers}", topic_prefix: "t{uuid.uuid4().hex[:8]}."}}
connectors:
  growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}
  other: {{destination: mixpanel, project_token: "{"1" * 32}"}}
"""
    settings = loads(text)
    claim(kafka.bootstrap_servers, settings.kafka.topic_prefix)
    return settings


def create_state_topic(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    make_topics(admin, NewTopic(settings.topics.state, 1, 1))


def write(settings: Settings, record_key: str, value: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    producer.produce(settings.topics.state, value, record_key)
    assert producer.flush(60) == 0


@contextmanager
def keeper(settings: Settings, reply: Callable[[Request], Answer]) -> Iterator[None]:
    """Answers each request as it comes, as a keeper would."""
    stop = threading.Event()

    def serve() -> None:
        reader = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": uuid.uuid4().hex})
        reader.assign([TopicPartition(settings.topics.state, 0, OFFSET_BEGINNING)])
        while not stop.is_set():
            message = reader.poll(0.1)
            if message is None or message.error() is not None or not isinstance(message.value(), bytes):
                continue
            record_key, value = message.key(), message.value()
            assert isinstance(record_key, bytes)
            assert isinstance(value, bytes)
            record = parse(record_key.decode(), value)
            if isinstance(record, Request):
                write(settings, record_key.decode().replace("request/", "answer/", 1), reply(record).to_bytes())
        reader.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ask(
    settings: Settings, connector: str, what: What, arguments: Mapping[str, Any], *, reason: str, wait_seconds: float
) -> Answer:
    keepers = KeeperRequests(settings)
    return keepers.ask(connector, what, arguments, who="user@host", reason=reason, wait_seconds=wait_seconds)


def test_the_keepers_answer_to_this_request_comes_back(settings: Settings) -> None:
    create_state_topic(settings)
    write(settings, key("answer", "growth", "another"), Answer(outcome="refused").to_bytes())

    def reply(request: Request) -> Answer:
        return Answer(outcome="done", detail=request.reason, content={"asked": request.arguments, "who": request.who})

    with keeper(settings, reply):
        arguments = {"scope": "default", "by_ms": 5}
        answer = ask(settings, "growth", "extend", arguments, reason="holidays", wait_seconds=PATIENCE_SECONDS)
    assert (answer.outcome, answer.detail) == ("done", "holidays")
    assert answer.content["asked"] == {"scope": "default", "by_ms": 5}
    assert answer.content["who"] == "user@host"


def test_a_request_that_nobody_answers_is_withdrawn(settings: Settings) -> None:
    create_state_topic(settings)
    with pytest.raises(NoKeeperAnswers, match="is a sink of growth running"):
        ask(settings, "growth", "suspend", {}, reason="test", wait_seconds=0.2)
    left = read_to_end({"bootstrap.servers": settings.kafka.bootstrap_servers}, settings.topics.state, "test")
    assert left == {}


def test_the_sources_keeper_is_a_router(settings: Settings) -> None:
    create_state_topic(settings)
    with pytest.raises(NoKeeperAnswers, match="is a router running"):
        ask(settings, "source", "replay", {}, reason="test", wait_seconds=0.2)


def test_without_a_state_topic_the_fix_is_named(settings: Settings) -> None:
    with pytest.raises(KafkaRefusal, match="streams topics apply"):
        ask(settings, "growth", "suspend", {}, reason="test", wait_seconds=0.2)


def test_state_views_are_told_apart_by_connector_and_none_is_missing(settings: Settings) -> None:
    create_state_topic(settings)
    records: dict[str, Record] = {
        key("connector", "growth"): ConnectorState(state="SUSPENDED", reason="too many rejected"),
        key("scope", "other", "default"): ScopeState(state="INVALID", since=7),
        key("scope", "gone", "default"): ScopeState(state="INVALID", since=8),
    }
    for record_key, record in records.items():
        write(settings, record_key, record.to_bytes())
    write(settings, "ingest/of-a-file", b'{"v": 1}')
    views = read_state_views(settings)
    assert set(views) == {"growth", "other", "source"}
    assert views["growth"].state.reason == "too many rejected"
    assert views["growth"].scope("default").state == "VALID"
    assert views["other"].scope("default").since == 7


def test_before_the_state_topic_is_made_nothing_was_said(settings: Settings) -> None:
    assert read_state_views(settings)["growth"].state.state == "RUNNING"


def test_a_record_of_a_newer_version_is_an_error_that_names_its_key(settings: Settings) -> None:
    create_state_topic(settings)
    write(settings, key("connector", "growth"), b'{"v": 2}')
    with pytest.raises(StateError, match="connector/growth"):
        read_state_views(settings)
