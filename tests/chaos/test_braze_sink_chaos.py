"""A sink of Braze on Apache Kafka: killed with requests on their way, beside another one, after retention."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.letters import DeadLetterTopics
from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import KafkaMemories
from streams.delivery.account import SinkCounts
from streams.emulators.faults import DELAY_SECONDS_MAX
from streams.ports.memory import PartitionMemory
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from streams.wayback.memory import user_memory
from streams.wayback.records import Attributes, Event, Membership, Page, Record, encode
from streams.wayback.rows import user_row
from tests.chaos.scene import Scene

pytestmark = [pytest.mark.kafka, pytest.mark.apache]

NAME = "back"
PARTITIONS = 4
OBJECTS_MAX = 5
"""Of a request: so that there are many."""
NOW_MS = 1_790_000_000_000
PASSWORD = KEY = "sixteen-characters-and-more"


class BackScene(Scene):
    """A connector to an emulated Braze, whose records the test writes in the receiver's place."""

    def __init__(self, broker: Broker, folder: Path, braze: BrazeEmulator) -> None:
        connector = {
            "destination": "braze",
            "base_url": braze.base_url,
            "rest_key": braze.rest_key,
            "objects_max": OBJECTS_MAX,
            "scratch": str(folder / "scratch"),
            "receive": {
                "cohorts": {
                    "kind": "mixpanel_cohorts",
                    "auth": {"passwords": [PASSWORD]},
                    "create_users": True,
                },
                "data": {"kind": "mparticle_events", "keys": [KEY]},
            },
        }
        super().__init__(broker.bootstrap_servers, folder, {NAME: connector}, {}, "classic")
        self.braze = braze
        self.topic = self.settings.topics.connector(NAME)
        self.options: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
        self._producer = Producer(self.options)

    def write(self, partition: int, *written: Record) -> None:
        for record in written:
            self._producer.produce(self.topic, encode(record), record.external_user_id.encode() or None, partition)
        self._producer.flush(60)

    def sink(self, instance: str = "sink-0") -> Any:
        return self.process("sink", NAME, "--http-port", "0", instance=instance)

    def counts(self) -> SinkCounts:
        """The sum of all partitions."""
        total = SinkCounts()
        for commit in self.administration.commits(self.settings.groups.sink(NAME), [self.topic]).values():
            total.add(SinkCounts.from_metadata(commit.metadata))
        return total

    def settled(self) -> int:
        counts = self.counts()
        return counts.delivered + sum(counts.skipped.values()) + sum(counts.parked.values())

    def await_all(self, written: int) -> SinkCounts:
        """Until every record that was written, and those that the sink derived from them, is settled."""
        self.wait_until(lambda: self.settled() >= written + self.counts().derived, f"{written} records to be settled")
        counts = self.counts()
        assert self.settled() == written + counts.derived
        return counts

    def owners(self) -> set[str]:
        """Sinks that have partitions, by their last word on it."""
        return {process.instance for process in self._processes if process.partitions()}

    def await_requests(self, count: int) -> None:
        """Until Braze got so many."""
        self.wait_until(lambda: len(self.braze.requests()) >= count, f"{count} requests")

    def flights(self) -> int:
        """How many requests with events were ever about to be sent, as the topic of what was sent tells."""
        return sum((one.key or b"").startswith(b"flight/") for one in self.read(self.settings.topics.sent(NAME)))

    @contextmanager
    def memory(self, partition: int, folder: Path) -> Iterator[PartitionMemory]:
        """What Kafka remembers of a partition, in a file of its own."""
        sent = SentTopic(self.options, self.settings.topics.sent(NAME), "chaos")
        memory = KafkaMemories(sent, folder, SystemClock()).open(partition, lambda: None)
        try:
            yield memory
        finally:
            memory.close()


@pytest.fixture
def scene(kafka: Broker, tmp_path: Path) -> Iterator[BackScene]:
    with BrazeEmulator() as braze:
        scene = BackScene(kafka, tmp_path, braze)
        try:
            yield scene
        finally:
            scene.end()


