"""A topic that is deleted and made again is another topic: read from its beginning, with counts that add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.delivery.account import SinkCounts
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.apache, pytest.mark.timeout(240)]


def write(scene: Scene, topic: str, first: int, end: int) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers})
    for number in range(first, end):
        producer.produce(topic, event(f"event-{number}"), b"user")
    assert producer.flush(60) == 0


def make_again(scene: Scene, topic: str, partitions: int = 1) -> None:
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(30)
    scene.wait_until(lambda: topic not in scene.administration.topic_names(), "the topic to be gone")
    scene.administration.create_topic(topic, partitions, 1, {})


def copied_routed(scene: Scene, topic: str) -> int:
    copy = scene.accounts.standings()["source"].copies.get(topic)
    return 0 if copy is None else sum(offset for offset, _ in copy.partitions.values())


def audited(scene: Scene) -> list[str]:
    lines = [json.loads(record.value or b"{}") for record in scene.read(scene.settings.topics.audit)]
    return [line["why"] for line in lines if line["who"] == "router" and "started" in line["what"]]


@pytest.mark.parametrize("again", [15, 6], ids=["with more records", "with fewer records"])
@pytest.mark.parametrize("is_away", [True, False], ids=["while the router is away", "while it runs"])
def test_a_currents_topic_that_is_made_again_is_read_from_its_beginning_and_nothing_counts_as_lost(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, again: int, is_away: bool
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 1, 1, {})
        router = scene.process("router", instance="router")
        scene.process("sink", ANALYTICS, instance="sink")
        write(scene, topic, 0, 10)
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 10, "the first ten")
        if is_away:
            scene.wait_until(lambda: copied_routed(scene, topic) > 0, "the keeper to copy the commits")
            assert router.terminate() == 0
        make_again(scene, topic)
        write(scene, topic, 10, 10 + again)
        if is_away:
            router.start()
        scene.wait_until(lambda: len(mixpanel.unique()) == 10 + again, "all records to be delivered")
        scene.wait_until(lambda: scene.account(ANALYTICS).waiting == 0, "all to be counted")
        account = scene.account(ANALYTICS)
        assert (account.lost, account.waiting) == (0, 0)
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
        mixpanel.clear_faults()
        write(scene, source, 15, 22)
        scene.wait_until(lambda: scene.account(ANALYTICS).lost == 5, "the five to count as lost")
        scene.wait_until(lambda: scene.account(ANALYTICS).waiting == 0, "the others to be delivered")
        account = scene.account(ANALYTICS)
        assert account.routed + account.again == account.delivered + account.lost == 22 + account.again
        found = {row["properties"]["$insert_id"] for row in mixpanel.unique()}
        assert found >= {f"event-{number}" for number in (*range(10), *range(15, 22))}


def copied_delivered(scene: Scene) -> int:
    copy = scene.accounts.standings()[ANALYTICS].copies.get(scene.settings.topics.connector(ANALYTICS))
    commits = [] if copy is None else copy.partitions.values()
    return sum(SinkCounts.from_metadata(metadata).delivered for _, metadata in commits)
