"""An installation with dead letters, and the command line on it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.adapters.kafka.admin import Administration
from streams.config import Settings, load, topology
from streams.delivery.letter import Origin, Reason, letter_headers, returned_headers
from streams.events.samples import sample_events
from streams.state.records import Record
from streams.state.settled import SettledLetters
from tests.topics import claim, make_topics
from tests.waiting import wait_until

OPEN = "users.messages.email.Open"
SETTINGS: Mapping[str, Any] = {"destination": "mixpanel", "project_token": "0" * 32}
COMMAND_SECONDS_MAX = 240


@dataclass(frozen=True, slots=True)
class Parked:
    """A letter that was written: its place, and the event in it."""

    partition: int
    offset: int
    event_id: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Desk:
    """Topics of its own, written to as sinks and keepers would."""

    def __init__(
        self,
        bootstrap_servers: str,
        folder: Path,
        connectors: Mapping[str, Any] | None = None,
        partitions: int = 2,
        **sections: Any,
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.source_prefix = f"currents-{self.prefix}"
        claim(bootstrap_servers, self.prefix, self.source_prefix)
        self.config = folder / f"{self.prefix}yaml"
        content = {
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "topic_prefix": self.prefix,
                "topics": {"partitions": partitions},
            },
            "source": {"topics": [f"^{self.source_prefix}.+"], "topic_prefix": self.source_prefix},
            "connectors": dict(connectors or {"growth": SETTINGS}),
            **sections,
        }
        self.config.write_text(yaml.safe_dump(content))
        self.settings: Settings = load(self.config)
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers})
        administration = Administration(self.settings.kafka.client_config("desk"))
        for topic in topology.wanted_topics(self.settings, 1):
            administration.create_topic(topic.name, topic.partitions, topic.replication, topic.configuration)

    def create(self, topic: str, partitions: int = 1) -> str:
        make_topics(self.admin, NewTopic(topic, partitions, 1))
        return topic

    def delete(self, topic: str) -> None:
        for future in self.admin.delete_topics([topic]).values():
            future.result(60)
        wait_until(lambda: topic not in self.admin.list_topics(timeout=60).topics, f"{topic} to be gone")

    def streams(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streams", *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)

    def dlq(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.streams("dlq", *arguments)

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        result = self.dlq(*arguments, "--output", "json")
        assert result.returncode == code, result.stderr
        content = json.loads(result.stdout)
        assert content["v"] == 1
        return dict(content)

    def refused(self, *arguments: str, code: int) -> str:
        """What stderr says of a command that ends with this code and prints nothing."""
        result = self.dlq(*arguments)
        assert (result.returncode, result.stdout) == (code, ""), result.stderr
        return result.stderr

    def park(
        self,
        count: int,
        detail: str = "properties.time is bad",
        *,
        connector: str = "growth",
        cause: str = "rejected",
        status: int = 400,
        scope: str = "default",
        event_type: str = OPEN,
        parked_at_ms: int | None = None,
        partition: int = 0,
        seed: int = 1,
        job: str | None = None,
        first_parked_at_ms: int | None = None,
    ) -> list[Parked]:
        """Write letters in one transaction, as a sink does. With `job` they came back from this replay."""
        topics = self.settings.topics
        topic = topics.dead_letter_rejected(connector)
        if cause == "credentials":
            topic = topics.dead_letter_credentials(connector, scope)
        producer = Producer(
            {"bootstrap.servers": self.bootstrap_servers, "transactional.id": f"{self.prefix}{uuid.uuid4().hex}"}
        )
        producer.init_transactions(60)
        producer.begin_transaction()
        written: list[Parked] = []
        now_ms = time.time_ns() // 1_000_000
        events = sample_events(count, seed=seed, now_s=now_ms // 1000, event_types=[event_type])
        for number, event in enumerate(events):
            reason = Reason(
                cause, status, detail, scope, event_type, 1, now_ms if parked_at_ms is None else parked_at_ms + number
            )
            origin = Origin(f"currents.{event_type}", 3, number)
            before: list[tuple[str, bytes | None]] = [
                ("mine", b"ada@example.com"),
                ("streams-origin", origin.to_header()),
                ("mine", None),
            ]
            if job is not None:
                once = replace(reason, parked_at_ms=first_parked_at_ms or reason.parked_at_ms)
                before = returned_headers(letter_headers(before, origin, once), job=job)
            headers = letter_headers(before, origin, reason)

            def note(
                _error: object,
                message: Any,
                event_id: str = str(event.record["id"]),
                headers: Sequence[tuple[str, bytes | None]] = headers,
            ) -> None:
                written.append(
                    Parked(message.partition(), message.offset(), event_id, message.key(), message.value(), headers)
                )

            producer.produce(
                topic,
                event.value,
                event.key,
                partition,
                headers=list[tuple[str, str | bytes | None]](headers),
                on_delivery=note,
            )
        producer.commit_transaction(60)
        # Its markers are written after the commit was answered: until then a read_committed reader sees an end before.
        producer.begin_transaction()
        producer.produce(self.settings.topics.audit, b"{}", b"tests")
        producer.commit_transaction(60)
        assert len(written) == count
        return written

    def write(
        self, topic: str, record_key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        """Write one record, as anybody may."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        producer.produce(topic, value, record_key, 0, headers=list[tuple[str, str | bytes | None]](headers))
        assert producer.flush(60) == 0

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Delete the records of a partition before this offset."""
        for future in self.admin.delete_records([TopicPartition(topic, partition, offset)]).values():
            future.result(60)

    def say(self, records: Mapping[str, Record | None]) -> None:
        """Write records of the state topic, as keepers do."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers})
        for name, record in records.items():
            producer.produce(self.settings.topics.state, None if record is None else record.to_bytes(), name)
        assert producer.flush(60) == 0

    def commit(self, parked: Mapping[str, int], connector: str = "growth") -> None:
        """Commit an account as a sink of the connector does."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap_servers, "group.id": self.settings.groups.sink(connector)}
        )
        account = {"v": 1, "delivered": 0, "skipped": {}, "parked": dict(parked), "lost": 0}
        try:
            place = TopicPartition(self.settings.topics.connector(connector), 0, 1, json.dumps(account))
            consumer.commit(offsets=[place], asynchronous=False)
        finally:
            consumer.close()


def bits(offsets: Sequence[int]) -> str:
    """A settled block, the first one, as keepers write it."""
    return SettledLetters().with_added(offsets)[0]
