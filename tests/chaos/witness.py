"""A reader of all our topics that remembers what it read: letters are deleted while a run goes on."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.chaos.scene import Read

CATCH_UP_SECONDS_MAX = 120.0
FIRST_OFFSET = 0


class Witness:
    """Reads as committed, on a thread of its own, from the topics' beginnings until it is closed."""

    def __init__(self, bootstrap_servers: str, topics: Mapping[str, int]) -> None:
        """`topics` with how many partitions each has."""
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": f"witness-{uuid4().hex}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                # Settled letters are deleted within seconds: to see them, one must read at once.
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 250,
                "log_level": 0,
            }
        )
        places = [
            # Not the beginning: that is a question, which a broker of a cluster may answer before it knows the topic.
            TopicPartition(topic, number, FIRST_OFFSET)
            for topic, many in topics.items()
            for number in range(many)
        ]
        self._consumer.assign(places)
        self._records: dict[str, list[Read]] = defaultdict(list)
        self._reached: dict[tuple[str, int], int] = defaultdict(int)
        self._failure = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)
        self._thread.start()

    def read(self, topic: str) -> Sequence[Read]:
        """What was read of a topic so far, per partition in offset order."""
        with self._lock:
            return list(self._records[topic])

    def catch_up(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Wait until everything before these offsets was read."""
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        while behind := {place: end for place, end in ends.items() if self._reached[place] < end}:
            assert not self._failure, self._failure
            assert time.monotonic() < deadline, f"the witness is behind: {behind}, at {dict(self._reached)}"
            time.sleep(0.05)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10.0)
        self._consumer.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(1_000, 0.1):
                self._take(message)

    def _take(self, message: Any) -> None:
        error = message.error()
        place = (message.topic(), message.partition())
        if error is None:
            record = Read(*place[1:], message.offset(), message.key(), message.value(), tuple(message.headers() or ()))
            with self._lock:
                self._records[place[0]].append(record)
            self._reached[place] = message.offset() + 1
        elif error.code() == KafkaError._PARTITION_EOF:
            self._reached[place] = max(self._reached[place], message.offset())
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._failure = f"{place} was deleted before the witness had read it: {error}"
