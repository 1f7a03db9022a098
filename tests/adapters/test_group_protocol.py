"""A broker that does not speak the group protocol that the configuration asks for: said at once, never stood still."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.consumer import GroupConsumer
from streams.cli.errors import ExitCode
from streams.config import loads
from streams.operations.group_protocol import FIX, SETTING, group_protocol_problem
from streams.ports.errors import ClientFatal
from streams.testing.brokers import ApacheKafka, Broker
from streams.testing.kafka import NodeOptions, jars
from tests.adapters.test_kafka import Events
from tests.chaos.scene import WorkerProcess
from tests.cli.test_doctor_on_kafka import examined
from tests.protocols import needs_consumer_protocol
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]


@pytest.fixture(scope="module")
def classic_broker() -> Iterator[Broker]:
    """A broker that speaks the classic protocol only, as Kafka 3 does."""
    broker = ApacheKafka(jars(), options=NodeOptions(settings={SETTING: "classic"}))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def configuration(broker: Broker) -> str:
    return f"""
kafka:
  bootstrap_servers: "{broker.bootstrap_servers}"
  group_protocol: consumer
  topic_prefix: "p{uuid4().hex[:6]}."
connectors: {{growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}
"""


def poll_for_ever(consumer: GroupConsumer) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        consumer.poll(10, 0.1)


def test_a_process_ends_with_a_sentence_that_names_the_setting(classic_broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "streams.yaml").write_text(configuration(classic_broker))
    process = WorkerProcess(["router"], tmp_path / "streams.yaml", "one", tmp_path / "log")
    process.start()
    try:
        wait_until(lambda: process.exit_code is not None, "the process to end")
        assert process.exit_code == ExitCode.CLIENT_FATAL
        assert "kafka.group_protocol" in process.last_words()
        assert "Traceback" not in process.log.read_text()
    finally:
        process.end()


@needs_consumer_protocol
def test_a_member_that_the_broker_refuses_for_good_raises_instead_of_waiting_for_ever(classic_broker: Broker) -> None:
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": classic_broker.bootstrap_servers,
        "log_level": 0,
    }
    topic = f"t{uuid4().hex}"
    admin = AdminClient(options)
    make_topics(admin, NewTopic(topic, 1, 1))
    consumer = GroupConsumer(options, f"g{uuid4().hex}", "consumer", "one")
    consumer.subscribe([topic], Events())
    try:
        with pytest.raises(ClientFatal, match=r"kafka\.group_protocol"):
            poll_for_ever(consumer)
    finally:
        consumer.close()


@needs_consumer_protocol
def test_an_assignor_that_the_brokers_do_not_have_is_named_as_such(kafka: Broker) -> None:
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "log_level": 0,
        "group.remote.assignor": "nonsense",
    }
    topic = f"t{uuid4().hex}"
    claim(kafka.bootstrap_servers, topic)
    make_topics(AdminClient(options), NewTopic(topic, 1, 1))
    consumer = GroupConsumer(options, f"g{uuid4().hex}", "consumer", "one")
    consumer.subscribe([topic], Events())
    try:
        with pytest.raises(ClientFatal, match=r"group\.remote\.assignor of kafka\.options"):
            poll_for_ever(consumer)
    finally:
        consumer.close()


@needs_consumer_protocol
def test_a_broker_that_speaks_it_is_asked_and_nothing_is_wrong(kafka: Broker) -> None:
    settings = loads(configuration(kafka))
    assert group_protocol_problem(settings, Administration(settings.kafka.client_config("one"))) == ""


def test_doctor_names_the_setting_and_the_way_out(classic_broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "streams.yaml"
    config.write_text(configuration(classic_broker))
    code, findings = examined(config)
    assert code != ExitCode.DONE
    found = findings["group protocol"]
    assert (found["outcome"], found["fix"]) == ("problem", FIX)
    assert "kafka.group_protocol" in found["detail"]


def test_a_session_timeout_that_the_brokers_refuse_ends_the_member_with_the_name_of_the_setting(kafka: Broker) -> None:
    """The client itself would ask again every second for ever."""
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "log_level": 0,
        "session.timeout.ms": 200,
        "heartbeat.interval.ms": 50,
    }
    topic = f"t{uuid4().hex}"
    claim(kafka.bootstrap_servers, topic)
    make_topics(AdminClient(options), NewTopic(topic, 1, 1))
    consumer = GroupConsumer(options, f"g{uuid4().hex}", "classic", "one")
    consumer.subscribe([topic], Events())
    try:
        with pytest.raises(ClientFatal, match=r"session\.timeout\.ms of kafka\.options"):
            poll_for_ever(consumer)
    finally:
        consumer.close()


def test_nobody_is_asked_for_the_classic_protocol(classic_broker: Broker) -> None:
    settings = loads(configuration(classic_broker).replace("group_protocol: consumer", "group_protocol: classic"))
    assert group_protocol_problem(settings, Administration(settings.kafka.client_config("one"))) == ""
