"""Where writers' schemas come from beside `avro/`: folders, the topic `streams.schemas`, a schema registry."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.adapters.http import HttpTransport
from streams.adapters.kafka.denials import denial
from streams.adapters.kafka.readers import reader
from streams.delivery.contract import NoResponse, Request
from streams.events.schema import WriterSchema
from streams.events.schemas import load_folder, writer_schema
from streams.ports.errors import SchemasUnavailable
from streams.values import Secret

log = structlog.get_logger(__name__)

READ_SECONDS_MAX = 10.0


class FolderSchemas:
    """Configured folders of `*.avsc`, scanned again when a file came, went or changed."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen: dict[Path, float] = {}
        self._schemas: dict[bytes, WriterSchema] = {}

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if a file holds it."""
        files = {path: path.stat().st_mtime for folder in self._folders for path in sorted(folder.rglob("*.avsc"))}
        if files != self._seen:
            self._seen = files
            self._scan()
        return self._schemas.get(header[2:])

    def _scan(self) -> None:
        for folder in self._folders:
            try:
                schemas = load_folder(folder)
            except ValueError as error:
                log.warning("schema folder not read", folder=str(folder), error=str(error))
                continue
            self._schemas |= {schema.fingerprint: schema for schema in schemas}


def topic_key(schema: WriterSchema) -> bytes:
    """The key of a schema on the topic `streams.schemas`: its fingerprint as in a value's header, lower-case hex."""
    return schema.fingerprint.hex().encode()


def topic_schema(key: bytes, value: bytes) -> WriterSchema:
    """The schema of a record of the topic `streams.schemas`. Raises `ValueError`."""
    schema = writer_schema(orjson.loads(value))
    if topic_key(schema) != key:
        raise ValueError("key and schema differ")
    return schema


class TopicSchemas:
    """The compacted topic of schemas that ingest and operators add; read to its end whenever one is missed."""

    def __init__(self, options: Mapping[str, Any], topic: str, client_id: str) -> None:
        self._topic = topic
        self._schemas: dict[bytes, WriterSchema] = {}
        self._ends: dict[int, bool] = {}
        self._options = options
        self._client_id = client_id
        self._opened: Consumer | None = None

    @property
    def _consumer(self) -> Consumer:
        """Connected when a schema is missed for the first time: most processes never miss one."""
        if self._opened is None:
            self._opened = reader(self._options, self._client_id)
        return self._opened

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a single-object header, if the topic holds it. Raises `SchemasUnavailable`."""
        self._read_to_end()
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


class RegistrySchemas:
    """A schema registry with Confluent's API: `GET /schemas/ids/{id}`."""

    def __init__(
        self,
        url: str,
        transport: HttpTransport,
        *,
        username: str | None = None,
        password: Secret | None = None,
        bearer_token: Secret | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._transport = transport
        self._username = username
        self._password = password
        self._bearer_token = bearer_token

    def find(self, header: bytes) -> WriterSchema | None:
        """The schema of a Confluent header; None where the registry does not know it. Raises `SchemasUnavailable`."""
        number = int.from_bytes(header[1:], "big")
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json", **self._authorization()}
        answer = self._transport.fetch(Request("GET", f"{self._url}/schemas/ids/{number}", headers, b""))
        if isinstance(answer, NoResponse):
            raise SchemasUnavailable(answer.detail)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise SchemasUnavailable(f"status {answer.status}{_mend(answer.status)}")
        try:
            return writer_schema(orjson.loads(orjson.loads(answer.body)["schema"]))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("schema in the registry not usable", id=number, error=str(error))
            return None

    def _authorization(self) -> dict[str, str]:
        if self._bearer_token is not None:
            return {"Authorization": f"Bearer {self._bearer_token.reveal()}"}
        if self._username is not None and self._password is not None:
            pair = f"{self._username}:{self._password.reveal()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}


def _mend(status: int) -> str:
    return ": check the credentials in source.schema_registry" if status in (401, 403) else ""
