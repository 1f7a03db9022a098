"""Clients of Kafka that hang, or never find a partition again: librdkafka's do now and then after a broker restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from structlog.testing import capture_logs

from streams.adapters.kafka import clients, group_offsets, journal, member_commits
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.config.kafka import ClientConfig
from streams.ports.errors import ClientFatal, KafkaUnreachable
from streams.ports.kafka import Gap, Position, Start
from streams.testing.brokers import Broker
from tests.adapters.owned import Owned
from tests.topics import claim
from tests.waiting import wait_until

pytestmark = pytest.mark.kafka


class Listener(Owned):
    def made_again(self, starts: Sequence[Start]) -> None:
        raise AssertionError(starts)

    def gap(self, gap: Gap) -> None:
        raise AssertionError(gap)


@pytest.fixture
def topic(kafka: Broker) -> str:
    name = f"hanging-{uuid4().hex[:8]}"
    claim(kafka.bootstrap_servers, name)
    Administration(options(kafka)).create_topic(name, 1, 1, {})
    return name


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Ends what hangs, when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def options(kafka: Broker) -> ClientConfig:
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}


def test_a_commit_that_never_returns_while_kafka_answers_ends_the_process_that_waits_for_it(
    kafka: Broker, topic: str, released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Consumer):
        def commit(self, *arguments: Any, **keywords: Any) -> Any:
            released.wait()

        def close(self) -> None:
            released.wait()

    monkeypatch.setattr(clients, "consumer", Hanging)
    monkeypatch.setattr(member_commits, "COMMIT_SECONDS_MAX", 0.05)
    member, listener = GroupConsumer(options(kafka), f"group-{topic}", "classic", "test"), Listener()
    member.subscribe([topic], listener)

    def has_partition() -> bool:
        member.poll(1, 0.1)
        return bool(listener.partitions)

    wait_until(has_partition, "the partition")
    with pytest.raises(ClientFatal, match="hangs in a commit"):
        member.commit([Position(topic, 0, 1, "")])
    member.close()


def test_a_reader_that_does_not_find_its_partition_again_is_replaced_and_no_record_comes_twice(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_lost, made = threading.Event(), list[Consumer]()

    class Losing(Consumer):
        def get_watermark_offsets(self, *arguments: Any, **keywords: Any) -> Any:
            if is_lost.is_set() and self is made[0]:
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
            return super().get_watermark_offsets(*arguments, **keywords)

    def new_consumer(settings: Any) -> Consumer:
        made.append(Losing(settings))
        return made[-1]

    monkeypatch.setattr(clients, "consumer", new_consumer)
    monkeypatch.setattr(journal, "RENEW_SECONDS", 0.0)
    producer = Producer({**options(kafka)})
    reader = StateJournal(options(kafka), topic, "test")

    def write(*keys: str) -> None:
        for key in keys:
            producer.produce(topic, b"value", key)
        assert producer.flush(60) == 0

    write("1", "2")
    assert [record.key for record in reader.read_to_end()] == ["1", "2"]
    is_lost.set()
    write("3")
    assert [record.key for record in reader.read_to_end()] == ["3"]
    write("4")
    assert [record.key for record in reader.read_to_end()] == ["4"]
    assert len(made) == 2
    reader.close()


class Complaint:
    """What the client gives a reader in the place of a record, when something fails that it will try again."""

    def topic(self) -> str:
        return "the topic"

    def partition(self) -> int:
        return 0

    def error(self) -> KafkaError:
        return KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "Broker: Leader not available")


def test_an_error_that_a_reader_passes_over_is_logged_once_in_a_while(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Complaining(Consumer):
        def consume(self, *arguments: Any, **keywords: Any) -> Any:
            return [Complaint(), *super().consume(*arguments, **keywords)]

    monkeypatch.setattr(clients, "consumer", Complaining)
    reader = StateJournal(options(kafka), topic, "test")
    with capture_logs() as said:
        reader.read_to_end()
        for _ in range(5):
            reader.poll()
    reader.close()
    told = [line for line in said if line["event"] == "the Kafka client reports an error"]
    assert [(line["topic"], line["error"]) for line in told] == [(topic, "Broker: Leader not available")]


class NeverTold(Consumer):
    """Its question for committed offsets is never answered, as one of librdkafka's was while others' were."""

    def committed(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


@pytest.mark.parametrize("untold", [1, 2])
def test_a_member_that_kafka_does_not_answer_while_it_answers_others_joins_once_more_with_a_new_client(
    kafka: Broker, topic: str, untold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Consumer] = []

    def consumer(settings: Any) -> Consumer:
        made.append(NeverTold(settings) if len(made) < untold else Consumer(settings))
        return made[-1]

    monkeypatch.setattr(clients, "consumer", consumer)
    monkeypatch.setattr(group_offsets, "CONTACT_SECONDS_MAX", 0.1)
    member, listener = GroupConsumer(options(kafka), f"group-{topic}", "classic", "test"), Listener()
    member.subscribe([topic], listener)
    try:
        if untold > 1:
            with pytest.raises(KafkaUnreachable):
                wait_until(lambda: bool(listener.partitions) or bool(member.poll(1, 0.1)), "an assignment")
        else:
            wait_until(lambda: bool(listener.partitions) or bool(member.poll(1, 0.1)), "an assignment")
            member.commit([Position(topic, 0, 0, "")])
    finally:
        member.close()
    assert len(made) == 2
