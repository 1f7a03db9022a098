"""Processes of one role beside each other: unnamed ones share a host, and of two with one name the older one leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.cli.errors import ExitCode
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, staged
from tests.pipeline.line import ANALYTICS, mixpanel_connector
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]
ROUTER, SINK = ("router",), ("sink", ANALYTICS)


def write(scene: Scene, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers})
    for number, value in enumerate(values):
        producer.produce(topic, value, b"user-%d" % (number % 9))
    assert producer.flush(60) == 0


def test_unnamed_processes_of_one_role_live_side_by_side_on_one_host(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        topic = scene.source_prefix + OPEN
        scene.administration.create_topic(topic, 4, 1, {})
        processes = [scene.process(*ROUTER, instance="", log=f"router-{number}") for number in range(2)]
        processes += [scene.process(*SINK, instance="", log=f"sink-{number}") for number in range(3)]
        for written in (100, 200, 300):
            write(scene, topic, [event(f"event-{written + number}") for number in range(100)])
            scene.wait_until(lambda: scene.account(ANALYTICS).delivered == written, "everything to be delivered")  # noqa: B023 - called at once
        scene.wait_until(lambda: all(process.has_partitions() for process in processes), "all to be members")
        assert [process.exit_code for process in processes] == [None] * 5
        assert [process.terminate() for process in processes] == [0] * 5


@pytest.mark.parametrize("role", [ROUTER, SINK], ids=["router", "sink"])
def test_of_two_processes_with_one_name_the_older_says_so_in_a_sentence_and_leaves_with_a_code_of_its_own(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, role: tuple[str, ...]
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        source = scene.source_prefix + OPEN
        scene.administration.create_topic(source, 8, 1, {})
        topic = source if role == ROUTER else scene.settings.topics.connector(ANALYTICS)
        older = scene.process(*role, instance="same", log="older")
        scene.wait_until(older.has_partitions, "the first to work")
        newer = scene.process(*role, instance="same", log="newer")
        scene.wait_until(newer.has_partitions, "the second to work")

        def is_over() -> bool:
            write(scene, topic, [b"no event"] * 20)  # each is parked, in a transaction
            return older.exit_code is not None

        scene.wait_until(is_over, "the older one to leave")
        said = older.log.read_text()
        assert "another process took this one's place" in said.splitlines()[-1], said
        assert "STREAMS_INSTANCE" in said.splitlines()[-1]
        assert "Traceback" not in said
        assert older.exit_code == ExitCode.FENCED
        assert newer.exit_code is None
