"""The topic of a file: its schema or its path names the event type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from streams.events.catalogue import CATALOGUE, canonical_name
from streams.events.schema import NAMESPACE, WriterSchema
from streams.events.schemas import renamed, writer_schema
from streams.workers.ingest import File, Place, UnreadableFile

SCHEMAS_MAX = 256
"""How many schemas are remembered. An export has thousands of files and a hundred schemas; parsing one takes
milliseconds."""

_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")


def place_of(file: File, topic_prefix: str) -> Place:
    """The topic of a file, and the schema that its records go with. Raises `UnreadableFile`.

    The schema's name decides, if it is one of Braze's. Otherwise the path decides, and the schema gets the name that
    the path says: a later reader looks only at the schema.
    """
    definition = file.schema()
    schema = _checked(definition)
    by_path = None if file.path_event_type is None else canonical_name(file.path_event_type)
    if not _is_of_braze(schema):
        if by_path is None:
            raise UnreadableFile(
                None,
                f"its schema is named {_name(definition)}, which is not an event type of Braze, and its path names "
                "none: put it into a folder event_type=<type>",
            )
        schema = _renamed(definition, by_path)
    if not _TOPIC_NAME.fullmatch(schema.event_type):
        raise UnreadableFile(None, "its event type cannot be part of a topic's name")
    return Place(topic_prefix + schema.event_type, schema)


def disagreement(file: File, place: Place) -> str | None:
    """A remark if path and schema name different event types, and both are Braze's."""
    if file.path_event_type is None:
        return None
    by_path = canonical_name(file.path_event_type)
    if by_path == place.schema.event_type:
        return None
    named = place.schema.event_type
    return f"{file.name}: the path says {by_path}, the records are {named}; they go by their schema"


def _is_of_braze(schema: WriterSchema) -> bool:
    """A type of the catalogue, or a newer type in Braze's own namespace."""
    return schema.event_type in CATALOGUE or str(schema.parsed.get("name", "")).startswith(NAMESPACE)


def _checked(definition: dict[str, Any]) -> WriterSchema:
    try:
        return _schema(orjson.dumps(definition))
    except ValueError as error:
        raise UnreadableFile(None, str(error)) from None


def _renamed(definition: dict[str, Any], event_type: str) -> WriterSchema:
    try:
        return renamed(definition, event_type)
    except ValueError as error:
        raise UnreadableFile(
            None, f"its schema is named {_name(definition)} and cannot be read as {event_type}: {error}"
        ) from None


@lru_cache(maxsize=SCHEMAS_MAX)
def _schema(text: bytes) -> WriterSchema:
    return writer_schema(orjson.loads(text))


def _name(definition: Mapping[str, Any]) -> str:
    return str(definition.get("name"))[:200]
