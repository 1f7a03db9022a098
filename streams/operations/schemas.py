"""Lists writers' schemas and the places that hold them. Adds schemas to the topic of schemas."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from streams.config import Settings
from streams.config.names import SOURCE
from streams.events.schema import WriterSchema
from streams.events.schemas import currents_schema, load_folder, shipped, topic_key, topic_schema
from streams.operations.errors import BadRequest, NothingMatched, OperationError
from streams.operations.installation import Installation
from streams.ports.errors import Fenced, RecordsRefused, TopicMissing, TransactionAborted
from streams.state.audit import SchemasAdded

SCHEMA_BYTES_MAX = 500_000
"""A schema has some kilobytes, and the topic takes 2 MB. Only this much of a file is read. The JSON of a larger file is
then incomplete, and refused."""
SUFFIX = ".avsc"
ON_TOPIC, SHIPPED = "on the topic already", "shipped"


@dataclass(frozen=True, slots=True)
class Place:
    """A place that holds schemas. `name` is the folder or the topic; it is empty for `shipped`."""

    kind: Literal["shipped", "folder", "topic"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlacedSchema:
    """A schema with all places that hold it, in the order in which they are used."""

    schema: WriterSchema
    places: tuple[Place, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.schema.fingerprint.hex(),
            "event_type": self.schema.event_type,
            "from": [{"place": place.kind, "name": place.name or None} for place in self.places],
        }


@dataclass(frozen=True, slots=True)
class KnownSchemas:
    """Each schema once, by event type. `unused` names contents of a place that are not used, and why.

    `registry_url` is the registry for values in Confluent's wire format. Its schemas are not listed.
    """

    schemas: tuple[PlacedSchema, ...]
    unused: tuple[str, ...]
    registry_url: str | None

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams schemas list --output json`."""
        return {"schemas": [one.to_json() for one in self.schemas]}


@dataclass(frozen=True, slots=True)
class FileSchema:
    """A schema and the file that holds it."""

    file: str
    schema: WriterSchema


@dataclass(frozen=True, slots=True)
class Addition:
    """The result for one file. `there_already` says why its schema was not written; empty if it is new."""

    file: str
    schema: WriterSchema
    there_already: str = ""


@dataclass(frozen=True, slots=True)
class AddedSchemas:
    """One line for each file. And the schemas that were written: each once, with the last file that holds it.

    `unused` names records of the topic that are not used, and why.
    """

    files: tuple[Addition, ...]
    written: tuple[FileSchema, ...]
    unused: tuple[str, ...]


def transactional_id(settings: Settings) -> str:
    """The transactional id with which schemas are added. The role operator has access to it."""
    return f"{settings.kafka.topic_prefix}schemas"


def known(installation: Installation) -> KnownSchemas:
    """Every schema that is shipped, in a configured folder, or on the topic of schemas.

    Raises `KafkaUnreachable`, `KafkaRefusal` and `AccessDenied`.
    """
    unused: list[str] = []
    places: defaultdict[bytes, list[Place]] = defaultdict(list)
    schemas: dict[bytes, WriterSchema] = {}
    for schema, place in _placed(installation, unused):
        schemas.setdefault(schema.fingerprint, schema)
        if place not in places[schema.fingerprint]:
            places[schema.fingerprint].append(place)
    ordered = sorted(schemas.values(), key=lambda schema: (schema.event_type, schema.fingerprint))
    registry = installation.settings.source.schema_registry
    return KnownSchemas(
        tuple(PlacedSchema(schema, tuple(places[schema.fingerprint])) for schema in ordered),
        tuple(unused),
        None if registry is None else registry.url,
    )


