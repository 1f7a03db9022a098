"""A topic that is deleted and made again is another topic: read from its beginning, with counts that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.delivery.account import Account, SinkCounts
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, WorkerProcess, staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]


def write(scene: Scene, topic: str, first: int, end: int, partitions: int = 1) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers})
    for number in range(first, end):
        producer.produce(topic, event(f"event-{number}"), b"user", partition=number % partitions)
    assert producer.flush(60) == 0


def make_again(scene: Scene, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    scene.wait_until(lambda: topic not in scene.administration.topic_names(), "the topic to be gone")
    scene.administration.create_topic(topic, partitions, 1, {})


def copied_routed(scene: Scene, topic: str) -> int:
    copy = scene.accounts.state_views()["source"].copies.get(topic)
    return 0 if copy is None else sum(offset for offset, _ in copy.partitions.values())


def audited(scene: Scene) -> list[str]:
    lines = [json.loads(record.value or b"{}") for record in scene.read(scene.settings.topics.audit)]
    return [line["why"] for line in lines if line["who"] == "router" and "started" in line["what"]]


def settled(scene: Scene, delivered_min: int) -> Account:
    """The account in which so many are delivered and none waits: it may be another one a moment later."""
    newest: list[Account] = []

    def is_settled() -> bool:
        newest[:] = [scene.account(ANALYTICS)]
        return newest[0].delivered >= delivered_min and newest[0].waiting == 0

    scene.wait_until(is_settled, f"{delivered_min} to be delivered, and nothing to wait")
    return newest[0]


@pytest.mark.parametrize("partitions", [1, 7], ids=["one partition", "seven partitions"])
@pytest.mark.parametrize("again", [15, 6], ids=["with more records", "with fewer records"])
@pytest.mark.parametrize("is_away", [True, False], ids=["while the router is away", "while it runs"])
def test_a_currents_topic_that_is_made_again_is_read_from_its_beginning_and_nothing_counts_as_lost(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, again: int, is_away: bool, partitions: int
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, partitions, 1, {})
        router = scene.process("router", instance="router")
        scene.process("sink", ANALYTICS, instance="sink")
        write(scene, topic, 0, 10, partitions)
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 10, "the first ten")
        if is_away:
            scene.wait_until(lambda: copied_routed(scene, topic) == 10, "the keeper to copy the commits")
            assert router.terminate() == 0
        make_again(scene, topic, partitions)
        write(scene, topic, 10, 10 + again, partitions)
        if is_away:
            router.start()
        scene.wait_until(lambda: len(mixpanel.unique()) == 10 + again, "all records to be delivered")
        account = settled(scene, 10 + again)
        assert account.lost == 0
        assert account.routed == account.delivered
        # What a running router read before it saw that the topic is another one, it reads once more.
        assert 10 + again <= account.routed <= 10 + (again if is_away else 2 * again)
        assert not is_away or "the topic was deleted and made again" in audited(scene)
        assert "records lost to retention" not in router.log.read_text()


@pytest.mark.parametrize("is_away", [True, False], ids=["while the sink is away", "while it runs"])
def test_records_that_are_deleted_with_a_connectors_topic_are_lost_and_the_account_adds_up(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, is_away: bool
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        source, own = scene.source_prefix + OPEN, scene.settings.topics.connector(ANALYTICS)
        scene.administration.create_topic(source, 1, 1, {})
        scene.process("router", instance="router")
        sink = scene.process("sink", ANALYTICS, instance="sink")
        write(scene, source, 0, 10)
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 10, "the first ten")
        scene.wait_until(lambda: copied_delivered(scene) == 10, "the keeper to copy the commits")
        if is_away:
            assert sink.terminate() == 0
        else:
            mixpanel.fail(status=503, count=100_000)
        write(scene, source, 10, 15)
        scene.wait_until(lambda: scene.account(ANALYTICS).waiting == 5, "five to wait")
        make_again(scene, own, partitions=4)
        if is_away:
            sink.start()
        scene.wait_until(lambda: "deliveries began again" in str(scene.read(scene.settings.topics.audit)), "the keeper")
        if not is_away:  # until it sees the other topic it would still deliver what it has read
            scene.wait_until(lambda: has_let_go(sink), "the sink")
        mixpanel.clear_faults()
        write(scene, source, 15, 22)
        scene.wait_until(lambda: scene.account(ANALYTICS).lost == 5, "the five to count as lost")
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 22, "the others to be routed")
        account = settled(scene, 17)
        assert account.routed + account.again == account.delivered + account.lost == 22 + account.again
        found = {row["properties"]["$insert_id"] for row in mixpanel.unique()}
        assert found >= {f"event-{number}" for number in (*range(10), *range(15, 22))}


def test_a_topic_that_is_made_again_after_an_orderly_stop_costs_no_count_however_soon(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    """The keepers copy commits every 30 s, and once more when they stop: Kafka forgets the commits with the topic."""
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        source, own = scene.source_prefix + OPEN, scene.settings.topics.connector(ANALYTICS)
        scene.administration.create_topic(source, 2, 1, {})
        router = scene.process("router", instance="router")
        sink = scene.process("sink", ANALYTICS, instance="sink")
        for process in (router, sink):
            scene.wait_until(lambda process=process: "keeper starts" in process.log.read_text(), "each keeper")  # type: ignore[misc]
        written = 0
        for _ in range(2):
            write(scene, source, written, written + 10, 2)
            written += 10
            scene.wait_until(lambda: scene.account(ANALYTICS).delivered == written, "the records")  # noqa: B023
            assert (router.terminate(), sink.terminate()) == (0, 0)
            make_again(scene, source, 2)
            make_again(scene, own, 4)
            for process in (router, sink):
                process.start()
        write(scene, source, written, written + 13, 2)
        scene.wait_until(lambda: len(mixpanel.unique()) == written + 13, "all records to be delivered")
        account = settled(scene, written + 13)
        assert (account.routed, account.delivered, account.lost) == (written + 13, written + 13, 0)
        assert scene.verify(ANALYTICS).problems == ()


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_what_routers_counted_stays_though_the_topic_is_gone_for_so_long_that_it_is_taken_from_them(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, protocol: str
) -> None:
    connectors = {ANALYTICS: mixpanel_connector(mixpanel)}
    with staged(kafka.bootstrap_servers, tmp_path, connectors, group_protocol=protocol) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 5, 1, {})
        routers = [scene.process("router", instance=f"router-{number}") for number in range(2)]
        for router in routers:
            scene.wait_until(router.has_partitions, "each router to have partitions")
        write(scene, topic, 0, 11, 5)
        scene.wait_until(lambda: copied_routed(scene, topic) >= 11, "the keeper to copy the commits")
        write(scene, topic, 11, 34, 5)
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 34, "records that no copy has yet")
        admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
        admin.delete_topics([topic])[topic].result(60)
        for router in routers:
            scene.wait_until(lambda router=router: is_last_of(router, "partitions revoked"), "the topic to be missed")  # type: ignore[misc]
        scene.administration.create_topic(topic, 5, 1, {})
        write(scene, topic, 34, 47, 5)
        scene.wait_until(lambda: routed_records(scene) == 47, "the new records")
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 47, "all to be counted, those of the old topic too")
        assert scene.verify(ANALYTICS).problems == ()


def test_what_a_router_counted_that_stood_still_is_added_though_another_began_the_new_topic(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 5, 1, {})
        routers = [scene.process("router", instance=f"router-{number}") for number in range(2)]
        for router in routers:
            scene.wait_until(router.has_partitions, "each router to have partitions")
        write(scene, topic, 0, 34, 5)
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 34, "the first records")
        routers[1].freeze()
        make_again(scene, topic, partitions=5)
        write(scene, topic, 34, 47, 5)
        scene.wait_until(lambda: routed_records(scene) == 47, "the new records")
        routers[1].thaw()
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 47, "all to be counted, those of the old topic too")
        assert scene.verify(ANALYTICS).problems == ()
        make_again(scene, topic, partitions=5)
        write(scene, topic, 47, 61, 5)
        scene.wait_until(lambda: routed_records(scene) >= 61, "the newest records")
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == routed_records(scene), "each to be counted once")
        assert scene.verify(ANALYTICS).problems == ()


def routed_records(scene: Scene) -> int:
    return len(scene.read(scene.settings.topics.connector(ANALYTICS)))


def is_last_of(process: WorkerProcess, event: str) -> bool:
    """Whether the process said so, and was assigned nothing since."""
    lines = [line for line in process.log.read_text().splitlines() if "partitions assigned" in line or event in line]
    return bool(lines) and event in lines[-1]


def has_let_go(sink: WorkerProcess) -> bool:
    """It saw the other topic, or that there was none for a while: both end what it has read of the old one. What its
    keeper says does not count: it looks at other times."""
    said = sink.log.read_text(errors="replace")
    return "it is read from its beginning" in said or "partitions lost" in said


def copied_delivered(scene: Scene) -> int:
    copy = scene.accounts.state_views()[ANALYTICS].copies.get(scene.settings.topics.connector(ANALYTICS))
    commits = [] if copy is None else copy.partitions.values()
    return sum(SinkCounts.from_metadata(metadata).delivered for _, metadata in commits)


@pytest.mark.parametrize("role", ["router", "sink"])
def test_a_position_that_a_killed_process_committed_for_the_old_topic_passes_over_nothing(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, role: str
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        source, own = scene.source_prefix + OPEN, scene.settings.topics.connector(ANALYTICS)
        scene.administration.create_topic(source, 1, 1, {})
        processes = {"router": scene.process("router", instance="router")}
        processes["sink"] = scene.process("sink", ANALYTICS, instance="sink")
        write(scene, source, 0, 10)
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 10, "the first ten")
        group, topic = (
            (scene.settings.groups.router, source) if role == "router" else (scene.settings.groups.sink(ANALYTICS), own)
        )
        assert processes[role].terminate() == 0
        commits = scene.administration.commits(group, [topic])
        make_again(scene, topic, partitions=len(scene.administration.partitions(topic)))
        write(scene, source, 10, 40)
        if role == "sink":
            scene.wait_until(lambda: scene.account(ANALYTICS).routed == 40, "the records to be routed")
        commit_again(scene, group, {place: (commit.offset, commit.metadata) for place, commit in commits.items()})
        processes[role].start()
        scene.wait_until(lambda: len(mixpanel.unique()) == 40, "all records to be delivered")
        account = settled(scene, 40)
        assert (account.routed + account.again, account.delivered, account.lost) == (40, 40, 0)
        lines = [json.loads(record.value or b"{}") for record in scene.read(scene.settings.topics.audit)]
        assert "the topic was deleted and made again" in [line.get("why") for line in lines]


def commit_again(scene: Scene, group: str, commits: dict[tuple[str, int], tuple[int, str]]) -> None:
    """As a process does that is killed before it sees that the topic is another one."""
    consumer = Consumer({"bootstrap.servers": scene.bootstrap_servers, "group.id": group, "enable.auto.commit": False})
    offsets = [TopicPartition(*place, offset, metadata) for place, (offset, metadata) in commits.items()]
    consumer.assign(offsets)
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
