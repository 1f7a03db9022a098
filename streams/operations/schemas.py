"""Writers' schemas: which are known and where they are, and more of them on the topic that every reader reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
"""A schema is some kilobytes; the topic takes 2 MB. No more is read: what is larger is no whole JSON then."""
SUFFIX = ".avsc"
ON_TOPIC, SHIPPED = "on the topic already", "shipped"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schema is. `name` is the folder or the topic, and empty for `shipped`."""

    kind: Literal["shipped", "folder", "topic"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlacedSchema:
    """A schema with every place that holds it, in the order in which they are asked."""

    schema: WriterSchema
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class KnownSchemas:
    """Each schema once, by event type. `unused` says what a place holds that is not used, and why.

    `registry_url` is where schemas of values in Confluent's wire format are asked; they are not listed.
    """

    schemas: tuple[PlacedSchema, ...]
    unused: tuple[str, ...]
    registry_url: str | None


@dataclass(frozen=True, slots=True)
class FileSchema:
    """A schema and the file that holds it."""

    file: str
    schema: WriterSchema


@dataclass(frozen=True, slots=True)
class Addition:
    """What became of one file. `there_already` says why its schema was not written; empty where it is new."""

    file: str
    schema: WriterSchema
    there_already: str = ""


@dataclass(frozen=True, slots=True)
class AddedSchemas:
    """One line for each file, and the schemas that were written: each once, with the last file that holds it.

    `unused` says which records of the topic are not used, and why.
    """

    files: tuple[Addition, ...]
    written: tuple[FileSchema, ...]
    unused: tuple[str, ...]


def transactional_id(settings: Settings) -> str:
    """The one that schemas are added with: an operator has access to it."""
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

    Raises `BadRequest` that names every file that holds none, and why; `NothingMatched` where all are missing.
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
    """Write those that are not known yet to the topic of schemas, with a line of the audit: all of them, or none.

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
    """Every schema with a place that holds it, the places in the order in which they are asked."""
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
        raise OperationError(f"nothing was added: Kafka does not take it: {error}") from None
    except (Fenced, TransactionAborted) as error:
        fix = f"nothing was added: another `streams schemas add` came between ({error}); run it again"
        raise OperationError(fix) from None
