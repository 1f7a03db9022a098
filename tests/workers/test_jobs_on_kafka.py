"""A replay on Apache Kafka: a keeper killed inside a transaction, its successor, and the cursor after them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterReader, DeadLetterTopics
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.delivery.letter import Origin, Reason, letter_headers
from streams.delivery.pace import SharedBucket
from streams.events.schemas import shipped
from streams.ports.errors import Fenced, TransactionAborted
from streams.ports.kafka import Message
from streams.state.records import CREDENTIALS, REJECTED, Request, SettledBlock, key
from streams.state.settled import SettledLetters
from streams.testing.brokers import Broker
from streams.workers.keeper import rewrite
from streams.workers.keeper.jobs.cursor import RejectedCursor
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.jobs.ways import BackToConnector
from streams.workers.keeper.keeper import KeeperDuty
from streams.workers.keeper.lease import Lease, LeaseTopics
from streams.workers.keeper.redrive import Redrive
from streams.workers.reading.event_reader import EventReader
from streams.workers.reading.schema_resolver import SchemaResolver
from tests.topics import claim, make_topics
from tests.waiting import LOOK_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.apache

PARTITIONS = 3
LETTERS = 90
SCOPE_LETTERS = CREDENTIALS + "default"
LARGE = random.Random(1).randbytes(100_000)
LIMIT_BYTES = 30_000
"""Takes all small letters in one batch, and no `LARGE` one."""


class Stage:
    """The topics of one connector, with letters that were parked a few to a transaction, some of them aborted.

    Those in `limited` take no `LARGE` record. They are made so: a setting that is changed holds a moment later than
    Kafka says.
    """

    def __init__(self, broker: Broker, limited: Collection[str] = ()) -> None:
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        tag = uuid4().hex[:8]
        claim(broker.bootstrap_servers, f"streams-{tag}.")
        letters = f"streams-{tag}.dead-letter.growth."
        self.topics = LeaseTopics(
            f"streams-{tag}.state",
            f"streams-{tag}.audit",
            f"streams-{tag}.connector.growth",
            f"{letters}rejected",
            f"{letters}credentials.",
        )
        self.keeper_id = f"streams-{tag}.keeper.growth"
        single = (self.topics.state, self.topics.audit)
        wanted = [NewTopic(topic, 1, 1) for topic in single]
        limit = {"max.message.bytes": str(LIMIT_BYTES)}
        for name, topic in (
            ("connector", self.topics.connector),
            (REJECTED, self.topics.rejected),
            (SCOPE_LETTERS, self.topics.dead_letters(SCOPE_LETTERS)),
        ):
            wanted.append(NewTopic(topic, PARTITIONS, 1, config=limit if name in limited else {}))
        self.admin = AdminClient(self.options)
        make_topics(self.admin, *wanted)
        self.letter_topics = DeadLetterTopics(self.options)
        self.clock = SystemClock()
        self._park()

    def _park(self) -> None:
        producer = Producer({**self.options, "transactional.id": f"{self.keeper_id}.sink"})
        producer.init_transactions(60)
        for begin in range(0, LETTERS, 5):
            for is_aborted in (True, False):
                producer.begin_transaction()
                for number in range(begin, begin + 5):
                    reason = Reason("rejected", 400, "no", "default", "", 1, self.clock.epoch_ms())
                    headers = [("foreign", b"\xff%d" % number), ("streams-origin", b"currents.x/0/%d" % number)]
                    parked = letter_headers(headers, Origin("currents.x", 0, number), reason)
                    producer.produce(
                        self.topics.rejected,
                        b"\x00%d" % number,
                        b"k%d" % number,
                        partition=number % PARTITIONS,
                        headers=list(parked),
                    )
                producer.flush(60)  # the broker cannot abort what it has not begun
                (producer.abort_transaction if is_aborted else producer.commit_transaction)(60)
        producer.begin_transaction()  # begins once the markers of the one before are written: now all can be read
        producer.produce(self.topics.audit, b"{}")
        producer.commit_transaction(60)

    def park_one(self, letters: str, value: bytes, cause: str) -> None:
        """One more letter, on the first partition."""
        reason = Reason(cause, 401, "no", "default", "", 1, self.clock.epoch_ms())
        parked = letter_headers([], Origin("currents.x", 0, 7), reason)
        transactions = TransactionalProducer(self.options, f"{self.keeper_id}.sink", "sink")
        transactions.start()
        for topic, content, headers in (
            (self.topics.dead_letters(letters), value, parked),
            (self.topics.audit, b"{}", []),
        ):
            transactions.begin()  # the second, so that the first can be read: see `_park`
            transactions.write(topic, content, b"user", headers, 0)
            transactions.commit((), None)
        transactions.close()

    def reader(self) -> DeadLetterReader:
        return DeadLetterReader(self.options, "jobs-test")

    @contextmanager
    def held_lease(self) -> Iterator[tuple[Lease, Jobs, TransactionalProducer]]:
        """A keeper that holds the lease."""
        transactions = TransactionalProducer(self.options, self.keeper_id, "keeper")
        transactions.start()
        journal = StateJournal(self.options, self.topics.state, "keeper")
        lease = Lease("growth", self.topics, "pod-0", transactions=transactions, journal=journal, clock=self.clock)
        resolver = SchemaResolver(
            shipped(),
            [],
            None,
            encoding="auto",
            source_topic_prefix="currents.",
            unknown_schema_seconds_max=60.0,
            clock=self.clock,
        )
        way = BackToConnector(self.topics.connector)
        jobs = Jobs(self.reader, self.letter_topics, EventReader(resolver), way)
        try:
            yield lease, jobs, transactions
        finally:
            jobs.begin()
            lease.close()

    def read(self, topic: str) -> list[Message]:
        """All of a topic, as committed."""
        reader = self.reader()
        try:
            unread = set(self.letter_topics.partitions(topic))
            reader.open(dict.fromkeys(unread, 0))
            messages: list[Message] = []
            while unread:
                page = reader.read(1_000, 5.0)
                messages += page.letters
                unread -= page.ends.keys()
            return messages
        finally:
            reader.close()


def ends_of(letters: list[Message]) -> Mapping[str, int]:
    ends: dict[str, int] = {}
    for letter in letters:
        ends[f"{REJECTED}/{letter.partition()}"] = letter.offset() + 1
    return ends


def cursors_of(lease: Lease) -> Mapping[str, int]:
    return {f"{name}/{number}": offset for (name, number), offset in lease.view.cursors.items()}


def carry_on(duty: KeeperDuty, lease: Lease, is_reached: Callable[[], bool], what: str) -> None:
    """Steps as a keeper makes them, with a rest while there is nothing to do. A transaction that takes longer than its
    time-out is aborted; then the duty begins again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_reached():
        assert time.monotonic() < deadline, f"waited for {what}: {lease.view.jobs}, {lease.view.totals}"
        try:
            if not duty.step(lease):
                time.sleep(LOOK_SECONDS)
        except TransactionAborted:
            duty.begin()


