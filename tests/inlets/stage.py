"""A bucket in a folder, a process that takes from it, and what a read_committed reader sees."""

from __future__ import annotations

import io
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.testing.processes import Child
from tests.chaos.scene import read_to_end
from tests.cli.files import OPEN_SCHEMA
from tests.topics import claim
from tests.waiting import PATIENCE_SECONDS, wait_until

EVENT_TYPE = "users.messages.email.Open"


STARTED = datetime.now(UTC)
"""Keys lie in the hour of this moment: a test that names a file twice means one file, though an hour ends between."""


def key(name: str, *, back: int = 0, version: int = 3, event_type: str = EVENT_TYPE, moment: datetime = STARTED) -> str:
    """A key as Braze makes them, so many hours back."""
    export = "dataexport.prod-01.S3.integration.5f"
    hour = (moment - timedelta(hours=back)).strftime("%Y-%m-%d-%H")
    return f"{export}/event_type={event_type}/date={hour}/version={version}/prod/{name}"


class Inlet:
    """One inlet named `bucket`, with names of this test's own on a broker."""

    def __init__(self, bootstrap_servers: str, folder: Path, url: str = "", options: str = "{}", **more: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.folder = folder
        self.bucket = folder / "bucket"
        self.bucket.mkdir()
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        claim(bootstrap_servers, self.prefix[:-1])
        self.config = folder / "streams.yaml"
        lines = "".join(
            f"\n    {name}: {value}" for name, value in {"poll": "5s", "damaged_after": "30s", **more}.items()
        )
        self.config.write_text(
            f"""
kafka: {{bootstrap_servers: "{bootstrap_servers}", topic_prefix: {self.prefix}, topics: {{partitions: 3}}}}
source: {{topics: ["^{self.prefix[:-1]}-source"], topic_prefix: {self.prefix[:-1]}-source.}}
inlets:
  bucket:
    kind: storage
    url: {url or f"file://{self.bucket}"}
    options: {options}
    scratch: {folder / "scratch"}{lines}
connectors:
  one: {{destination: mixpanel, project_token: "{"0" * 32}"}}
"""
        )
        self.children: list[Child] = []

    @property
    def topic(self) -> str:
        return f"{self.prefix[:-1]}-source.{EVENT_TYPE}"

    def start(self, instance: str = "one") -> Child:
        """A process; it ends with the test."""
        log = self.folder / f"{instance}-{len(self.children)}.log"
        command = [sys.executable, "-m", "streams", "run", "ingest", "--config", str(self.config)]
        child = Child(command, log, {"STREAMS_INSTANCE": instance})
        self.children.append(child)
        return child

    def stop(self) -> None:
        for child in self.children:
            child.kill()

    def ids(self) -> list[str]:
        """Ids of the records that a read_committed reader sees."""
        return [record_id(value) for value in self.values(self.topic).values()]

    def await_records(self, count: int, seconds_max: float = PATIENCE_SECONDS) -> list[str]:
        """Wait for so many records; returns their ids."""
        wait_until(
            lambda: len(self.ids()) >= count, f"{count} records on {self.topic}: {self.last_lines()}", seconds_max
        )
        return self.ids()

    def last_lines(self) -> str:
        return "\n".join(child.last_lines(5) for child in self.children[-2:])

    def progress(self) -> dict[str, Any]:
        """Objects of all hours, by their file's name."""
        latest = {key: value for (_, _, key), value in self.values(f"{self.prefix}inlets", keyed=True).items()}
        found: dict[str, Any] = {}
        for name, value in latest.items():
            if name.startswith("taken/") and value:
                found |= {one.rpartition("/")[2]: entry for one, entry in json.loads(value)["objects"].items()}
        return found

    def states(self) -> dict[str, str]:
        """How each object stands, by its file's name."""
        return {name: entry["state"] for name, entry in self.progress().items()}

    def head(self) -> dict[str, Any]:
        """The inlet as a whole, as its topic tells it."""
        latest = {key: value for (_, _, key), value in self.values(f"{self.prefix}inlets", keyed=True).items()}
        return dict(json.loads(latest["inlet/bucket"]))

    def members(self) -> int:
        """Processes that take part in the choice of the active one."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        described = admin.describe_consumer_groups([f"{self.prefix}inlet.bucket"])
        return sum(len(future.result(120).members) for future in described.values())

    def values(self, topic: str, *, keyed: bool = False) -> dict[Any, bytes]:
        """Values by partition and offset, or the latest by key, up to the ends that writers see."""
        if topic not in AdminClient({"bootstrap.servers": self.bootstrap_servers}).list_topics(timeout=60).topics:
            return {}
        try:
            records = read_to_end(self.bootstrap_servers, topic)
        except KafkaException:
            return {}  # it is being made
        named = [((one.key or b"").decode(), one) for one in records]
        places = [((0, 0, name) if keyed else (one.partition, one.offset, name), one) for name, one in named]
        return {place: one.value for place, one in places}  # type: ignore[misc]


def record_id(value: bytes) -> str:
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), OPEN_SCHEMA, None)
    return str(record["id"])
