"""Where writers' schemas come from, in addition to `avro/` and a registry: folders, and the topic `streams.schemas`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from streams.adapters.kafka.clients import let_go
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import read_to_ends, reader
from streams.events.schema import WriterSchema
from streams.events.schemas import read_folder, schema_files, topic_schema
from streams.ports.errors import SchemasUnavailable
from streams.ports.kafka import Partition

log = structlog.get_logger(__name__)

READ_SECONDS_MAX = 5.0
"""The caller has a transaction open, and Kafka ends it after 10 s."""
LOOK_SECONDS = 0.05
"""A fetch that finds nothing shows the end. A longer wait would use up the time that the resolver has for asking."""
FRESH_SECONDS = 0.2
"""What was read to its end so recently is not read again: a thousand unknown fingerprints would each wait for Kafka."""


class FolderSchemas:
    """Configured folders of `*.avsc`, scanned again when a file came, went or changed.

    A file that cannot be read (half written, a link to nothing) is named once, and hides no other; what a file held
    before stays known.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen: dict[Path, tuple[int, int]] | None = None
        self._said: set[str] = set()
        self._schemas: dict[bytes, WriterSchema] = {}

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if a file holds it."""
        files = {path: _state(path) for folder in self._folders for path in schema_files(folder)}
        if files != self._seen:
            self._seen = files
            self._scan()
        return self._schemas.get(header[2:])

    def _scan(self) -> None:
        problems: set[str] = set()
        for folder in self._folders:
            schemas, faults = read_folder(folder)
            self._schemas |= {schema.fingerprint: schema for schema in schemas}
            problems.update(faults)
        for problem in sorted(problems - self._said):
            log.warning("could not read a schema file", error=problem)
        self._said = problems


def _state(path: Path) -> tuple[int, int]:
    """When it was changed, and its size: a file that is written in two steps may change twice in one tick of the clock.

    Of a link: of what it points to; zeros where that is nothing.
    """
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


class TopicSchemas:
    """The compacted topic of schemas that ingest and operators add; read to its end whenever one is missed."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str) -> None:
        self._topic = topic
        self._schemas: dict[bytes, WriterSchema] = {}
        self._partitions: Sequence[Partition] = ()
        self._options = options
        self._client_id = client_id
        self._opened: Consumer | None = None
        self._read_at = float("-inf")

    @property
    def _consumer(self) -> Consumer:
        """Connected when a schema is missed for the first time: most processes never miss one."""
        if self._opened is None:
            self._opened = reader(
                self._options, self._client_id, tuning={"fetch.wait.max.ms": round(LOOK_SECONDS * 1000)}
            )
        return self._opened

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if the topic holds it. Raises `SchemasUnavailable`."""
        if time.monotonic() - self._read_at >= FRESH_SECONDS:
            self._read_to_end()
            self._read_at = time.monotonic()
        return self._schemas.get(header[2:])

    def close(self) -> None:
        if self._opened is not None:
            let_go(self._opened)

    def _read_to_end(self) -> None:
        if not self._partitions and not self._assign():
            return
        unread = set(self._partitions)
        # The end is told once per assignment: assigned again where it stands, the reader is told again.
        self._consumer.assign(self._consumer.position([TopicPartition(*partition) for partition in unread]))
        deadline = time.monotonic() + READ_SECONDS_MAX
        for reading in read_to_ends(
            self._consumer,
            unread,
            self._client_id,
            records_max=500,
            look_seconds=LOOK_SECONDS,
            silence_seconds_max=math.inf,
        ):
            for message in reading.records:
                self._add(message.key(), message.value())
            if unread and time.monotonic() >= deadline:
                # If the topic was made again, this client may never read it (see `ClientTopics`). The next one can.
                let_go(self._consumer)
                self._opened, self._partitions = None, ()
                raise SchemasUnavailable(f"{self._topic} was not read to its end within {READ_SECONDS_MAX:.0f} s")

    def _assign(self) -> bool:
        try:
            topic = self._consumer.list_topics(self._topic, timeout=READ_SECONDS_MAX).topics.get(self._topic)
        except KafkaException as exception:
            raise SchemasUnavailable(str(exception.args[0])) from exception
        if topic is None or topic.error is not None:
            if topic is not None and (
                denied := denial(topic.error, topic=self._topic, operation="Read", group=self._client_id)
            ):
                raise denied
            return False
        self._partitions = [(self._topic, number) for number in topic.partitions]
        self._consumer.assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in self._partitions])
        return True

    def _add(self, key: str | bytes | None, value: str | bytes | None) -> None:
        if not isinstance(key, bytes) or not isinstance(value, bytes):
            return
        try:
            schema = topic_schema(key, value)
        except ValueError as error:
            log.warning("record in the schemas topic ignored", topic=self._topic, error=str(error))
            return
        self._schemas[schema.fingerprint] = schema