def test_a_replay_is_exactly_once_over_a_kill_inside_its_transaction_and_the_cursor_follows(kafka: Broker) -> None:
    stage = Stage(kafka)
    letters = stage.read(stage.topics.rejected)
    assert len(letters) == LETTERS
    with ExitStack() as zombies:
        lease, jobs, transactions = zombies.enter_context(stage.held_lease())
        arguments = {"selection": {}, "ends": ends_of(letters), "planned": LETTERS, "rate": 60}
        request = Request(
            what="replay", who="dana", reason="fixed", expires=stage.clock.epoch_ms() + 60_000, arguments=arguments
        )
        changes, answer = jobs.accept(lease, "job-1", request)
        lease.commit({**changes, key("answer", "growth", "job-1"): answer})
        carry_on(jobs, lease, lambda: lease.view.jobs["job-1"].done > 0, "the first letters")
        before = lease.view.jobs["job-1"].done
        assert 0 < before < LETTERS
        # Killed after some records of the next transaction went out.
        transactions.begin()
        for letter in letters[-5:]:
            transactions.write(stage.topics.connector, letter.value(), letter.key())
        with stage.held_lease() as (successor, its_jobs, _):
            carry_on(its_jobs, successor, lambda: successor.view.jobs["job-1"].status == "done", "the job's end")
            assert successor.view.jobs["job-1"].done == LETTERS
            with pytest.raises(Fenced):
                transactions.commit((), None)
            cursor = RejectedCursor(stage.reader, stage.letter_topics, again_seconds=-1.0)
            carry_on(cursor, successor, lambda: cursors_of(successor) == ends_of(letters), "the cursor to pass all")
            successor.confirm()  # as above
            settled = {(stage.topics.rejected, number): end for (_, number), end in successor.view.cursors.items()}
            wait_until(lambda: not stage.letter_topics.delete_before(settled), "the letters to be deleted")
    returned = stage.read(stage.topics.connector)
    assert sorted((message.key(), message.value()) for message in returned) == sorted(
        (b"k%d" % number, b"\x00%d" % number) for number in range(LETTERS)
    )
    for message in returned:
        headers = dict(message.headers() or [])
        number = int((message.value() or b"")[1:])
        assert headers.keys() == {"foreign", "streams-origin", "streams-verdict"}
        assert headers["foreign"] == b"\xff%d" % number
        assert headers["streams-origin"] == b"currents.x/0/%d" % number
    assert stage.read(stage.topics.rejected) == []


