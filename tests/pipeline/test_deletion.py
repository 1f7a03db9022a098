"""Bytes of purged letters on Apache Kafka: a deletion that the broker refuses is tried again until it is done, also by
the next keeper."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.state.records import REJECTED
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene
from tests.chaos.stagehand import NEVER_COMPACTED_MS, set_configuration
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_dead_letters import Person

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]


def allow(scene: Scene, topic: str, is_allowed: bool) -> None:
    """Kafka deletes no records of a topic that is only compacted. Nothing is compacted: it is too young."""
    policy = {"cleanup.policy": "delete" if is_allowed else "compact"}
    never = {"min.compaction.lag.ms": str(NEVER_COMPACTED_MS)}
    set_configuration(scene.bootstrap_servers, [topic], policy | never)


def earliest(scene: Scene, topic: str) -> dict[int, int]:
    """The first offset that the broker still has, of each partition."""
    consumer = Consumer({"bootstrap.servers": scene.bootstrap_servers, "group.id": "reader"})
    try:
        numbers = scene.administration.partitions(topic)
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=60)[0]
            for _, number in numbers
        }
    finally:
        consumer.close()


def purged(scene: Scene) -> dict[int, int]:
    """The offset before which every letter is settled, of each partition."""
    cursors = scene.accounts.state_views()[ANALYTICS].cursors
    return {number: offset for (letters, number), offset in cursors.items() if letters == REJECTED}


@pytest.mark.parametrize("is_killed", [False, True], ids=["by the same keeper", "by the next keeper"])
def test_a_deletion_that_the_broker_refuses_is_told_and_done_once_it_may_be(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, is_killed: bool
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        person, scene = Person(line, mixpanel), line.scene
        topic = scene.settings.topics.dead_letter_rejected(ANALYTICS)
        allow(scene, topic, False)
        person.park(12)
        person.dlq("purge", ANALYTICS, "--execute", "--reason", "personal data")
        scene.wait_until(lambda: scene.accounts.state_views()[ANALYTICS].deletion is not None, "it to be told")
        cursors = purged(scene)
        assert sum(cursors.values()) > 0
        assert set(earliest(scene, topic).values()) == {0}
        if is_killed:
            line.processes[ANALYTICS].kill()
        allow(scene, topic, True)
        if is_killed:
            line.processes[ANALYTICS].start()
        scene.wait_until(
            lambda: all(earliest(scene, topic)[number] >= offset for number, offset in cursors.items()),
            "the bytes to be deleted",
        )
        scene.wait_until(lambda: scene.accounts.state_views()[ANALYTICS].deletion is None, "it to be taken back")
        assert person.adds_up()
