"""Commits that Kafka forgot, as it does 7 days after a group's last member left, and records that retention deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams.cli.assembly.installation import connect
from streams.operations.keeper_accounts import KeeperAccounts
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]


def write(line: Line, first: int, end: int) -> None:
    for number in range(first, end):
        line.write(OPEN, event(f"event-{number}"), key=f"user-{number % 9}".encode())


def copied(scene: Scene) -> int:
    """Records that the keeper's copy of the commits counts as delivered."""
    copies = scene.accounts.state_views()[ANALYTICS].copies.values()
    return sum(json.loads(metadata)["delivered"] for copy in copies for _, metadata in copy.partitions.values())


def test_a_sink_whose_group_was_forgotten_goes_on_at_the_copy_and_delivers_nothing_twice(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        scene, sink = line.scene, line.processes[ANALYTICS]
        write(line, 0, 200)
        line.settle()
        scene.wait_until(lambda: copied(scene) == 200, "the keeper to copy the commits")
        assert sink.terminate() == 0
        group = scene.settings.groups.sink(ANALYTICS)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        admin.delete_consumer_groups([group])[group].result(60)
        sink.start()
        write(line, 200, 300)
        line.flush()
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 300, "the rest to be delivered")
        assert scene.account(ANALYTICS).waiting == 0
        assert len(mixpanel.rows()) == 300
        lines = [json.loads(record.value or b"{}") for record in scene.read(scene.settings.topics.audit)]
        assert [one["what"] for one in lines if one["who"] == f"sink {ANALYTICS}"].count("started at a copy") == 1


def test_what_retention_took_from_a_connectors_topic_is_counted_lost_to_the_record(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as line:
        scene, sink = line.scene, line.processes[ANALYTICS]
        write(line, 0, 50)
        line.settle()
        assert sink.terminate() == 0
        for begin in range(50, 450, 40):  # in many transactions, whose markers take offsets too
            write(line, begin, begin + 40)
            line.flush()
            scene.wait_until(lambda: scene.router_counts().read >= line.written, "everything to be routed")
        topic = scene.settings.topics.connector(ANALYTICS)
        there = scene.read(topic)
        cut = {number: sorted(one.offset for one in there if one.partition == number)[-20:][0] for number in range(4)}
        gone = sum(one.offset < cut[one.partition] for one in there) - 50
        assert gone > 0
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        for future in admin.delete_records([TopicPartition(topic, *place) for place in cut.items()]).values():
            future.result(60)
        accounts = KeeperAccounts(lambda: connect(scene.settings, "streams-test"), ANALYTICS)
        assert accounts.excess() is None, "what was deleted and not passed may be under way, or be lost"
        sink.start()

        def is_exact() -> bool:
            account = scene.account(ANALYTICS)
            return (account.lost, account.waiting) == (gone, 0)

        scene.wait_until(is_exact, f"{gone} to be counted as lost")
        assert scene.account(ANALYTICS).delivered == 450 - gone
        scene.wait_until(lambda: accounts.excess() == 0, "the topic to hold what the account says")
        accounts.close()
        assert scene.verify(ANALYTICS).problems == ()
