"""What a sink remembers of a partition: on Kafka with a scratch folder, and on the fake."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import KafkaMemories
from streams.delivery.composer import Staged
from streams.delivery.sent_rows import Seen
from streams.ports.memory import Memories, PartitionMemory, Row
from streams.testing.brokers import Broker
from streams.testing.clock import MovableClock
from streams.testing.memories import FakeMemories
from streams.testing.ports import FakeKafka, FakeTransactions
from streams.wayback.memory import Standing, UserMemory
from tests.topics import claim, make_topics

PATIENCE_SECONDS = 120.0
NOW_S = 1_790_000_000
DAY = 86_400


def user(name: str, **groups: bool) -> Row:
    standings = {f"cohorts/{each}": Standing(is_in, each, 1, 1, NOW_S) for each, is_in in groups.items()}
    return b"user/" + name.encode(), UserMemory(groups=standings).to_bytes()


class Scene(ABC):
    """A topic of rows with two partitions."""

    def __init__(self) -> None:
        self.clock = MovableClock(epoch_ms=NOW_S * 1_000)
        self.at_the_end = ExitStack()

    def open(self, partition: int = 0) -> PartitionMemory:
        """As a process that starts now does. It is closed after the test."""
        memory = self.memories().open(partition, nothing)
        self.at_the_end.callback(memory.close)
        return memory

    @abstractmethod
    def memories(self) -> Memories:
        """As one process has them."""

    @abstractmethod
    def commit(self, rows: Sequence[Row], partition: int = 0) -> None: ...

    @abstractmethod
    def abort(self, rows: Sequence[Row], partition: int = 0) -> None:
        """Write them in a transaction that comes to nothing."""


class OnKafka(Scene):
    def __init__(self, broker: Broker, folder: Path) -> None:
        super().__init__()
        self._options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        self._folder = folder
        self._topic = f"contract-{uuid4().hex[:8]}"
        claim(broker.bootstrap_servers, self._topic)
        new = NewTopic(self._topic, 2, 1, config={"cleanup.policy": "compact"})
        admin = AdminClient(self._options)
        make_topics(admin, new)
        self._writer = Producer({**self._options, "transactional.id": f"{self._topic}-writer"})
        self._writer.init_transactions(PATIENCE_SECONDS)

    def memories(self) -> Memories:
        return KafkaMemories(SentTopic(self._options, self._topic, "contract"), self._folder, self.clock)

    def commit(self, rows: Sequence[Row], partition: int = 0) -> None:
        self._write(rows, partition)
        self._writer.commit_transaction(PATIENCE_SECONDS)

    def abort(self, rows: Sequence[Row], partition: int = 0) -> None:
        self._write(rows, partition)
        self._writer.flush(PATIENCE_SECONDS)
        self._writer.abort_transaction(PATIENCE_SECONDS)

    def _write(self, rows: Sequence[Row], partition: int) -> None:
        self._writer.begin_transaction()
        for key, value in rows:
            self._writer.produce(self._topic, value, key, partition)


class OnFakes(Scene):
    def __init__(self) -> None:
        super().__init__()
        self._kafka = FakeKafka()

    def memories(self) -> Memories:
        return FakeMemories(self._kafka, "sent", self.clock)

    def commit(self, rows: Sequence[Row], partition: int = 0) -> None:
        transactions = self._written(rows, partition)
        transactions.commit((), None)

    def abort(self, rows: Sequence[Row], partition: int = 0) -> None:
        self._written(rows, partition).abort()

    def _written(self, rows: Sequence[Row], partition: int) -> FakeTransactions:
        transactions = FakeTransactions(self._kafka)
        transactions.begin()
        for key, value in rows:
            transactions.write("sent", value, key, partition=partition)
        return transactions


@pytest.fixture(params=["fake", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.apache])])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    scene = OnFakes() if request.param == "fake" else OnKafka(request.getfixturevalue("kafka"), tmp_path)
    with scene.at_the_end:
        yield scene


def nothing() -> None:
    """A beat that nobody counts."""


def test_a_memory_begins_with_every_committed_row_of_its_partition(scene: Scene) -> None:
    scene.commit([user("ann", a=True), user("bob", a=True, b=True), (b"flight", b"1"), (b"group/c", b"2")])
    scene.commit([(b"flight", None), user("eve", a=True)])
    scene.commit([user("ann", a=False)])
    scene.abort([user("zoe", a=True), (b"group/c", None)])
    scene.commit([user("ivy", a=True)], partition=1)
    memory = scene.open()
    assert (memory.get(b"flight"), memory.get(b"group/c"), memory.get(b"group/d")) == (None, b"2", None)
    assert memory.get(b"user/bob") == user("bob", a=True, b=True)[1]
    assert list(memory.members("cohorts/a")) == ["bob", "eve"]
    assert list(memory.members("cohorts/b")) == ["bob"]
    assert memory.rows() == 4
    assert memory.bytes() > 0


def test_a_topic_without_rows_is_no_memory(scene: Scene) -> None:
    memory = scene.open(1)
    assert (memory.rows(), memory.get(b"flight"), list(memory.members("cohorts/a"))) == (0, None, [])
    assert (list(memory.seen_among(["a"])), list(memory.seen_over(NOW_S))) == ([], [])


def test_rows_that_were_committed_since_are_remembered_in_their_order(scene: Scene) -> None:
    memory = scene.open()
    rows: list[Row] = [(b"flight", b"1"), user("ann", a=True), user("zoë", a=True), (b"flight", None)]
    scene.commit(rows)
    memory.apply(rows)
    memory.apply([user("ann", a=False, b=True)])
    assert memory.get(b"flight") is None
    assert (list(memory.members("cohorts/a")), list(memory.members("cohorts/b"))) == (["zoë"], ["ann"])
    assert memory.rows() == 2


def test_rows_are_listed_by_the_beginning_of_their_keys(scene: Scene) -> None:
    scene.commit([(b"group/b/1", b"1"), (b"group/a/2", b"2"), (b"groups", b"3"), user("ann", a=True)])
    memory = scene.open()
    memory.apply([(b"group/%04d" % number, b"x") for number in range(1_500)])
    under = list(memory.rows_under(b"group/"))
    assert [key for key, _ in under[:2]] == [b"group/0000", b"group/0001"]
    assert under[1_500:] == [(b"group/a/2", b"2"), (b"group/b/1", b"1")]
    assert list(memory.rows_under(b"seen/")) == []


def test_users_come_in_the_order_of_the_bytes_of_their_ids(scene: Scene) -> None:
    names = ["ann", "Ärn", "zoë", "￿", "😀", "Z"]
    memory = scene.open()
    memory.apply([user(name, a=True) for name in names])
    memory.stage([Staged("copy", name, 1, "r") for name in names])
    in_order = sorted(names, key=lambda name: name.encode())
    assert list(memory.members("cohorts/a")) == in_order
    assert list(memory.staged("copy", {1: "r"})) == in_order


def test_an_event_is_seen_for_a_day(scene: Scene) -> None:
    scene.commit([(b"seen/1", Seen(("a", "b"), NOW_S - DAY + 60).to_bytes())])
    memory = scene.open()
    memory.apply([(b"seen/2", Seen(("b", "c"), NOW_S).to_bytes())])
    assert [each in memory.seen_among("abcd") for each in "abcd"] == [True, True, True, False]
    assert list(memory.seen_over(NOW_S)) == []
    scene.clock.advance(60)
    assert [each in memory.seen_among("abcd") for each in "abcd"] == [False, True, True, False]
    assert list(memory.seen_over(NOW_S + 60)) == [b"seen/1"]
    memory.apply([(b"seen/1", None)])
    assert list(memory.seen_over(NOW_S + 60)) == []
    assert [each in memory.seen_among("bc") for each in "bc"] == [True, True]


def test_staged_members_are_those_of_the_versions_that_count_until_their_copy_ends(scene: Scene) -> None:
    memory = scene.open()
    staged = [
        Staged("one", "eve", 1, "again"),
        Staged("one", "bob", 1, "first"),
        Staged("one", "ann", 2, "r2"),
        Staged("two", "zoe", 1, "r"),
    ]
    memory.stage(staged)
    memory.stage(staged[:1])
    assert list(memory.staged("one", {1: "again", 2: "r2"})) == ["ann", "eve"]
    assert list(memory.staged("one", {1: "first"})) == ["bob"]
    memory.unstage(["one"])
    assert list(memory.staged("one", {1: "again", 2: "r2"})) == []
    assert list(memory.staged("two", {1: "r"})) == ["zoe"]


def test_an_owner_that_comes_back_knows_what_others_wrote_meanwhile(scene: Scene) -> None:
    first = scene.open()
    scene.commit([user("ann", a=True)])
    first.apply([user("ann", a=True)])
    first.close()
    scene.commit([user("bob", a=True), user("ann", a=False)])
    again = scene.open()
    assert list(again.members("cohorts/a")) == ["bob"]
    assert again.rows() == 2


def test_what_was_staged_is_gone_with_the_process(scene: Scene) -> None:
    """Another one may have read pages since."""
    first = scene.open()
    first.stage([Staged("copy", "ann", 1, "r")])
    first.close()
    second = scene.open()
    assert list(second.staged("copy", {1: "r"})) == []
