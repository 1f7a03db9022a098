"""A broker that restarts: a process that was in a transaction goes on by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.config.kafka import ClientConfig
from streams.ports.errors import KafkaUnreachable, TransactionAborted
from streams.ports.kafka import Gap, Partition, Position, Start
from streams.testing.brokers import Broker
from tests.chaos.scene import read_to_end

PATIENCE_SECONDS = 120.0


class Listener:
    def __init__(self) -> None:
        self.has_partition = False

    def assigned(self, starts: Sequence[Start]) -> None:
        self.has_partition = True

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.has_partition = False

    def made_again(self, starts: Sequence[Start]) -> None:
        raise AssertionError(f"nobody made a topic again: {starts}")

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.has_partition = False

    def gap(self, gap: Gap) -> None:
        raise AssertionError("nothing was deleted")


@pytest.mark.chaos
@pytest.mark.apache
def test_a_transaction_within_which_the_broker_restarts_is_done_again(own_broker: Broker) -> None:
    options: ClientConfig = {"bootstrap.servers": own_broker.bootstrap_servers, "log_level": 0}
    administration = Administration(options)
    for topic in ("in", "out"):
        administration.create_topic(topic, 1, 1, {})
    producer = Producer({**options, "partitioner": "murmur2_random"})
    for number in range(10):
        producer.produce("in", b"%d" % number)
    assert producer.flush(60) == 0
    consumer, listener = GroupConsumer(options, "group", "classic", "test"), Listener()
    consumer.subscribe(["in"], listener)
    transactions = TransactionalProducer(options, "transactions", "test")
    transactions.start()

    def write(value: bytes, offset: int) -> None:
        """As workers do: what is aborted is done again, once the partition is ours."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert time.monotonic() < deadline, "the transaction was not committed"
            consumer.poll(1, 0.1)
            if not listener.has_partition:
                continue
            try:
                transactions.begin()
                transactions.write("out", value, b"key")
                if offset == 2:
                    consumer.poll(1, 0.1)
                    own_broker.restart()
                    deadline = time.monotonic() + PATIENCE_SECONDS  # a busy machine needs a minute for a restart
                transactions.commit([Position("in", 0, offset, "")], consumer)
            except TransactionAborted:
                offset = 3
            else:
                return

    write(b"before", 1)
    write(b"within", 2)
    write(b"after", 4)
    assert [record.value for record in read_to_end(own_broker.bootstrap_servers, "out")] == [
        b"before",
        b"within",
        b"after",
    ]
    transactions.close()
    consumer.close()


@pytest.mark.chaos
@pytest.mark.apache
def test_the_state_is_read_to_its_end_though_the_broker_restarts_meanwhile(own_broker: Broker) -> None:
    """Sinks ask before each read while a scope is INVALID: an outage of seconds must not end them."""
    options: ClientConfig = {"bootstrap.servers": own_broker.bootstrap_servers, "log_level": 0}
    Administration(options).create_topic("state", 1, 1, {})
    producer = Producer(options)
    journal = StateJournal(options, "state", "test")
    stop, failures = Event(), list[Exception]()

    def read_on() -> None:
        while not stop.is_set() and not failures:
            try:
                journal.read_to_end()
            except KafkaUnreachable as failure:
                failures.append(failure)

    reading = Thread(target=read_on)
    reading.start()
    own_broker.restart()  # from this thread: a broker ends with the thread that started it
    stop.set()
    reading.join()
    assert failures == []
    producer.produce("state", b"value", b"key")
    assert producer.flush(60) == 0
    assert [record.key for record in journal.read_to_end()] == ["key"]
    journal.close()
