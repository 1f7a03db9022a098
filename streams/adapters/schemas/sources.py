"""Where writers' schemas come from, in addition to `avro/` and a registry: folders, and the topic `streams.schemas`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import reader
from streams.events.schema import WriterSchema
from streams.events.schemas import read_folder, schema_files, topic_schema
from streams.ports.errors import SchemasUnavailable

log = structlog.get_logger(__name__)

READ_SECONDS_MAX = 5.0
"""The caller has a transaction open, and Kafka ends it after 10 s."""
FRESH_SECONDS = 0.2
"""What was read to its end so recently is not read again: a thousand unknown fingerprints would each wait for Kafka."""


class FolderSchemas:
    """Configured folders of `*.avsc`, scanned again when a file came, went or changed.

    A file that cannot be read (half written, a link to nothing) is named once, and hides no other; what a file held
    before stays known.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen: dict[Path, float] | None = None
        self._said: set[str] = set()
        self._schemas: dict[bytes, WriterSchema] = {}

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if a file holds it."""
        files = {path: _changed_at(path) for folder in self._folders for path in schema_files(folder)}
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
            log.warning("schema file not read", error=problem)
        self._said = problems


def _changed_at(path: Path) -> float:
    """Of a link: what it points to; 0.0 where that is nothing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class TopicSchemas:
    """The compacted topic of schemas that ingest and operators add; read to its end whenever one is missed."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str) -> None:
        self._topic = topic
        self._schemas: dict[bytes, WriterSchema] = {}
        self._ends: dict[int, bool] = {}
        self._options = options
        self._client_id = client_id
        self._opened: Consumer | None = None
        self._read_at = float("-inf")

    @property
    def _consumer(self) -> Consumer:
        """Connected when a schema is missed for the first time: most processes never miss one."""
        if self._opened is None:
            self._opened = reader(self._options, self._client_id)
        return self._opened

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if the topic holds it. Raises `SchemasUnavailable`."""
        if time.monotonic() - self._read_at >= FRESH_SECONDS:
            self._read_to_end()
            self._read_at = time.monotonic()
        return self._schemas.get(header[2:])

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _read_to_end(self) -> None:
        if not self._ends and not self._assign():
            return
        self._ends = dict.fromkeys(self._ends, False)
        # The end is told once per assignment: assigned again where it stands, the reader is told again.
        self._consumer.assign(self._consumer.position([TopicPartition(self._topic, number) for number in self._ends]))
        deadline = time.monotonic() + READ_SECONDS_MAX
        while not all(self._ends.values()):
            if time.monotonic() >= deadline:
                raise SchemasUnavailable(f"{self._topic} was not read to its end within {READ_SECONDS_MAX:.0f} s")
            for message in self._consumer.consume(500, 0.2):
                error = message.error()
                if error is None:
                    self._add(message.key(), message.value())
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._ends[message.partition() or 0] = True
                else:
                    self._raise_if_denied(error)

    def _raise_if_denied(self, error: KafkaError) -> None:
        if denied := denial(error, topic=self._topic, operation="Read", group=self._client_id):
            raise denied

    def _assign(self) -> bool:
        try:
            topic = self._consumer.list_topics(self._topic, timeout=READ_SECONDS_MAX).topics.get(self._topic)
        except KafkaException as exception:
            raise SchemasUnavailable(str(exception.args[0])) from exception
        if topic is None or topic.error is not None:
            if topic is not None:
                self._raise_if_denied(topic.error)
            return False
        self._ends = dict.fromkeys(topic.partitions, False)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in topic.partitions])
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
