"""Races where the broker decides: who is fenced, what a late deletion may take, what a gap really lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.journal import StateJournal
from streams.adapters.kafka.letters import DeadLetterTopics
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.config.kafka import ClientConfig
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.ports.errors import Fenced
from streams.state.records import Cursor, key
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from streams.workers.keeper.lease import Lease, LeaseTopics
from tests.chaos.scene import Scene, read_to_end, staged
from tests.topics import claim

OPEN = "users.messages.email.Open"
CONNECTOR = "target"
SCOPE = "credentials.default"
USERS = [b"user-%d" % number for number in range(7)]


@pytest.mark.apache
def test_a_keeper_that_was_replaced_writes_nothing_and_deletes_only_what_it_knew_to_be_settled(kafka: Broker) -> None:
    prefix = f"race-{uuid4().hex[:8]}."
    claim(kafka.bootstrap_servers, prefix)
    options: ClientConfig = {"bootstrap.servers": kafka.bootstrap_servers}
    administration = Administration(options)
    topics = LeaseTopics(
        f"{prefix}state", f"{prefix}audit", f"{prefix}connector", f"{prefix}rejected", f"{prefix}credentials."
    )
    letters = topics.dead_letters(SCOPE)
    administration.create_topic(topics.state, 1, 1, {"cleanup.policy": "compact"})
    for topic in (topics.audit, topics.connector, letters):
        administration.create_topic(topic, 1, 1, {})
    producer = Producer(options)
    for number in range(10):
        producer.produce(letters, b"letter-%d" % number)
    assert producer.flush(60) == 0

    def lease(instance: str) -> Lease:
        transactions = TransactionalProducer(options, f"{prefix}keeper", instance)
        transactions.start()
        journal = StateJournal(options, topics.state, instance)
        return Lease(CONNECTOR, topics, instance, transactions=transactions, journal=journal, clock=SystemClock())

    cursor = key("cursor", CONNECTOR, SCOPE, 0)
    first = lease("first")
    first.commit({cursor: Cursor(offset=4)})
    second = lease("second")
    assert second.view.cursor((SCOPE, 0)) == 4
    with pytest.raises(Fenced):
        first.commit({cursor: Cursor(offset=9)})
    second.commit({cursor: Cursor(offset=6)})
    DeadLetterTopics(options).delete_before({(letters, 0): first.view.cursor((SCOPE, 0))})
    assert [letter.offset for letter in read_to_end(kafka.bootstrap_servers, letters)] == list(range(4, 10))
    assert second.view.cursor((SCOPE, 0)) == 6
    third = lease("third")
    assert (third.view.cursor((SCOPE, 0)), third.epoch) == (6, 3)
    for one in (first, second, third):
        one.close()


def on_stage(kafka: Broker, folder: Path, mixpanel: MixpanelEmulator, act: Callable[[Scene], None]) -> None:
    connector = {
        "destination": "mixpanel",
        "base_url": mixpanel.base_url,
        "project_token": mixpanel.project_token,
        "events": [OPEN],
    }
    with staged(kafka.bootstrap_servers, folder, {CONNECTOR: connector}) as scene:
        scene.administration.create_topic(scene.source_prefix + OPEN, 1, 1, {})
        act(scene)


def write(scene: Scene, events: int, seed: int, users: Sequence[bytes] = USERS) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers, "partitioner": "murmur2_random"})
    random, schema = Random(seed), shipped().by_event_type(OPEN)
    assert schema is not None
    for number in range(events):
        user = users[number % len(users)]
        record = {**sample_record(OPEN, random, 1_790_000_000), "external_user_id": user.decode()}
        producer.produce(scene.source_prefix + OPEN, encode_single_object(schema, record), user)
    assert producer.flush(60) == 0


@pytest.mark.apache
def test_records_that_retention_took_ahead_of_a_stopped_sink_are_counted_lost_to_the_last_one(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    """Also where another partition is emptied meanwhile: its commit stands before a transaction's marker, and moves
    no more."""

    def act(scene: Scene) -> None:
        scene.process("router", instance="router-0")
        sink = scene.process("sink", CONNECTOR, instance="sink-0")
        topic = scene.settings.topics.connector(CONNECTOR)
        write(scene, 100, 1)
        scene.wait_until(lambda: scene.account(CONNECTOR).delivered == 100, "the first events")
        assert sink.terminate() == 0
        emptied = scene.read(topic)[0].partition
        theirs = {record.key for record in scene.read(topic) if record.partition == emptied}
        write(scene, 200, 2, [user for user in USERS if user not in theirs])
        scene.wait_until(lambda: scene.account(CONNECTOR).routed == 300, "the others to be routed")
        records = scene.read(topic)
        partition = max(
            {record.partition for record in records} - {emptied},
            key=lambda number: sum(r.partition == number for r in records),
        )
        there = [record.offset for record in records if record.partition == partition]
        cut = there[-3]
        committed = scene.accounts.sink_commits(CONNECTOR)[topic, partition].offset
        lost = sum(committed <= offset < cut for offset in there)
        assert lost > 0
        delete(kafka, TopicPartition(topic, partition, cut))
        sink.start()
        scene.wait_until(lambda: scene.account(CONNECTOR).delivered == 300 - lost, "what is left to be delivered")
        delete(kafka, TopicPartition(topic, emptied, OFFSET_END))
        scene.wait_until(lambda: scene.account(CONNECTOR).lost == lost, "the gap to be counted exactly")
        assert scene.account(CONNECTOR).waiting == 0
        assert b"records lost to retention" in sink.log.read_bytes()

    on_stage(kafka, tmp_path, mixpanel, act)


def delete(kafka: Broker, before: TopicPartition) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.delete_records([before]).values():
        future.result(60)
