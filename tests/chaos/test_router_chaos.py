"""Routers killed at random under load: each wanted event once, in order per key, bytes untouched, counts exact."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from tests.chaos.scene import Read, Scene, staged

OPEN = "users.messages.email.Open"
CUSTOM = "users.behaviors.CustomEvent"
ENTRY = "users.canvas.Entry"
UNSELECTED = "users.messages.email.Click"
UNMAPPED = "users.UserOrphan"
CONNECTORS = {
    "analytics": {
        "destination": "mixpanel",
        "base_url": "http://127.0.0.1:1",
        "project_token": "0123456789abcdef0123456789abcdef",
        "events": [OPEN, CUSTOM],
    },
    "cdp": {
        "destination": "mparticle",
        "base_url": "http://127.0.0.1:1",
        "environment": "development",
        "feeds": {"unbound": {"key": "key", "secret": "secret"}},
        "events": [OPEN, ENTRY],
    },
}
WANTED = {"analytics": {OPEN, CUSTOM}, "cdp": {OPEN, ENTRY}}
EVENTS = 12_000
KILLS = 10
KEYS = 50


@dataclass
class Sent:
    """What a test put on the Currents topics, by topic/partition/offset, and what should become of it."""

    by_origin: dict[str, tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = field(
        default_factory=dict
    )
    lock: threading.Lock = field(default_factory=threading.Lock)


def send(scene: Scene, sent: Sent, random: Random, events: int, stop: threading.Event) -> None:
    """Events of five types, some without a user, some that nothing can decode, at about 1,500 a second."""
    producer = Producer({"bootstrap.servers": scene.bootstrap_servers, "linger.ms": 5, "partitioner": "murmur2_random"})
    book = shipped()
    for number in range(events):
        event_type = random.choice([OPEN, OPEN, CUSTOM, ENTRY, UNSELECTED, UNMAPPED])
        schema = book.by_event_type(event_type)
        assert schema is not None
        record = sample_record(event_type, random, 1_790_000_000)
        record["external_user_id"] = f"user-{random.randrange(KEYS)}"
        kind, key = event_type, record["external_user_id"].encode()
        if random.random() < 0.03:
            record["external_user_id"], kind = random.choice([None, "", "  "]), f"anonymous {event_type}"
        value: bytes | None = encode_single_object(schema, record)
        if random.random() < 0.01:
            value, kind = random.choice([None, b"", b"junk", b"\xc3\x01short", b"{}"]), "undecodable"
        headers = (("source", b"test"), ("number", b"%d" % number))

        def delivered(error: object, message: object, what=(kind, key, value, headers)) -> None:  # type: ignore[no-untyped-def]
            assert error is None
            with sent.lock:
                sent.by_origin[f"{message.topic()}/{message.partition()}/{message.offset()}"] = what  # type: ignore[attr-defined]

        producer.produce(scene.source_prefix + event_type, value, key, headers=list(headers), on_delivery=delivered)
        producer.poll(0)
        if number % 150 == 149 and stop.wait(0.1):
            break
    producer.flush(60)


def check(scene: Scene, sent: Sent) -> None:
    """Compare the connectors' topics, the source dead letters and the account with what was sent."""
    counts = scene.router_counts()
    for connector, types in WANTED.items():
        expected = {origin: what for origin, what in sent.by_origin.items() if what[0] in types}
        routed = scene.read(scene.settings.topics.connector(connector))
        origins = [(record.header("streams-origin") or b"").decode() for record in routed]
        assert len(origins) == len(set(origins)), f"{connector}: {len(origins) - len(set(origins))} routed twice"
        assert set(origins) == set(expected), f"{connector}: {len(set(expected) - set(origins))} missing"
        for origin, record in zip(origins, routed, strict=True):
            _, key, value, headers = expected[origin]
            assert (record.key, record.value) == (key, value)
            assert record.headers == (*headers, ("streams-origin", origin.encode()))
        check_order(routed)
        assert counts.routed[connector] == len(expected)
    kinds = [what[0] for what in sent.by_origin.values()]
    letters = scene.read(scene.settings.topics.dead_letter_source)
    assert len(letters) == counts.undecodable == kinds.count("undecodable")
    assert counts.read == len(kinds)
    anonymous = {f"anonymous {event_type}" for types in WANTED.values() for event_type in types}
    assert counts.skipped == {
        "no_mapping": sum(kind.endswith(UNMAPPED) for kind in kinds),
        "not_selected": sum(kind.endswith(UNSELECTED) for kind in kinds),
        "no_external_user_id": sum(kind in anonymous for kind in kinds),
    }


def check_order(routed: list[Read]) -> None:
    """Within a Currents topic, the records of one key keep their order."""
    last: dict[tuple[bytes | None, bytes], int] = {}
    for record in routed:
        topic, _, offset = (record.header("streams-origin") or b"").rsplit(b"/", 2)
        place = (record.key, topic)
        assert last.get(place, -1) < int(offset), f"key out of order in {topic!r}"
        last[place] = int(offset)


@pytest.mark.chaos
@pytest.mark.apache
@pytest.mark.parametrize("routers", [1, 2, 3])
def test_routers_killed_at_random_route_each_event_once_and_in_order(
    kafka: Broker, tmp_path: Path, routers: int
) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"SEED={seed}")
    random = Random(seed)
    with staged(kafka.bootstrap_servers, tmp_path, CONNECTORS) as scene:
        for event_type in (OPEN, CUSTOM, ENTRY, UNSELECTED, UNMAPPED):
            scene.administration.create_topic(scene.source_prefix + event_type, 3, 1, {})
        sent, stop = Sent(), threading.Event()
        sender = threading.Thread(target=send, args=(scene, sent, Random(seed), EVENTS, stop))
        sender.start()
        processes = [scene.process("router", instance=f"router-{number}") for number in range(routers)]
        try:
            for kill in range(KILLS):
                before = scene.router_counts().read
                scene.wait_until(
                    lambda before=before: scene.router_counts().read > before or not sender.is_alive(),  # type: ignore[misc]
                    f"routing to go on before kill {kill}",
                )
                time.sleep(random.uniform(0.0, 0.4))  # the moment of death is the randomness that is tested
                victim = random.choice(processes)
                victim.kill()
                victim.start()
        finally:
            stop.set() if not sender.is_alive() else None
            sender.join()
        scene.wait_until(lambda: scene.router_counts().read >= len(sent.by_origin), "everything to be routed")
        check(scene, sent)
        scene.wait_until(lambda: all(process.has_partitions() for process in processes), "the killed ones to be back")
        assert [process.terminate() for process in processes] == [0] * routers
        check(scene, sent)
