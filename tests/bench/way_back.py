"""What the way back costs: events on a connector's topic, and a sink's memory of a million users, filled from Kafka."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import orjson
from confluent_kafka import Producer

from streams.adapters.clock import SystemClock
from streams.adapters.kafka.sent import SentTopic
from streams.adapters.memories import KafkaMemories
from streams.wayback.memory import Sent, Standing, UserMemory
from streams.wayback.records import Event, encode
from tests.bench.measurement import peak_mib

USERS = 10_000
"""Who did the events."""


def events(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of events with five properties each, as a receiver writes them."""
    random, now_ms = Random(1), int(time.time() * 1000)
    for number in range(count):
        user = f"user-{random.randrange(USERS):08}"
        properties = {
            "product": f"product {random.randrange(1_000)}",
            "category": "shoes",
            "price": random.randrange(10_000) / 100,
            "is_member": bool(number % 2),
            "position": number % 40,
        }
        event = Event(
            id=f"{number:016x}-{random.getrandbits(64):016x}",
            entry="data",
            external_user_id=user,
            time_ms=now_ms,
            received_ms=now_ms,
            name="Product Viewed",
            properties=orjson.dumps(properties).decode(),
            platform="web",
        )
        yield user.encode(), encode(event)


def fill_memory(bootstrap_servers: str, topic: str, users: int) -> None:
    """Write a row of each user to the first partition: two attributes, one cohort."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "compression.type": "lz4", "linger.ms": 20})
    random, now_s = Random(1), int(time.time())
    for number in range(users):
        standing = Standing(True, "Frequent buyers", number, number, now_s)
        hashes = {name: Sent(f"{random.getrandbits(64):016x}", number) for name in ("first_name", "country")}
        row = UserMemory(hashes, {"cohorts/1234567": standing}).to_bytes()
        while True:
            try:
                producer.produce(topic, row, b"user/%032x" % random.getrandbits(128), 0)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(300)


def rebuild(bootstrap_servers: str, topic: str) -> None:
    """Fill a memory from its topic in an empty folder, and print what it took as one line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        sent = SentTopic({"bootstrap.servers": bootstrap_servers}, topic, "streams-bench")
        started = time.process_time(), time.monotonic()
        memory = KafkaMemories(sent, Path(folder), SystemClock()).open(0, lambda: None)
        cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
        rows, size = memory.rows(), memory.bytes()
        memory.close()
    print(json.dumps({"cpu_seconds": cpu, "wall_seconds": wall, "rss_mib": peak_mib(), "rows": rows, "bytes": size}))


if __name__ == "__main__":
    rebuild(*sys.argv[1:])