def plan(user: str, number: int) -> Attributes:
    return Attributes(
        id=f"{user}-{number}",
        entry="data",
        external_user_id=user,
        time_ms=NOW_MS,
        received_ms=NOW_MS,
        changes=json.dumps({"plan": number}),
    )


def bought(user: str, event_id: str) -> Event:
    return Event(
        id=event_id,
        entry="data",
        external_user_id=user,
        time_ms=NOW_MS,
        received_ms=NOW_MS,
        name="bought",
        properties=json.dumps({"id": event_id}),
    )


def member(user: str, session: str, page: int = 1) -> Membership:
    return Membership(
        id=f"{session}/{page}/{user}",
        entry="cohorts",
        external_user_id=user,
        time_ms=NOW_MS,
        received_ms=NOW_MS,
        group_id="7",
        group_name="VIP",
        change="present",
        session=session,
        page=page,
        request=f"{session}-{page}",
    )


def page_end(session: str, page: int = 1, pages: int = 1) -> Page:
    return Page(
        id=f"{session}/{page}",
        entry="cohorts",
        time_ms=NOW_MS,
        received_ms=NOW_MS,
        group_id="7",
        group_name="VIP",
        session=session,
        page=page,
        pages=pages,
        request=f"{session}-{page}",
    )


def events(braze: BrazeEmulator) -> Counter[str]:
    """How often each event was taken, by its id."""
    return Counter(row["object"]["properties"]["id"] for row in braze.rows() if row["kind"] == "events")


def plans(braze: BrazeEmulator, user: str) -> list[int]:
    """A user's plans, in the order in which Braze took them."""
    mine = [row["object"] for row in braze.rows() if row["kind"] == "attributes"]
    return [one["plan"] for one in mine if one["external_id"] == user and "plan" in one]


def members(braze: BrazeEmulator) -> set[str]:
    found = braze.users()
    return {user for user, one in found.items() if "VIP" in one["attributes"].get("Mixpanel_Cohorts", [])}


def test_whatever_is_killed_braze_has_the_truth_and_what_may_be_doubled_is_counted(
    scene: BackScene, tmp_path: Path
) -> None:
    random, written, last = Random(11), 0, dict[str, tuple[int, int]]()
    offsets = [0] * PARTITIONS
    event_ids = []
    for number in range(1, 401):
        partition = random.randrange(PARTITIONS)
        user = f"user-{partition}-{random.randrange(6)}"
        records: list[Record] = [plan(user, number)]
        last[user] = (number, offsets[partition])
        if number % 2:
            event_ids.append(str(number))
            records.append(bought(user, str(number)))
        if number == 150:
            records += [member(f"member-{partition}-{each}", "s") for each in range(30)]
        scene.write(partition, *records)
        offsets[partition] += len(records)
        written += len(records)
        if number == 250:
            for each in range(PARTITIONS):
                scene.write(each, page_end("s"))
                offsets[each] += 1
                written += 1
    scene.braze.fail(reset=True, when="after", count=3)
    scene.braze.fail(delay=0.05, count=None)
    process = scene.sink()
    for kills in range(1, 5):
        scene.await_requests(10 * kills)
        process.kill()
        process.start()
    counts = scene.await_all(written)
    taken = events(scene.braze)
    assert set(taken) == set(event_ids)
    assert sum(taken.values()) - len(taken) <= counts.maybe_doubled
    assert counts.parked == {}
    for user, (number, _) in last.items():
        said = plans(scene.braze, user)
        assert said[-1] == number
    assert len(members(scene.braze)) == 30
    for partition in range(PARTITIONS):
        with scene.memory(partition, tmp_path / "seen-by-the-test") as memory:
            assert list(memory.rows_under(b"flight/")) == []
            for user, (_, offset) in last.items():
                if user.startswith(f"user-{partition}-"):
                    assert user_memory(memory.get(user_row(user))).attributes["plan"].place == offset


