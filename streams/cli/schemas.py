"""`streams schemas`: writers' schemas that are known, and more of them for everyone who reads."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.config.kafka import ClientConfig
    from streams.events.schema import WriterSchema

app = typer.Typer(help="Schemas that values are read with.", no_args_is_help=True)

SCHEMA_BYTES_MAX = 500_000
"""A schema is some kilobytes; the topic takes 2 MB. No more is read: what is larger is no whole JSON then."""
SUFFIX = ".avsc"
NEXT_STEP = "streams dlq replay source --cause unknown-schema"

Place = tuple[str, str]
"""Where a schema is: `shipped`, `folder` or `topic`, and which."""


@app.command("list")
@translated
def list_schemas(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List every schema by fingerprint: shipped, in a configured folder, or on the topic of schemas."""
    settings = settings_from(config, reads_secrets=False)
    found = _gathered(_known(settings))
    if output is Format.JSON:
        print_json({"schemas": [_listed(schema, places) for schema, places in found]})
    else:
        print_table(
            ("FINGERPRINT", "EVENT TYPE", "FROM"),
            (
                (schema.fingerprint.hex(), schema.event_type, ", ".join(" ".join(place).strip() for place in places))
                for schema, places in found
            ),
        )
    registry = settings.source.schema_registry
    if registry is not None:
        note(f"schemas of values in Confluent's wire format are asked by id of {registry.url}; they are not listed")


@app.command()
@translated
def add(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help=f"Avro schemas in JSON; of a folder its *{SUFFIX}.")
    ],
    config: ConfigPath = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    output: OutputFormat = Format.TABLE,
) -> None:
    """Write schemas to the topic of schemas, where routers and sinks read them at once. All of the files, or none."""
    settings = settings_from(config, reads_secrets=False)
    read = _read(files)
    client_config = settings.kafka.client_config(f"{settings.kafka.topic_prefix}schemas")
    _require_topics(settings, client_config)
    there = _there(settings, client_config)
    new = {schema.fingerprint: (schema, file) for file, schema in read if schema.fingerprint not in there}
    if new:
        _write(settings, client_config, [*new.values()], reason)
    if output is Format.JSON:
        print_json(
            {
                "added": [_named(schema, file) for schema, file in new.values()],
                "there_already": [_named(schema, file) for file, schema in read if schema.fingerprint in there],
                "next_step": NEXT_STEP if new else None,
            }
        )
        return
    print_table(
        ("FINGERPRINT", "EVENT TYPE", "FILE", "RESULT"),
        (
            (schema.fingerprint.hex(), schema.event_type, file, there.get(schema.fingerprint, "added"))
            for file, schema in read
        ),
    )
    if new:
        note(f"records that were parked because of these schemas can be replayed now: {NEXT_STEP}")


def _known(settings: Settings) -> Iterator[tuple[WriterSchema, Place]]:
    """Every schema with a place that holds it, the places in the order in which they are asked."""
    from streams.events.schemas import load_folder, shipped

    for schema in shipped():
        yield schema, ("shipped", "")
    for folder in settings.source.schema_folders:
        try:
            for schema in load_folder(folder):
                yield schema, ("folder", str(folder))
        except ValueError as error:
            note(f"nothing of folder {folder} is used: {error}")
    for schema in _of_topic(settings, settings.kafka.client_config("streams-schemas")):
        yield schema, ("topic", settings.topics.schemas)


def _of_topic(settings: Settings, client_config: ClientConfig) -> Iterator[WriterSchema]:
    from streams.adapters.kafka.compacted import TopicMissing, read_to_end
    from streams.adapters.schemas.sources import topic_schema

    topic = settings.topics.schemas
    try:
        found = read_to_end(client_config, topic, str(client_config["client.id"]))
    except TopicMissing as error:
        note(str(error))
        return
    for key, value in sorted(found.items()):
        try:
            yield topic_schema(key, value)
        except ValueError as error:
            note(f"the record {key.decode('ascii', 'replace')} of {topic} is not used: {error}")


def _gathered(known: Iterable[tuple[WriterSchema, Place]]) -> list[tuple[WriterSchema, list[Place]]]:
    """Each schema once, by event type, with every place that holds it."""
    places: defaultdict[bytes, list[Place]] = defaultdict(list)
    schemas: dict[bytes, WriterSchema] = {}
    for schema, place in known:
        schemas.setdefault(schema.fingerprint, schema)
        if place not in places[schema.fingerprint]:
            places[schema.fingerprint].append(place)
    ordered = sorted(schemas.values(), key=lambda schema: (schema.event_type, schema.fingerprint))
    return [(schema, places[schema.fingerprint]) for schema in ordered]


