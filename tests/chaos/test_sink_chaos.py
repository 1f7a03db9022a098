"""Sinks killed at random while the destination fails in every way: nothing missing, nothing twice, accounts exact."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Producer

from streams.emulators.mparticle.options import Limits, MParticleOptions
from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import EmulatorClient, MixpanelEmulator, MParticleEmulator
from tests.chaos.scene import Scene, staged

TYPES = ["users.messages.email.Open", "users.messages.pushnotification.Open", "users.canvas.Entry"]
EVENTS = 6_000
KILLS = 6
CONNECTOR = "target"
SENT_AT = 1_790_000_000
AHEAD_SECONDS = 10 * 365 * 86_400


def write(scene: Scene, random: Random, *, refusable: bool) -> tuple[set[str], set[str]]:
    """Put events on the Currents topics; gives the ids that can be delivered, and those that are refused by name."""
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers, "partitioner": "murmur2_random"})
    good, bad = set[str](), set[str]()
    for number in range(EVENTS):
        event_type = TYPES[number % len(TYPES)]
        schema = shipped().by_event_type(event_type)
        assert schema is not None
        record = sample_record(event_type, random, SENT_AT)
        record["id"] = str(UUID(int=random.getrandbits(128), version=4))
        record["external_user_id"] = f"user-{random.randrange(40)}"
        is_bad = refusable and random.random() < 0.01
        if is_bad:
            record["time"] += AHEAD_SECONDS
        (bad if is_bad else good).add(record["id"])
        producer.produce(
            scene.source_prefix + event_type, encode_single_object(schema, record), record["external_user_id"].encode()
        )
        producer.poll(0)
    assert producer.flush(60) == 0
    return good, bad


def break_something(client: EmulatorClient, random: Random) -> None:
    """One fault of the kinds that a destination shows, for a few requests."""
    count = random.randint(1, 3)
    when = random.choice(["before", "after"])
    faults: list[Callable[[], None]] = [
        lambda: client.fail(status=503, count=count, when=when),
        lambda: client.fail(status=500, body="oops", count=count, when=when),
        lambda: client.fail(status=429, headers={"Retry-After": "1"}, count=count),
        lambda: client.fail(reset=True, count=count, when=when),
        lambda: client.fail(truncate=10, count=1, when="after"),
        lambda: client.fail(delay=0.5, count=count, when="after"),
    ]
    random.choice(faults)()


def run(scene: Scene, client: EmulatorClient, sinks: int, seed: int, expected: int) -> None:
    """Route everything, and kill sinks at random while the destination fails at random."""
    random = Random(seed)
    scene.process("router", instance="router")
    processes = [scene.process("sink", CONNECTOR, instance=f"sink-{number}") for number in range(sinks)]

    def settled() -> int:
        account = scene.account(CONNECTOR)
        return account.delivered + sum(account.parked.values())

    def has_moved(before: int) -> bool:
        return settled() > before or settled() == expected

    for kill in range(KILLS):
        before = settled()
        break_something(client, random)
        scene.wait_until(partial(has_moved, before), f"deliveries before kill {kill}")
        time.sleep(random.uniform(0.0, 0.3))  # the moment of death is the randomness that is tested
        victim = random.choice(processes)
        victim.kill()
        victim.start()
    client.clear_faults()
    scene.wait_until(lambda: settled() >= expected, "everything to be settled")
    scene.wait_until(lambda: all(process.has_partitions() for process in processes), "the last one killed to be back")
    assert [process.terminate() for process in processes] == [0] * sinks, scene.logs()


def check_account(scene: Scene, delivered: int, parked: int) -> None:
    account = scene.account(CONNECTOR)
    assert (account.routed, account.delivered, dict(account.parked), account.waiting) == (
        delivered + parked,
        delivered,
        {"rejected": parked} if parked else {},
        0,
    )


def on_stage(kafka: Broker, folder: Path, connector: dict[str, Any], act: Callable[[Scene], None]) -> None:
    with staged(kafka.bootstrap_servers, folder, {CONNECTOR: {"events": TYPES, **connector}}) as scene:
        for event_type in TYPES:
            scene.administration.create_topic(scene.source_prefix + event_type, 3, 1, {})
        act(scene)


def printed_seed() -> int:
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"SEED={seed}")
    return seed


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.parametrize("sinks", [1, 3])
def test_mixpanel_gets_each_event_once_after_deduplication_and_refusals_are_parked_once(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator, sinks: int
) -> None:
    seed = printed_seed()

    def act(scene: Scene) -> None:
        good, bad = write(scene, Random(seed), refusable=True)
        run(scene, mixpanel, sinks, seed, EVENTS)
        ids = [row["properties"]["$insert_id"] for row in mixpanel.unique()]
        assert len(ids) == len(set(ids))
        assert set(ids) == good
        letters = scene.read(scene.settings.topics.dead_letter_rejected(CONNECTOR))
        assert len(letters) == len(bad)
        assert {letter.header("streams-cause") for letter in letters} == {b"rejected"}
        check_account(scene, len(good), len(bad))

    connector = {"destination": "mixpanel", "base_url": mixpanel.base_url, "project_token": mixpanel.project_token}
    on_stage(kafka, tmp_path, connector, act)


@pytest.mark.chaos
@pytest.mark.apache
def test_mparticle_stores_each_event_once_by_its_own_deduplication(kafka: Broker, tmp_path: Path) -> None:
    seed = printed_seed()
    mparticle = MParticleEmulator(MParticleOptions(limits=Limits(batches_per_second=5_000)))

    def act(scene: Scene) -> None:
        good, _ = write(scene, Random(seed), refusable=False)
        run(scene, mparticle, 2, seed, EVENTS)
        ids = [batch["source_request_id"] for batch in mparticle.unique()]
        assert len(ids) == len(set(ids))
        assert set(ids) == good
        check_account(scene, len(good), 0)

    feeds = {feed: {"key": one.key, "secret": one.secret} for feed, one in mparticle.feeds.items()}
    with mparticle:
        connector = {"destination": "mparticle", "base_url": mparticle.base_url, "feeds": feeds, "rate": 2_000}
        on_stage(kafka, tmp_path, connector, act)
