"""The schemas of events that came over HTTP, made by rule from those of the catalogue.

JSON over HTTP leaves out what the files always have, and has fields that the files lack. So an event type has a second
schema under its full name: the same fields in the same order, all nullable but `id` and `time`, numbers as wide as
JSON's, then the fields that only HTTP has, then `streams_unknown`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from streams.events.catalogue import CATALOGUE, canonical_name
from streams.events.schema import NAMESPACE, WriterSchema
from streams.events.schemas import shipped, writer_schema

UNKNOWN = "streams_unknown"
"""One JSON object as text: what no other field holds, by place and name, such as `properties.new_field`."""
REQUIRED = ("id", "time")
HTTP_ONLY = (
    "device_id",
    "dispatch_id",
    "message_variation_name",
    "canvas_variation_name",
    "device_model",
    "os_version",
)
"""Fields that Braze's HTTP samples have where the files of the same event type lack them. All are text."""
RENAMED = {
    "custom_properties": "properties",
    "purchase_properties": "properties",
    "canvas_step_message_variation_api_id": "canvas_step_message_variation_id",
}
"""What a field over HTTP is called in the files."""
GENERIC_FIELDS = ("user_id", "external_user_id", "timezone", "app_group_id")
"""What nearly every event type has; an unknown one has these, and all else in `streams_unknown`."""
NAME_LENGTH_MAX = 200
_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_WIDER = {"int": "long", "float": "double"}


def event_type_of(text: str) -> str | None:
    """The event type that a text names, in the catalogue's spelling; None where it can be no name in Avro."""
    name = canonical_name(text)
    return name if len(name) <= NAME_LENGTH_MAX and _AVRO_NAME.fullmatch(name) else None


def catalogue_schemas() -> dict[str, WriterSchema]:
    """The relaxed schema of each event type of the catalogue."""
    return {name: schema for name in CATALOGUE if (schema := catalogue_schema(name)) is not None}


@cache
def catalogue_schema(event_type: str) -> WriterSchema | None:
    """The relaxed schema of one event type of the catalogue; None for every other. It takes milliseconds, once."""
    stored = shipped().by_event_type(event_type) if event_type in CATALOGUE else None
    return None if stored is None else relaxed(stored)


def relaxed(schema: WriterSchema) -> WriterSchema:
    """The schema of the same events over HTTP."""
    return _with_fields(schema.event_type, [_relaxed(field) for field in schema.definition["fields"]])


def generic(event_type: str) -> WriterSchema:
    """The schema of a type that the catalogue lacks."""
    known = [{"name": "id", "type": "string"}, {"name": "time", "type": "long"}]
    return _with_fields(event_type, known + [_text(name) for name in GENERIC_FIELDS])


def _with_fields(event_type: str, fields: list[dict[str, Any]]) -> WriterSchema:
    names = {field["name"] for field in fields}
    added = [_text(name) for name in (*HTTP_ONLY, UNKNOWN) if name not in names]
    namespace, _, name = (NAMESPACE + event_type).rpartition(".")
    return writer_schema({"type": "record", "name": name, "namespace": namespace, "fields": fields + added})


def _text(name: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", "string"], "default": None}


def _relaxed(field: dict[str, Any]) -> dict[str, Any]:
    kind = field["type"]
    inner = next(one for one in kind if one != "null") if isinstance(kind, list) else kind
    wide = _WIDER.get(inner, inner) if isinstance(inner, str) else inner
    said = {"doc": field["doc"]} if "doc" in field else {}
    if field["name"] in REQUIRED:
        return {"name": field["name"], "type": wide, **said}
    return {"name": field["name"], "type": ["null", wide], "default": None, **said}
