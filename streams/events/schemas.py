"""Writers' schemas: parsed from Avro definitions, found by fingerprint or event type. The package contains most."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import fastavro
import orjson
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from streams.events.bounded import unbounded
from streams.events.catalogue import CATALOGUE, canonical_name
from streams.events.schema import NAMESPACE, Field, Kind, WriterSchema

SCHEMA_BYTES_MAX = 5_000_000
"""A schema has some kilobytes. A larger file is not a schema."""
_CONTAINER_MARK = b"Obj\x01"
_KINDS = {
    "string": Kind.STRING,
    "int": Kind.LONG,
    "long": Kind.LONG,
    "boolean": Kind.BOOLEAN,
    "float": Kind.FLOAT,
    "double": Kind.DOUBLE,
}


def writer_schema(definition: dict[str, Any]) -> WriterSchema:
    """The schema of an Avro record definition (parsed JSON). Raises `ValueError` if it is none.

    Logical types are ignored: values are sent as they are in the bytes, and a fingerprint does not contain them either.
    """
    is_record = isinstance(definition, dict) and definition.get("type") == "record"
    if not is_record or not isinstance(definition.get("fields"), list):
        expected = 'a JSON object with "type": "record" and a list of "fields"'
        raise ValueError(f"not an Avro record schema: expected {expected}")
    try:
        parsed = cast(dict[str, Any], fastavro.parse_schema(_without_logical_types(definition)))
        canonical = to_parsing_canonical_form(parsed)
        fields = tuple(_field(field) for field in parsed["fields"])
        problem = unbounded(parsed)
    except (SchemaParseException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a valid Avro schema: {type(error).__name__}: {error}") from None
    except RecursionError:
        raise ValueError("not a valid Avro schema: nested too deeply") from None
    if problem is not None:
        raise ValueError(f"no schema to read records with: {problem}")
    return WriterSchema(
        event_type=canonical_name(parsed["name"]),
        fingerprint=bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")),
        fields=fields,
        definition=definition,
        parsed=parsed,
    )


def renamed(definition: dict[str, Any], event_type: str) -> WriterSchema:
    """The same schema under the name of an event type; the name is not part of a record's bytes. Raises `ValueError`.

    For files that another program rewrote with another name (Spark: `topLevelRecord`).
    """
    return writer_schema({**definition, "namespace": "", "name": NAMESPACE + event_type})


def topic_key(schema: WriterSchema) -> bytes:
    """The key of a schema on the topic `streams.schemas`: its fingerprint as in a value's header, lower-case hex."""
    return schema.fingerprint.hex().encode()


def topic_schema(key: bytes, value: bytes) -> WriterSchema:
    """The schema of a record of the topic `streams.schemas`. Raises `ValueError`."""
    schema = writer_schema(orjson.loads(value))
    if topic_key(schema) != key:
        raise ValueError("key and schema differ")
    return schema


def currents_schema(content: bytes) -> WriterSchema:
    """The schema of Currents events in a file's bytes. Raises `ValueError` that says what is wrong with them.

    Stricter than `writer_schema`: a person who adds a schema by hand must learn of a mistake at once, not when records
    wait for it.
    """
    if content.startswith(_CONTAINER_MARK):
        raise ValueError("is an Avro container file, not a schema: `streams ingest` takes it, and adds its schema")
    try:
        definition = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON: expected an Avro record schema, as in a *.avsc file") from None
    schema = writer_schema(definition)
    if schema.event_type not in CATALOGUE and not schema.parsed["name"].startswith(NAMESPACE):
        raise ValueError(f"is named {schema.parsed['name']}: a Currents event is named {NAMESPACE}<event type>")
    for name, kind in (("id", Kind.STRING), ("time", Kind.LONG)):
        if not any(field.name == name and field.kind is kind for field in schema.fields):
            raise ValueError(f"has no field {name} of type {'string' if kind is Kind.STRING else 'int or long'}")
    return schema


class SchemaBook:
    """The known schemas. Bare values are read with the first schema that was added for their event type."""

    def __init__(self, schemas: Iterable[WriterSchema] = ()) -> None:
        self._by_fingerprint: dict[bytes, WriterSchema] = {}
        self._by_event_type: dict[str, WriterSchema] = {}
        for schema in schemas:
            self.add(schema)

    def add(self, schema: WriterSchema) -> None:
        """Remember a schema. An earlier one with the same fingerprint or event type stays."""
        self._by_fingerprint.setdefault(schema.fingerprint, schema)
        self._by_event_type.setdefault(schema.event_type, schema)

    def by_fingerprint(self, fingerprint: bytes) -> WriterSchema | None:
        """The schema with this CRC-64-AVRO fingerprint: 8 bytes, little-endian."""
        return self._by_fingerprint.get(fingerprint)

    def by_event_type(self, event_type: str) -> WriterSchema | None:
        """The schema of an event type in its canonical spelling."""
        return self._by_event_type.get(event_type)

    def __iter__(self) -> Iterator[WriterSchema]:
        return iter(self._by_fingerprint.values())

    def __len__(self) -> int:
        return len(self._by_fingerprint)


def shipped() -> SchemaBook:
    """A new book with the package's schemas: Currents v10 and the retired types. The files are read once."""
    return SchemaBook(_shipped())


def load_folder(folder: Path) -> tuple[WriterSchema, ...]:
    """The schemas of every `*.avsc` in a folder and below. Raises `ValueError` that names the file, or the folder."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    schemas, problems = read_folder(folder)
    if problems:
        raise ValueError(problems[0])
    return schemas


def read_folder(folder: Path) -> tuple[tuple[WriterSchema, ...], tuple[str, ...]]:
    """The schemas of a folder and below. And, by file name, what is wrong with files that hold no schema."""
    schemas: list[WriterSchema] = []
    problems: list[str] = []
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder")
    for path in schema_files(folder):
        try:
            schemas.append(_load(path))
        except ValueError as error:
            problems.append(str(error))
    return tuple(schemas), tuple(problems)


def schema_files(folder: Path) -> list[Path]:
    """Every `*.avsc` in a folder and below; an empty list while the folder is away."""
    try:
        return sorted(folder.rglob("*.avsc"))
    except OSError:  # a ConfigMap may be swapped while its files are listed
        return []


@lru_cache(maxsize=1)
def _shipped() -> tuple[WriterSchema, ...]:
    package = Path(__file__).parents[1]
    installed = package / "avro"  # in a wheel, the repository's avro/ is there
    return load_folder(installed if installed.is_dir() else package.parent / "avro")


def _load(path: Path) -> WriterSchema:
    try:
        with path.open("rb") as file:
            return writer_schema(orjson.loads(file.read(SCHEMA_BYTES_MAX)))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or type(error).__name__}") from None
    except orjson.JSONDecodeError:
        raise ValueError(f"{path}: is not JSON: expected an Avro record schema") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node


def _field(field: dict[str, Any]) -> Field:
    match field["type"]:
        case ["null", other]:
            return Field(field["name"], _kind(other), nullable=True)
        case other:
            return Field(field["name"], _kind(other), nullable=False)


def _kind(avro_type: Any) -> Kind:
    match avro_type:
        case str():
            return _KINDS.get(avro_type, Kind.OTHER)
        case {"type": "array", "items": "string"}:
            return Kind.STRINGS
        case {"type": "array", "items": ["null", "string"]}:
            return Kind.NULLABLE_STRINGS
        case {"type": str() as primitive}:
            return _KINDS.get(primitive, Kind.OTHER)
        case _:
            return Kind.OTHER
