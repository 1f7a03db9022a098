"""Transactions and the journal that reads what they wrote: on Kafka, and on the fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.ports.errors import Fenced, RecordRefused, TransactionAborted
from streams.ports.kafka import Transactions
from streams.ports.state import Journal
from streams.testing.ports import FakeJournal, FakeKafka, FakeTransactions
from tests.topics import claim, make_topics
from tests.waiting import wait_until

LIMIT_BYTES = 20_000_000


@dataclass(slots=True)
class Scene:
    """One topic, writers that take a transactional id, and a reader of what was committed."""

    topic: str
    open: Callable[[str], Transactions]
    journal: Journal
    opened: list[Transactions] = field(default_factory=list)

    def writer(self, name: str = "writer") -> Transactions:
        """A writer of this name: it fences the one that had the name before."""
        transactions = self.open(name)
        self.opened.append(transactions)
        return transactions

    def committed(self) -> list[tuple[str, bytes | None]]:
        """What can be read that was not read before. A broker shows a transaction a moment after it took the commit."""
        found: list[tuple[str, bytes | None]] = []

        def read() -> bool:
            found.extend((record.key, record.value) for record in self.journal.read_to_end())
            return bool(found)

        wait_until(read, "what was committed")
        return found


def on_kafka(request: pytest.FixtureRequest) -> Iterator[Scene]:
    broker = request.getfixturevalue("kafka")
    topic = f"contract-{uuid4().hex[:8]}"
    claim(broker.bootstrap_servers, topic)
    options = {"bootstrap.servers": broker.bootstrap_servers}
    administration = AdminClient(options)
    make_topics(administration, NewTopic(topic, 1, 1))

    def started(name: str) -> Transactions:
        transactions = TransactionalProducer(options, f"{topic}-{name}", f"{topic}-{name}")
        transactions.start()
        return transactions

    scene = Scene(topic, started, StateJournal(options, topic, f"{topic}-reader"))
    yield scene
    for transactions in scene.opened:
        transactions.close()
    scene.journal.close()


def on_fakes() -> Iterator[Scene]:
    kafka = FakeKafka()
    yield Scene("state", lambda name: FakeTransactions(kafka, name), FakeJournal(kafka, "state"))


@pytest.fixture(params=["fakes", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.apache])])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    yield from on_fakes() if request.param == "fakes" else on_kafka(request)


def test_what_is_committed_is_read_once_and_in_order(scene: Scene) -> None:
    writer = scene.writer()
    writer.begin()
    writer.write(scene.topic, b"1", b"a")
    writer.write(scene.topic, None, b"b")
    writer.commit((), None)
    assert scene.committed() == [("a", b"1"), ("b", None)]
    assert scene.journal.read_to_end() == []


def test_what_is_aborted_leaves_nothing(scene: Scene) -> None:
    writer = scene.writer()
    writer.begin()
    writer.write(scene.topic, b"1", b"a")
    writer.abort()
    writer.begin()
    writer.write(scene.topic, b"2", b"a")
    writer.commit((), None)
    assert scene.committed() == [("a", b"2")]


def test_whoever_takes_the_name_fences_the_one_before(scene: Scene) -> None:
    before = scene.writer()
    before.begin()
    before.write(scene.topic, b"old", b"a")
    after = scene.writer()
    with pytest.raises(Fenced):
        before.commit((), None)
    after.begin()
    after.write(scene.topic, b"new", b"a")
    after.commit((), None)
    assert scene.committed() == [("a", b"new")]


def test_a_record_that_cannot_be_written_is_refused_and_the_others_can_be_committed(scene: Scene) -> None:
    writer = scene.writer()
    writer.begin()
    with pytest.raises(RecordRefused):
        writer.write(scene.topic, bytes(LIMIT_BYTES), b"a")
    try:
        writer.write(scene.topic, b"small", b"b")
        writer.commit((), None)
    except TransactionAborted:  # a refusal may cost the transaction, but not the next one
        writer.begin()
        writer.write(scene.topic, b"small", b"b")
        writer.commit((), None)
    assert scene.committed() == [("b", b"small")]
