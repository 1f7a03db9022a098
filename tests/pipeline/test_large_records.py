"""Records that Kafka does not take, by their size, on Apache Kafka: one is parked or passed, and the stream goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.chaos.scene import Scene, staged
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector
from tests.pipeline.test_bad_records import CUSTOM, made

pytestmark = [pytest.mark.apache, pytest.mark.timeout(360)]

TAKEN_BYTES = 1_000_000
"""What the small topics take: less than the Currents topic, as where somebody else made them."""
LARGE = made(CUSTOM, id="large", properties=json.dumps({"a": Random(1).randbytes(700_000).hex()}))
"""1.4 MB, and hardly less when compressed. Mixpanel takes no event over 1 MB."""
COMPRESSIBLE = made(CUSTOM, id="large", properties=json.dumps({"a": "x" * 2_100_000}))


def limit(scene: Scene, topic: str) -> None:
    """Make the topic again, before anybody uses it: a setting that is changed reaches the log of records later."""
    partitions = len(scene.administration.partitions(topic))
    admin = AdminClient({"bootstrap.servers": scene.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    scene.wait_until(lambda: topic not in scene.administration.topic_names(), "the topic to be gone")
    scene.administration.create_topic(topic, partitions, 1, {"max.message.bytes": str(TAKEN_BYTES)})


def write(scene: Scene, *values: bytes) -> None:
    options = {"message.max.bytes": 10_000_000, "compression.type": "zstd"}
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers, **options})
    for value in values:
        producer.produce(scene.source_prefix + CUSTOM, value, b"user", partition=0)
        assert producer.flush(60) == 0


def letters(scene: Scene, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    return [(letter.header("streams-cause"), letter.value) for letter in scene.read(topic)]


def passed(scene: Scene) -> list[Mapping[str, Any]]:
    lines = [json.loads(record.value or b"{}") for record in scene.read(scene.settings.topics.audit)]
    return [line for line in lines if line["what"] == "records passed that Kafka does not take"]


@pytest.mark.parametrize(
    "small", ["none", "the connector's", "the connector's and the source's letters", "the rejected letters"]
)
def test_a_large_record_stops_neither_the_router_nor_a_sink(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, small: str
) -> None:
    with staged(kafka.bootstrap_servers, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}) as scene:
        topics = scene.settings.topics
        of_source, of_rejected = topics.dead_letter_source, topics.dead_letter_rejected(ANALYTICS)
        if small.startswith("the connector's"):
            limit(scene, topics.connector(ANALYTICS))
        if small.endswith("source's letters"):
            limit(scene, of_source)
        if small == "the rejected letters":
            limit(scene, of_rejected)
        scene.administration.create_topic(scene.source_prefix + CUSTOM, 1, 1, {"max.message.bytes": "5000000"})
        line = Line(scene)
        large = COMPRESSIBLE if small == "none" else LARGE
        write(scene, made(CUSTOM, id="before"), large, made(CUSTOM, id="behind-1"), made(CUSTOM, id="behind-2"))
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 3, "the small ones to be delivered")
        line.written = 4
        line.settle()
        account, router = scene.account(ANALYTICS), scene.router_counts()
        assert (account.delivered, account.lost) == (3, 0)
        match small:
            case "none":
                assert letters(scene, of_rejected) == [(b"rejected", COMPRESSIBLE)]
                assert (account.routed, dict(account.parked)) == (4, {"rejected": 1})
            case "the connector's":
                assert letters(scene, of_source) == [(b"refused", LARGE)]
                assert (account.routed, router.undecodable, router.skipped) == (3, 1, {})
            case "the connector's and the source's letters":
                assert letters(scene, of_source) == []
                assert (account.routed, router.undecodable, router.skipped) == (3, 0, {"refused_by_kafka": 1})
                assert [one["records"] for one in passed(scene)] == [[f"{scene.source_prefix}{CUSTOM}/0/1"]]
            case _:
                assert letters(scene, of_rejected) == []
                assert (account.routed, dict(account.skipped)) == (4, {"refused_by_kafka": 1})
                assert [one["records"] for one in passed(scene)] == [[f"{scene.source_prefix}{CUSTOM}/0/1"]]
        assert all(process.is_running() for process in line.processes.values())
