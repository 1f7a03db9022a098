"""Writes events to Currents topics, deletes such topics and makes them again, and remembers what it wrote where."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.delivery.metadata import is_of_another_topic
from streams.events.encodings import encode_confluent, encode_single_object
from streams.events.samples import sample_record
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped
from tests.chaos import plan
from tests.chaos.scene import Scene
from tests.registry import Registry

SENT_AT = 1_790_000_000
AHEAD_SECONDS = 10 * 365 * 86_400
USERS = 40
REFUSED_SHARE, UNDECODABLE_SHARE = 0.05, 0.005
OVERSIZED_SHARE, REGISTERED_SHARE = 0.001, 0.1
"""Of the records: larger than a connector's topic takes; in Confluent's wire format."""
OVERSIZED_BYTES = 1_200_000
PARTITIONS = 3
FLUSH_SECONDS_MAX = 240.0
"""On a busy machine a broker that comes back needs minutes."""
LIFE = "~"
"""Between an origin and the life of its topic, from the second life on: offsets begin at 0 in each."""
READINGS_MAX = 2
"""A record of a topic that was made again may be read by the position of the topic before, and from the beginning."""


@dataclass(frozen=True, slots=True)
class Written:
    """An event as it was put on its Currents topic. `event_id` is empty if nothing can route it."""

    event_id: str
    event_type: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    is_refused: bool


class Ledger:
    """What was written, by topic/partition/offset and the topic's life, and which of it died with its topic."""

    def __init__(self) -> None:
        self.written: dict[str, Written] = {}
        self.dead: set[str] = set()
        """What stood on a topic that was deleted: routed if a router had read it, else gone."""
        self.lives: dict[str, int] = {}
        """Of each topic that was made again, which life it has now."""
        self._unsure: dict[bytes, tuple[int, Written]] = {}
        """What was written while its topic was deleted, with the life that ended then: Kafka may have taken it
        without an answer, and once more on the new topic."""

    def add(self, origin: str, one: Written) -> None:
        self.written[self._name(origin, self.lives.get(_topic_of(origin), 1))] = one

    def bury(self, topic: str) -> None:
        """The topic was deleted, and has another life from now on."""
        self.dead.update(name for name in self.written if _topic_of(name) == topic)
        self.lives[topic] = self.lives.get(topic, 1) + 1

    def add_unsure(self, topic: str, acknowledged: Iterator[tuple[str, Written]], living: dict[str, Written]) -> None:
        """What was written while the topic was deleted. `living` is what the new topic holds; of what else was
        acknowledged the topic is gone."""
        before = self.lives[topic] - 1
        for origin, one in living.items():
            self.add(origin, one)
            self._unsure[one.value] = (before, one)
        for origin, one in acknowledged:
            self._unsure[one.value] = (before, one)
            if living.get(origin) != one:
                self._add_dead(origin, before, one)

    def name_of(self, origin: str, value: bytes | None) -> str:
        """The name under which a record with this origin was written: the value tells in which life."""
        for life in range(self.lives.get(_topic_of(origin), 1), 0, -1):
            name = self._name(origin, life)
            if name in self.written and self.written[name].value == value:
                return name
        if (found := self._unsure.get(value or b"")) is not None:
            return self._add_dead(origin, *found)
        return origin

    def readings_max(self, name: str) -> int:
        return READINGS_MAX if LIFE in name else 1

    def _add_dead(self, origin: str, life: int, one: Written) -> str:
        name = self._name(origin, life)
        self.written[name] = one
        self.dead.add(name)
        return name

    @staticmethod
    def _name(origin: str, life: int) -> str:
        return origin if life == 1 else f"{origin}{LIFE}{life}"