def test_two_sinks_hand_partitions_over_and_nothing_is_sent_twice(scene: BackScene) -> None:
    first = scene.sink("sink-0")
    written = 0
    users = [f"user-{partition}-{each}" for partition in range(PARTITIONS) for each in range(5)]

    def say(number: int) -> int:
        for user in users:
            scene.write(int(user.split("-")[1]), plan(user, number), bought(user, f"{user}-{number}"))
        return 2 * len(users)

    written += say(1)
    for partition in range(PARTITIONS):
        scene.write(partition, member(f"member-{partition}", "s", page=1))
        written += 1
    scene.await_all(written)
    scene.sink("sink-1")
    written += say(2)
    scene.await_all(written)
    scene.wait_until(lambda: scene.owners() == {"sink-0", "sink-1"}, "both to have partitions")
    written += say(2)  # unchanged, and seen
    for partition in range(PARTITIONS):
        scene.write(partition, page_end("s"))
        written += 1
    scene.await_all(written)
    assert first.terminate() == 0
    written += say(2) + say(3)
    counts = scene.await_all(written)
    assert events(scene.braze) == Counter(f"{user}-{number}" for user in users for number in (1, 2, 3))
    assert {user: plans(scene.braze, user) for user in users} == {user: [1, 2, 3] for user in users}
    assert members(scene.braze) == {f"member-{partition}" for partition in range(PARTITIONS)}
    assert (counts.maybe_doubled, counts.skipped["duplicate"]) == (0, 40)


def test_copies_whose_records_retention_deleted_end_with_the_next_owner(scene: BackScene) -> None:
    first = scene.sink()
    scene.write(0, member("eve", "s", page=1), *(plan("ann", number) for number in range(5)))
    scene.await_all(6)
    assert first.terminate() == 0
    assert DeadLetterTopics(scene.options).delete_before({(scene.topic, 0): 4}) == {}
    scene.write(0, page_end("s"), plan("ann", 7))
    scene.sink()
    counts = scene.await_all(8)
    assert (counts.lost, counts.tallies["sessions_dropped"]) == (0, 1)
    assert members(scene.braze) == set()
    assert plans(scene.braze, "ann")[-1] == 7


def test_a_scratch_file_that_is_damaged_while_the_sink_runs_is_made_again(scene: BackScene) -> None:
    process = scene.sink()
    scene.write(0, plan("ann", 1), bought("ann", "1"), member("eve", "s"))
    scene.await_all(3)
    for file in (scene.folder / "scratch").rglob("0.sqlite*"):
        file.write_bytes(b"\x00" * 8192)
    scene.write(0, plan("ann", 1), bought("ann", "1"))
    scene.await_all(5)
    scene.write(0, plan("ann", 2), page_end("s"))
    counts = scene.await_all(7)
    assert process.is_running()
    assert (counts.skipped, counts.maybe_doubled) == ({"staged": 1, "page": 1, "unchanged": 1, "duplicate": 1}, 0)
    assert (plans(scene.braze, "ann"), members(scene.braze)) == ([1, 2], {"eve"})


def test_a_stop_with_answers_that_do_not_come_is_in_order_and_what_may_be_doubled_is_counted(
    scene: BackScene,
) -> None:
    ids = [f"{partition}-{number}" for partition in range(PARTITIONS) for number in range(20)]
    for event_id in ids:
        partition, number = map(int, event_id.split("-"))
        scene.write(partition, plan(f"user-{partition}", number), bought(f"user-{partition}", event_id))
    # Braze must not take what it was sent then while the test looks at what came later.
    scene.braze.fail(delay=DELAY_SECONDS_MAX, when="before", count=100_000)
    process = scene.sink()
    scene.wait_until(lambda: scene.flights() > 0, "requests to be under way")
    assert process.terminate() == 0, "it left in time by itself"
    assert '"partitions revoked"' in process.log.read_text()
    scene.braze.clear_faults()
    process.start()
    counts = scene.await_all(2 * len(ids))
    taken = events(scene.braze)
    assert set(taken) == set(ids)
    assert sum(taken.values()) - len(taken) <= counts.maybe_doubled <= PARTITIONS * OBJECTS_MAX
    assert (counts.parked, counts.lost) == ({}, 0)
    assert [plans(scene.braze, f"user-{each}")[-1] for each in range(PARTITIONS)] == [19] * PARTITIONS
