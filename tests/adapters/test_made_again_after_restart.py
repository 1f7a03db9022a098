"""A topic that is made again after its leader's epoch rose: every client that knew the old topic goes on.

Each kind of client uses its topic, a broker restarts, and each uses it again. Then all topics are deleted and made
again. The broker restarts once for all tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.consumer import GroupConsumer
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.kafka.member_settings import GroupProtocol
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.config.kafka import ClientConfig
from streams.ports.errors import CommitRefused, JournalBegan
from streams.ports.kafka import Gap, Partition, Position, Start
from streams.testing.brokers import Broker
from streams.testing.kafka import kafka_version
from tests.own_broker import own_broker
from tests.waiting import wait_until

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]

PATIENCE_SECONDS = 120.0
KIP_848: Mapping[str, GroupProtocol] = {} if kafka_version().startswith("3.") else {"consumer": "consumer"}
GROUPS: Mapping[str, GroupProtocol] = {"classic": "classic", "two": "classic", **KIP_848}
"""By the name of the group and of its topic."""
TOPICS = (*GROUPS, "spare", "written", "offsets", "letters", "state")
PARTITIONS = 2
RECORDS = 5
"""In each partition, of the old topic and of the new one."""


class Committing:
    """A listener that commits what it is told, as a worker does with its counts."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self._consumer = consumer
        self.assigned_ones: set[Partition] = set()
        self.news: list[str] = []
        self._uncommitted: list[Start] = []

    def assigned(self, starts: Sequence[Start]) -> None:
        self._take("assigned", starts)

    def made_again(self, starts: Sequence[Start]) -> None:
        self._take("made again", starts)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.news.append("revoked")
        self.assigned_ones -= set(partitions)
        self._uncommitted = [one for one in self._uncommitted if (one.topic, one.partition) in self.assigned_ones]

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.revoked(partitions)

    def gap(self, gap: Gap) -> None:
        self.news.append(f"gap {gap}")

    def commit(self) -> None:
        positions = [Position(one.topic, one.partition, one.offset, "") for one in self._uncommitted]
        with suppress(CommitRefused):  # the group rebalances: tried again
            if positions:
                self._consumer.commit(positions)
            self._uncommitted = []

    def _take(self, news: str, starts: Sequence[Start]) -> None:
        self.news.append(news)
        self.assigned_ones |= {(one.topic, one.partition) for one in starts}
        self._uncommitted += starts


class Stage:
    """A broker of its own, topics, and clients that have known these since before the broker restarted."""

    def __init__(self, broker: Broker, stack: ExitStack) -> None:
        self._broker = broker
        servers = broker.bootstrap_servers
        self._options: ClientConfig = {"bootstrap.servers": servers, "client.id": "test", "log_level": 0}
        self._admin = AdminClient(self._options)
        self._create()
        self.administration = Administration(self._options)
        stack.callback(self.administration.close)
        self.letters = DeadLetterReader(self._options, "letters")
        stack.callback(self.letters.close)
        self.journal = StateJournal(self._options, "state", "journal")
        stack.callback(self.journal.close)
        self.letter_topics = DeadLetterTopics(self._options)
        self.transactions = TransactionalProducer(self._options, "transactions", "test")
        stack.callback(self.transactions.close)
        self.transactions.start()
        self.spare = self._consumer("spare", "classic", stack)
        self.members = {name: [self._member(name, stack)] for name in GROUPS}
        self.members["two"].append(self._member("two", stack))

    def prepare(self) -> None:
        """Every client uses its topic, before the broker restarts and after; then all topics are made again."""
        for what in ("before", "after"):
            self._write(what)
            for name in GROUPS:
                self.await_values(name, what)
            self.write_in_transaction()
            assert self.spare.partitions_of("spare") == PARTITIONS
            self.look_at_offsets()
            self.read_letters()
            assert values(what) & self.followed(), "the journal reads the partition"
            if what == "before":
                self._broker.restart()
        for future in self._admin.delete_topics(list(TOPICS)).values():
            future.result(120)
        wait_until(lambda: not set(TOPICS) & set(self._admin.list_topics(timeout=60).topics), "the topics to be gone")
        self._create()
        self._write("new")

    def await_values(self, name: str, what: str) -> None:
        """Let the group read until each of these records was read."""
        members = self.members[name]
        wanted = values(what)
        wait_until(
            lambda: wanted <= set().union(*(member.read() for member in members)),
            f"the records {what} of {name}; {[member.listener.news for member in members]}",
            PATIENCE_SECONDS,
        )

    def subscribe_spare(self) -> Member:
        member = Member(self.spare)
        self.spare.subscribe(["spare"], member.listener)
        return member

    def write_in_transaction(self) -> None:
        self.transactions.begin()
        for number in range(PARTITIONS):
            self.transactions.write("written", b"written", partition=number)
        self.transactions.commit((), None)

    def written(self) -> int:
        """Where the partitions end for readers of what is committed, added up."""
        return sum(self.administration.ends(self.administration.partitions("written")).values())

    def look_at_offsets(self) -> tuple[dict[Partition, int], dict[Partition, int], int]:
        """Starts, ends, and of how many partitions the first record was found."""
        places = self.administration.partitions("offsets")
        return (
            self.administration.starts(places),
            self.administration.ends(places),
            len(self.administration.first_written_ms(dict.fromkeys(places, 0))),
        )

    def read_letters(self) -> set[bytes]:
        """Those from the beginning on, by a reader that is opened anew each time, as a keeper does."""
        self.letters.open(dict.fromkeys(self.letter_topics.partitions("letters"), 0))
        found: set[bytes] = set()
        ended: set[Partition] = set()

        def is_read() -> bool:
            page = self.letters.read(100, 0.1)
            found.update(letter.value() or b"" for letter in page.letters)
            ended.update(page.ends)
            return len(ended) == PARTITIONS

        wait_until(is_read, "the letters to be read to their end")
        return found

    def followed(self) -> set[bytes]:
        return {record.value or b"" for record in self.journal.read_to_end()}

    def _consumer(self, group: str, protocol: GroupProtocol, stack: ExitStack) -> GroupConsumer:
        consumer = GroupConsumer(self._options, group, protocol, "test")
        stack.callback(consumer.close)
        return consumer

    def _member(self, name: str, stack: ExitStack) -> Member:
        member = Member(self._consumer(name, GROUPS[name], stack))
        member.consumer.subscribe([name], member.listener)
        return member

    def _create(self) -> None:
        for future in self._admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in TOPICS]).values():
            future.result(120)

    def _write(self, what: str) -> None:
        producer = Producer(self._options)
        for topic in TOPICS:
            for value in values(what):
                producer.produce(topic, value, partition=value[-1] % PARTITIONS)
        assert producer.flush(60) == 0


