"""The topic of a connector to Braze is deleted and made again, on Apache Kafka. Its offsets begin at 0 again; what is
remembered of the topic that is gone is older than all of the new one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from streams.delivery.account import SinkCounts
from streams.testing.brokers import Broker
from streams.testing.emulators import BrazeEmulator
from tests.chaos.test_braze_sink_chaos import (
    NAME,
    PARTITIONS,
    BackScene,
    member,
    members,
    page_end,
    plan,
    plans,
)

pytestmark = [pytest.mark.kafka, pytest.mark.apache]


@pytest.fixture
def scene(kafka: Broker, tmp_path: Path) -> Iterator[BackScene]:
    with BrazeEmulator() as braze:
        scene = BackScene(kafka, tmp_path, braze)
        try:
            scene.administration.create_topic(scene.topic, PARTITIONS, 1, {})
            yield scene
        finally:
            scene.end()


def make_again(scene: BackScene, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    scene.wait_until(lambda: topic not in scene.administration.topic_names(), "the topic to be gone")
    scene.administration.create_topic(topic, PARTITIONS, 1, {})


def copied(scene: BackScene) -> int:
    """How many records the keeper's copy of the commits tells as settled."""
    copy = scene.accounts.state_views()[NAME].copies.get(scene.topic)
    counts = [SinkCounts.from_metadata(metadata) for _, metadata in copy.partitions.values()] if copy else []
    return sum(one.delivered + sum(one.skipped.values()) + sum(one.parked.values()) for one in counts)


@pytest.mark.parametrize("is_away", [True, False], ids=["while the sink is away", "while it runs"])
def test_words_of_a_topic_that_was_made_again_are_newer_than_all_that_is_remembered(
    scene: BackScene, is_away: bool
) -> None:
    sink = scene.sink()
    scene.write(0, *(plan("ann", number) for number in range(40)))
    scene.write(0, member("ann", "first"), member("eve", "first"), page_end("first"))
    scene.write(0, member("bob", "open", 2))
    scene.await_all(44)
    if is_away:
        scene.wait_until(lambda: copied(scene) == 46, "the keeper to copy the commits")
        assert sink.terminate() == 0
    make_again(scene, scene.topic)
    if is_away:
        sink.start()
    else:
        scene.wait_until(lambda: "read from its beginning" in sink.log.read_text(), "the sink to see another topic")
    scene.write(0, plan("ann", 39), plan("ann", 100))
    scene.write(0, replace(member("ann", ""), change="remove", session=None, page=None, request=None))
    scene.await_all(47)
    scene.write(0, member("eve", "second"), member("kim", "second"), page_end("second"))
    counts = scene.await_all(50)
    assert plans(scene.braze, "ann")[-1] == 100
    assert members(scene.braze) == {"eve", "kim"}
    assert "stale" not in counts.skipped
    assert counts.tallies["sessions_dropped"] == 1


def test_a_topic_of_what_is_remembered_that_is_made_again_forgets_and_nothing_else(scene: BackScene) -> None:
    sink = scene.sink()
    scene.write(0, plan("ann", 1))
    scene.await_all(1)
    assert sink.terminate() == 0
    make_again(scene, scene.settings.topics.sent(NAME))
    sink.start()
    scene.write(0, plan("ann", 1), plan("ann", 2))
    scene.await_all(3)
    assert plans(scene.braze, "ann")[-1] == 2