def test_a_replay_leaves_the_letter_that_its_topic_does_not_take_and_takes_all_others(kafka: Broker) -> None:
    stage = Stage(kafka, limited=["connector"])
    stage.park_one(REJECTED, LARGE, "rejected")
    letters = stage.read(stage.topics.rejected)
    with stage.held_lease() as (lease, jobs, _):
        arguments = {"selection": {}, "ends": ends_of(letters), "planned": LETTERS + 1}
        request = Request(
            what="replay", who="dana", reason="fixed", expires=stage.clock.epoch_ms() + 60_000, arguments=arguments
        )
        changes, answer = jobs.accept(lease, "job-1", request)
        lease.commit({**changes, key("answer", "growth", "job-1"): answer})
        carry_on(jobs, lease, lambda: lease.view.jobs["job-1"].status == "done", "the job's end")
        job = lease.view.jobs["job-1"]
        assert (job.done, job.left_out) == (LETTERS, {"refused": 1})
        lease.confirm()  # once its markers are written, all before can be read
    returned = [message.value() or b"" for message in stage.read(stage.topics.connector)]
    assert sorted(returned) == sorted(b"\x00%d" % number for number in range(LETTERS))


@pytest.mark.parametrize("is_rejected_limited", [False, True], ids=["moved", "passed"])
def test_a_redrive_sets_the_letter_aside_that_its_topic_does_not_take_back(
    kafka: Broker, is_rejected_limited: bool
) -> None:
    stage = Stage(kafka, limited=["connector", REJECTED] if is_rejected_limited else ["connector"])
    for value in (b"one", LARGE, b"two"):
        stage.park_one(SCOPE_LETTERS, value, "credentials")
    redrive = Redrive(("default",), stage.letter_topics, stage.reader(), 1_000.0, SharedBucket(None, 0.0).of("redrive"))
    with stage.held_lease() as (lease, _, _):
        carry_on(redrive, lease, lambda: lease.view.totals.redriven == {"credentials": 2}, "two letters to go back")
        totals = lease.view.totals
        lease.confirm()
    assert (totals.refused, totals.passed)[is_rejected_limited] == {"credentials": 1}
    assert [message.value() for message in stage.read(stage.topics.connector)] == [b"one", b"two"]
    moved = [message for message in stage.read(stage.topics.rejected) if message.value() == LARGE]
    assert len(moved) == (not is_rejected_limited)


def test_letters_are_written_again_without_one_that_is_settled(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the letters and at their end are markers of transactions, which are offsets without a letter."""
    monkeypatch.setattr(rewrite, "SETTLED_MS_MAX", 0)
    monkeypatch.setattr(rewrite, "PAGE_LETTERS_MAX", 2)
    monkeypatch.setattr(rewrite, "LOOK_SECONDS", 0.0)  # a look that Kafka answers too late is made again at once
    stage, place = Stage(kafka), (SCOPE_LETTERS, 0)
    for number in range(4):
        stage.park_one(SCOPE_LETTERS, b"%d" % number, "credentials")
    topic = stage.topics.dead_letters(SCOPE_LETTERS)
    letters = stage.read(topic)
    with stage.held_lease() as (lease, _, _):
        settled = SettledLetters().with_added([letters[1].offset()])
        blocks = {key("settled", "growth", *place, number): SettledBlock(bits=bits) for number, bits in settled.items()}
        lease.commit(blocks)
        task = rewrite.Rewrite(stage.reader, stage.letter_topics)
        carry_on(task, lease, lambda: lease.view.cursor(place) > letters[-1].offset(), "the cursor to pass all")
        wait_until(lambda: not task.step(lease), "nothing to be left to do")
        cursor = lease.view.cursor(place)
        lease.confirm()  # so that the last transaction before it can be read
    after = [one for one in stage.read(topic) if one.offset() >= cursor]
    stay = [letters[0], *letters[2:]]
    assert [(one.key(), one.value(), one.headers()) for one in after] == [
        (one.key(), one.value(), one.headers()) for one in stay
    ]
    assert {one.partition() for one in after} == {0}