class Writer:
    """Puts on Currents topics what a plan's seeds say."""

    def __init__(self, scene: Scene, registry: Registry, counts: Counter[str]) -> None:
        self.ledger = Ledger()
        self._scene = scene
        self._counts = counts
        self._schema_ids = {
            one: registry.register(one, schema_of(one).definition) for one in (plan.OPEN, plan.PUSH, plan.ENTRY)
        }
        self._producer = self._new_producer(is_idempotent=True)

    def make_topic(self, event_type: str) -> None:
        topic = self._scene.source_prefix + event_type
        assert self._scene.administration.create_topic(
            topic, PARTITIONS, self._scene.replication, {"max.message.bytes": "2000000"}
        )

    def write(self, act: plan.Write) -> None:
        for one in self._events(Random(act.seed), act.events, plan.EVENT_TYPES):
            self._produce(one)
        self._producer.poll(0)

    def flood(self, act: plan.Flood) -> None:
        """Events of the future, which Mixpanel refuses by name."""
        for one in self._events(Random(act.seed), act.events, (plan.ENTRY,), refused_share=1.0):
            self._produce(one)
        self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(FLUSH_SECONDS_MAX) == 0

    def make_again(self, act: plan.MakeAgain) -> None:
        """Delete a topic and make it again, and write to it before, meanwhile and after."""
        topic, administration = self._scene.source_prefix + act.event_type, self._scene.administration
        self.flush()
        events = list(self._events(Random(act.seed), act.events, (act.event_type,)))
        load = _Load(self._new_producer(is_idempotent=False), topic)
        third = len(events) // 3
        load.write(events[:third])
        admin = AdminClient({"bootstrap.servers": self._scene.bootstrap_servers, "log_level": 0})
        deleted = admin.delete_topics([topic])[topic]
        load.write(events[third : 2 * third])
        deleted.result(FLUSH_SECONDS_MAX)
        self._scene.wait_until(lambda: topic not in administration.topic_names(), "the topic to be gone")
        load.write(events[2 * third :])
        self.make_topic(act.event_type)
        load.finish()
        self.ledger.bury(topic)
        by_value = {one.value: one for one in events}
        living = {
            f"{topic}/{record.partition}/{record.offset}": by_value[record.value or b""]
            for record in self._scene.read(topic)
        }
        assert {one.value for one in living.values()} | {one.value for _, one in load.acknowledged} == set(by_value)
        self.ledger.add_unsure(topic, iter(load.acknowledged), living)
        self._producer = self._new_producer(is_idempotent=True)
        self._counts["topics made again"] += 1
        self._counts["writes repeated while a topic was deleted"] += load.repeated

    def routed_to_end(self) -> str:
        """Which partition of a Currents topic is not routed to its end yet; empty if none."""
        administration, group = self._scene.administration, self._scene.settings.groups.router
        topics = [self._scene.source_prefix + event_type for event_type in plan.EVENT_TYPES]
        ids, commits = administration.topic_ids(topics), administration.commits(group, topics)
        ends = administration.ends([place for topic in topics for place in administration.partitions(topic)])
        for place, end in ends.items():
            commit = commits.get(place)
            if end and (commit is None or commit.offset < end or is_of_another_topic(commit.metadata, ids[place[0]])):
                return f"{place} is committed at {commit}, ends at {end}"
        return ""

    def not_restated(self) -> set[str]:
        """Topics that were made again, and of which a partition has no commit yet that names the new one: what routers
        counted for the topic before is in their memory, and in the keeper's copy as far as that is new enough."""
        topics, administration = list(self.ledger.lives), self._scene.administration
        if not topics:
            return set()
        ids = administration.topic_ids(topics)
        commits = administration.commits(self._scene.settings.groups.router, topics)
        return {
            place[0]
            for topic in topics
            for place in administration.partitions(topic)
            if (commit := commits.get(place)) is None or is_of_another_topic(commit.metadata, ids.get(topic, ""))
        }

    def _new_producer(self, *, is_idempotent: bool) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._scene.bootstrap_servers,
                "enable.idempotence": is_idempotent,
                "partitioner": "murmur2_random",
                "message.max.bytes": 2 * OVERSIZED_BYTES,
                "topic.metadata.refresh.interval.ms": 1_000,
                "log_level": 0,
            }
        )

    def _events(
        self, random: Random, many: int, event_types: tuple[str, ...], refused_share: float = REFUSED_SHARE
    ) -> Iterator[Written]:
        for _ in range(many):
            event_type = random.choice(event_types)
            schema = schema_of(event_type)
            record = sample_record(event_type, random, SENT_AT)
            event_id = str(UUID(int=random.getrandbits(128), version=4))
            record |= {"id": event_id, "external_user_id": f"user-{random.randrange(USERS)}"}
            if event_type == plan.PUSH:
                record["platform"] = random.choice(["ios", "roku"])
            is_refused = event_type == plan.ENTRY and random.random() < refused_share
            if is_refused:
                record["time"] += AHEAD_SECONDS
            if random.random() < OVERSIZED_SHARE:
                event_id, record["user_id"] = "", base64.b64encode(random.randbytes(OVERSIZED_BYTES * 3 // 4)).decode()
                self._counts["oversized records"] += 1
            if random.random() < REGISTERED_SHARE:
                value = encode_confluent(self._schema_ids[event_type], schema, record)
            else:
                value = encode_single_object(schema, record)
            if random.random() < UNDECODABLE_SHARE:
                event_id, value = "", b"junk " + random.randbytes(16)
            headers = (("foreign", random.randbytes(8)), ("source", b"chaos"))
            self._counts["events written"] += 1
            yield Written(event_id, event_type, record["external_user_id"].encode(), value, headers, is_refused)

    def _produce(self, one: Written) -> None:
        def delivered(error: Any, message: Any) -> None:
            assert error is None, str(error)
            self.ledger.add(f"{message.topic()}/{message.partition()}/{message.offset()}", one)

        topic = self._scene.source_prefix + one.event_type
        self._producer.produce(topic, one.value, one.key, headers=list(one.headers), on_delivery=delivered)
        self._producer.poll(0)


class _Load:
    """Writes to a topic that is deleted meanwhile. What is refused is written again, until it is acknowledged."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self.acknowledged: list[tuple[str, Written]] = []
        self.repeated = 0
        self._producer = producer
        self._topic = topic
        self._refused: list[Written] = []

    def write(self, events: list[Written]) -> None:
        for one in events:
            try:
                self._producer.produce(
                    self._topic, one.value, one.key, headers=list(one.headers), on_delivery=self._delivered(one)
                )
            except KafkaException:  # the client knows already that the topic is gone
                self._refused.append(one)
            self._producer.poll(0.001)

    def finish(self) -> None:
        """Until everything is acknowledged."""
        deadline = time.monotonic() + FLUSH_SECONDS_MAX
        while self._producer.flush(0.2) or self._refused:
            assert time.monotonic() < deadline, f"{len(self._refused)} records were not written to the new topic"
            refused, self._refused = self._refused, []
            self.repeated += len(refused)
            self.write(refused)

    def _delivered(self, one: Written) -> Callable[[Any, Any], None]:
        def told(error: Any, message: Any) -> None:
            if error is not None:
                self._refused.append(one)
            else:
                self.acknowledged.append((f"{message.topic()}/{message.partition()}/{message.offset()}", one))

        return told


def schema_of(event_type: str) -> WriterSchema:
    schema = shipped().by_event_type(event_type)
    assert schema is not None
    return schema


def _topic_of(origin: str) -> str:
    return origin.rsplit("/", 2)[0]
