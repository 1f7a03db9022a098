"""A connector that left the configuration: its counts leave the router's commits, and are there when it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.delivery.account import RouterCounts
from streams.delivery.metadata import KAFKA_METADATA_BYTES_MAX
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, WorkerProcess, staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector
from tests.pipeline.test_answers import OPEN
from tests.pipeline.test_topic_made_again import commit_again, write

pytestmark = [pytest.mark.apache, pytest.mark.timeout(300)]

GONE = "gone"


def configure(scene: Scene, connectors: dict[str, Any]) -> None:
    content = yaml.safe_load(scene.config.read_text())
    scene.config.write_text(yaml.safe_dump({**content, "connectors": connectors}))


def committed(scene: Scene) -> RouterCounts:
    counts = RouterCounts()
    for commit in scene.accounts.router_commits().values():
        counts.add(RouterCounts.from_metadata(commit.metadata))
    return counts


def is_taken_over(scene: Scene) -> bool:
    return any(handed.total for handed in scene.accounts.state_views()["source"].handed_over.values())


def restart(router: WorkerProcess) -> None:
    router.kill()
    router.start()


def test_counts_of_a_retired_connector_leave_the_commits_and_are_there_when_it_comes_back(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    stays, gone = mixpanel_connector(mixpanel), mixpanel_connector(mixpanel)
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: stays, GONE: gone}) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 2, 1, {})
        router = scene.process("router", instance="router")
        write(scene, topic, 0, 10)
        scene.wait_until(lambda: scene.account(GONE).routed == 10, "the first ten")

        configure(scene, {ANALYTICS: stays})
        restart(router)
        write(scene, topic, 10, 15)
        scene.wait_until(lambda: scene.account(ANALYTICS).routed == 15, "the next five")
        scene.wait_until(lambda: is_taken_over(scene), "the keeper to take the counts over")
        assert scene.account(GONE).routed == 10, "they are in both places, and count once"
        restart(router)
        scene.wait_until(lambda: committed(scene).routed_to(GONE) == 0, "the router to give them away")
        restart(router)
        assert scene.account(GONE).routed == 10
        assert scene.account(ANALYTICS).routed == 15

        configure(scene, {ANALYTICS: stays, GONE: gone})
        restart(router)
        write(scene, topic, 15, 18)
        scene.wait_until(lambda: scene.account(GONE).routed == 13, "the next three to be routed to it")
        assert scene.account(ANALYTICS).routed == 18
        assert scene.router_counts().named([ANALYTICS, GONE]).routed == {ANALYTICS: 18, GONE: 13}
        assert scene.verify(GONE).problems == ()


def test_two_hundred_connectors_that_are_renamed_at_once_stop_nothing_and_keep_their_counts(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    """Counts of the old and of the new ones do not fit into one commit."""
    old = {f"before-{number:03d}": 10**9 + number for number in range(290)}
    connectors = {name: mixpanel_connector(mixpanel) for name in ("after-1", "after-2", "after-3")}
    with staged(kafka.bootstrap_servers, tmp_path, connectors) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 2, 1, {})
        counts = RouterCounts(read=3 * 10**11, routed=dict(old)).to_metadata()
        assert len(counts) <= KAFKA_METADATA_BYTES_MAX
        full = {(topic, number): (0, counts) for number in range(2)}
        commit_again(scene, scene.settings.groups.router, full)
        write(scene, topic, 0, 10, 2)
        router = scene.process("router", instance="router")
        scene.wait_until(lambda: scene.account("after-1").routed == 10, "the records to be routed")
        kept = scene.router_counts().named([*old, *connectors]).routed
        assert kept == {**{name: 2 * count for name, count in old.items()}, **dict.fromkeys(connectors, 10)}
        said = router.log.read_text()
        assert "waiting for the keeper" in said
        assert "transaction aborted" not in said
