"""A transaction that another writer left open hides what was committed behind it. It is waited for where that counts.

A process that takes over from one that was killed goes on where that one committed last. A reader of what is committed
stops before the first open transaction of any writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka import clients
from streams.adapters.kafka.compacted import read_to_end, read_whole
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.config.kafka import ClientConfig
from streams.testing.brokers import Broker
from tests.topics import claim, make_topics
from tests.waiting import PATIENCE_SECONDS, wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

Result = TypeVar("Result")
PREFIX = "open-"
IN_VAIN = 5
"""After so many looks for nothing a reader waits."""


class Scene:
    """A topic of one partition, a writer with an open transaction, and another one that commits behind it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.options: ClientConfig = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self.prefix = f"{PREFIX}{uuid4().hex[:8]}."
        self.topic = f"{self.prefix}inlets"
        claim(bootstrap_servers, self.prefix)
        make_topics(AdminClient(self.options), NewTopic(self.topic, 1, 1, config={"cleanup.policy": "compact"}))
        self._other = Producer({**self.options, "transactional.id": f"{self.prefix}other"})
        self._other.init_transactions(PATIENCE_SECONDS)

    def commit(self, key: str, value: bytes) -> None:
        """As a process does that is killed afterwards."""
        transactions = TransactionalProducer(self.options, f"{self.prefix}own", "own")
        transactions.start()
        transactions.begin()
        transactions.write(self.topic, value, key.encode())
        transactions.commit((), None)
        transactions.close()

    def open(self) -> None:
        self._other.begin_transaction()
        self._other.produce(self.topic, b"of another", b"other")
        assert self._other.flush(PATIENCE_SECONDS) == 0

    def end(self) -> None:
        self._other.abort_transaction(PATIENCE_SECONDS)

    def ending_late(self, act: Callable[[], Result]) -> Result:
        """What the act gives, if the open transaction ends when the act has ended, or reads nothing any more."""
        Asking.in_vain = 0
        with ThreadPoolExecutor(1) as threads:
            result = threads.submit(act)
            wait_until(lambda: result.done() or Asking.in_vain >= IN_VAIN, "the act to end, or to wait")
            self.end()
            return result.result(PATIENCE_SECONDS)


class Asking(Consumer):
    """Counts how often in a row there was nothing to read."""

    in_vain = 0

    def consume(self, *arguments: Any, **keywords: Any) -> Any:
        found = super().consume(*arguments, **keywords)
        Asking.in_vain = 0 if found else Asking.in_vain + 1
        return found


@pytest.fixture
def scene(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(clients, "consumer", Asking)
    monkeypatch.setattr(Asking, "in_vain", 0)
    return Scene(kafka.bootstrap_servers)


@pytest.fixture
def journal(scene: Scene) -> Iterator[StateJournal]:
    journal = StateJournal(scene.options, scene.topic, "test")
    yield journal
    journal.close()


def test_a_journal_that_may_miss_nothing_waits_for_it(scene: Scene, journal: StateJournal) -> None:
    scene.commit("first", b"1")
    scene.open()
    scene.commit("second", b"2")
    assert [record.key for record in journal.read_to_end()] in ([], ["first"])
    found = scene.ending_late(journal.read_whole)
    assert "second" in [record.key for record in found]
    assert journal.read_whole() == []


def test_the_latest_values_are_those_behind_it_too_where_none_may_be_missed(scene: Scene) -> None:
    scene.commit("row", b"1")
    scene.open()
    scene.commit("row", b"2")
    assert read_to_end(scene.options, scene.topic, "test") in ({}, {b"row": b"1"})
    found = scene.ending_late(lambda: read_whole(scene.options, scene.topic, "test"))
    assert found == {b"row": b"2"}