def _read(files: Iterable[Path]) -> list[tuple[str, WriterSchema]]:
    """The schemas of these files. Raises `CommandError` that names every file that is none, and why."""
    from streams.events.schemas import currents_schema

    read: list[tuple[str, WriterSchema]] = []
    problems: list[str] = []
    is_missing = True
    for file in _expanded(files):
        try:
            with file.open("rb") as opened:
                content = opened.read(SCHEMA_BYTES_MAX)
            read.append((str(file), currents_schema(content)))
        except OSError as error:
            is_missing = is_missing and isinstance(error, FileNotFoundError)
            problems.append(f"{file}: {error.strerror}")
        except ValueError as error:
            is_missing = False
            problems.append(f"{file}: {error}")
    if problems:
        exit_code = ExitCode.NOTHING_MATCHED if is_missing else ExitCode.USAGE
        raise CommandError("nothing was added\n" + "\n".join(problems), exit_code)
    return read


def _expanded(files: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for file in files:
        inside = sorted(file.rglob(f"*{SUFFIX}")) if file.is_dir() else [file]
        if not inside:
            raise CommandError(f"{file}: no *{SUFFIX} in this folder", ExitCode.NOTHING_MATCHED)
        found += inside
    return list(dict.fromkeys(found))


def _require_topics(settings: Settings, client_config: ClientConfig) -> None:
    from streams.adapters.kafka.admin import Administration

    there = Administration(client_config).topic_names()
    missing = [name for name in (settings.topics.schemas, settings.topics.audit) if name not in there]
    if missing:
        fix = "create them with `streams topics apply`"
        raise CommandError(f"topics are missing: {', '.join(missing)}; {fix}", ExitCode.FAILED)


def _there(settings: Settings, client_config: ClientConfig) -> dict[bytes, str]:
    """What every reader knows already, by fingerprint, and why."""
    from streams.events.schemas import shipped

    on_topic = {schema.fingerprint: "on the topic already" for schema in _of_topic(settings, client_config)}
    return on_topic | {schema.fingerprint: "shipped" for schema in shipped()}


def _write(settings: Settings, client_config: ClientConfig, new: list[tuple[WriterSchema, str]], reason: str) -> None:
    """The schemas and who added them, in one transaction."""
    import orjson

    from streams.adapters.kafka.transactions import TransactionalProducer
    from streams.adapters.schemas.sources import topic_key
    from streams.adapters.state.requests import who
    from streams.config.names import SOURCE
    from streams.ports.errors import Fenced, RecordsRefused, TransactionAborted
    from streams.state.audit import SchemasAdded

    schemas = tuple(_named(schema, Path(file).name) for schema, file in new)
    line = SchemasAdded(why=reason, schemas=schemas).stamped(time.time_ns() // 1_000_000, who(), SOURCE)
    name = str(client_config["client.id"])
    transactions = TransactionalProducer(client_config, name, name)
    try:
        transactions.start()
        transactions.begin()
        for schema, _ in new:
            value = orjson.dumps(schema.definition)
            transactions.write(settings.topics.schemas, value, topic_key(schema))
        transactions.write(settings.topics.audit, line.to_bytes(), SOURCE.encode())
        transactions.commit((), None)
    except RecordsRefused as error:
        raise CommandError(f"nothing was added: Kafka does not take it: {error}", ExitCode.FAILED) from None
    except (Fenced, TransactionAborted) as error:
        fix = f"nothing was added: another `streams schemas add` came between ({error}); run it again"
        raise CommandError(fix, ExitCode.FAILED) from None
    finally:
        transactions.close()


def _listed(schema: WriterSchema, places: list[Place]) -> Mapping[str, object]:
    return {
        "fingerprint": schema.fingerprint.hex(),
        "event_type": schema.event_type,
        "from": [{"place": place, "name": name or None} for place, name in places],
    }


def _named(schema: WriterSchema, file: str) -> dict[str, str]:
    return {"fingerprint": schema.fingerprint.hex(), "event_type": schema.event_type, "file": file}