class Member:
    """A member of a group, and what it read."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self.consumer = consumer
        self.listener = Committing(consumer)
        self._values: set[bytes] = set()

    def read(self) -> set[bytes]:
        """Read once; all values so far."""
        self._values |= {record.value() or b"" for record in self.consumer.poll(100, 0.05)}
        self.listener.commit()
        return self._values


def values(what: str) -> set[bytes]:
    return {b"%s %d" % (what.encode(), number) for number in range(PARTITIONS * RECORDS)}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with own_broker() as broker, ExitStack() as stack:
        stage = Stage(broker, stack)
        stage.prepare()
        yield stage


@pytest.mark.parametrize("name", GROUPS)
def test_members_of_a_group_read_a_topic_that_is_made_again(stage: Stage, name: str) -> None:
    stage.await_values(name, "new")
    for member in stage.members[name]:
        assert not [news for news in member.listener.news if news.startswith("gap")]


def test_who_only_asked_how_many_partitions_a_topic_has_reads_it_when_it_is_made_again(stage: Stage) -> None:
    member = stage.subscribe_spare()
    wait_until(lambda: member.read() >= values("new"), "the records of the new topic")


def test_a_producer_writes_to_a_topic_that_is_made_again(stage: Stage) -> None:
    before = stage.written()
    stage.write_in_transaction()
    # The brokers mark a transaction's records as committed a moment after they answered.
    wait_until(lambda: stage.written() > before, "the records to be readable")


def test_offsets_and_times_are_those_of_the_topic_that_is_made_again(stage: Stage) -> None:
    starts, ends, _ = stage.look_at_offsets()
    assert starts == {("offsets", number): 0 for number in range(PARTITIONS)}
    assert ends == {("offsets", number): RECORDS for number in range(PARTITIONS)}
    # A partition that is not read within a few seconds is left out.
    wait_until(lambda: stage.look_at_offsets()[2] == PARTITIONS, "the first record of each partition")


def test_a_reader_of_letters_that_was_closed_reads_a_topic_that_is_made_again(stage: Stage) -> None:
    stage.letters.close()
    assert stage.read_letters() == values("new")


def test_a_journal_says_once_that_its_topic_was_made_again_and_reads_it_from_its_beginning(stage: Stage) -> None:
    def is_told() -> bool:
        try:
            stage.journal.poll()
        except JournalBegan:
            return True
        return False

    wait_until(is_told, "the journal to see the other topic")
    found = stage.followed()
    assert found
    assert found == {value for value in values("new") if value[-1] % PARTITIONS == 0}
    assert stage.followed() == set()