def read_files(paths: Iterable[Path]) -> tuple[FileSchema, ...]:
    """The schemas of these files; of a folder, of its `*.avsc`.

    Raises `BadRequest` that names every file without a schema, and why; `NothingMatched` if all files are missing.
    """
    found: list[FileSchema] = []
    problems: list[str] = []
    is_missing = True
    for path in _expanded(paths):
        try:
            with path.open("rb") as opened:
                content = opened.read(SCHEMA_BYTES_MAX)
            found.append(FileSchema(str(path), currents_schema(content)))
        except OSError as error:
            is_missing = is_missing and isinstance(error, FileNotFoundError)
            problems.append(f"{path}: {error.strerror}")
        except ValueError as error:
            is_missing = False
            problems.append(f"{path}: {error}")
    if problems:
        message = "nothing was added\n" + "\n".join(problems)
        raise NothingMatched(message) if is_missing else BadRequest(message)
    return tuple(found)


def add(installation: Installation, given: Sequence[FileSchema], *, who: str, reason: str) -> AddedSchemas:
    """Write the schemas that are not known yet to the topic of schemas, with an audit line. All of them, or none.

    Raises `OperationError`, `KafkaUnreachable`, `KafkaRefusal` and `AccessDenied`.
    """
    _require_topics(installation)
    unused: list[str] = []
    there = {schema.fingerprint: ON_TOPIC for schema in _on_topic(installation, unused)}
    there |= {schema.fingerprint: SHIPPED for schema in shipped()}
    new = {one.schema.fingerprint: one for one in given if one.schema.fingerprint not in there}
    written = tuple(new.values())
    if written:
        _write(installation, written, who, reason)
    lines = (Addition(one.file, one.schema, there.get(one.schema.fingerprint, "")) for one in given)
    return AddedSchemas(tuple(lines), written, tuple(unused))


def _placed(installation: Installation, unused: list[str]) -> Iterator[tuple[WriterSchema, Place]]:
    """Every schema with a place that holds it. The places come in the order in which they are used."""
    settings = installation.settings
    for schema in shipped():
        yield schema, Place("shipped")
    for folder in settings.source.schema_folders:
        try:
            for schema in load_folder(folder):
                yield schema, Place("folder", str(folder))
        except ValueError as error:
            unused.append(f"nothing of folder {folder} is used: {error}")
    for schema in _on_topic(installation, unused):
        yield schema, Place("topic", settings.topics.schemas)


def _on_topic(installation: Installation, unused: list[str]) -> Iterator[WriterSchema]:
    topic = installation.settings.topics.schemas
    try:
        found = installation.read_latest(topic, b"")
    except TopicMissing as error:
        unused.append(str(error))
        return
    for key, value in sorted(found.items()):
        try:
            yield topic_schema(key, value)
        except ValueError as error:
            unused.append(f"the record {key.decode('ascii', 'replace')} of {topic} is not used: {error}")


def _expanded(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not inside:
            raise NothingMatched(f"{path}: no *{SUFFIX} in this folder")
        found += inside
    return list(dict.fromkeys(found))


def _require_topics(installation: Installation) -> None:
    topics, there = installation.settings.topics, installation.cluster.topic_names()
    missing = [name for name in (topics.schemas, topics.audit) if name not in there]
    if missing:
        fix = "create them with `streams topics apply`"
        raise OperationError(f"topics are missing: {', '.join(missing)}; {fix}")


def _write(installation: Installation, new: Sequence[FileSchema], who: str, reason: str) -> None:
    """The schemas and who added them, in one transaction."""
    topics = installation.settings.topics
    named = tuple(
        {
            "fingerprint": one.schema.fingerprint.hex(),
            "event_type": one.schema.event_type,
            "file": Path(one.file).name,
        }
        for one in new
    )
    line = SchemasAdded(why=reason, schemas=named).stamped(installation.clock.epoch_ms(), who, SOURCE)
    try:
        with installation.open_transactions(transactional_id(installation.settings)) as transactions:
            transactions.begin()
            for one in new:
                transactions.write(topics.schemas, orjson.dumps(one.schema.definition), topic_key(one.schema))
            transactions.write(topics.audit, line.to_bytes(), SOURCE.encode())
            transactions.commit((), None)
    except RecordsRefused as error:
        raise OperationError(f"nothing was added: Kafka refused it: {error}") from None
    except (Fenced, TransactionAborted) as error:
        fix = f"nothing was added: another `streams schemas add` ran at the same time ({error}); run it again"
        raise OperationError(fix) from None
