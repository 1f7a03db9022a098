"""The JSON Schema of the configuration file, strict, with each destination's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streams.config.connector import CONNECTOR_NAME_PATTERN, CommonNotify
from streams.config.connector_section import Registry, connector_model
from streams.config.console import Console
from streams.config.http import Http
from streams.config.inlets import INLET_KINDS
from streams.config.kafka import Kafka
from streams.config.names import SOURCE
from streams.config.receiver import Receiver
from streams.config.source import Source
from streams.destinations import REGISTRY

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry = REGISTRY) -> dict[str, Any]:
    """The whole file's schema. `destination` decides which keys a connector may have."""
    models = {name: connector_model(kind) for name, kind in sorted(registry.items())}
    every: list[type[BaseModel]] = [
        Kafka,
        Source,
        Http,
        CommonNotify,
        Receiver,
        Console,
        *INLET_KINDS.values(),
        *models.values(),
    ]
    references, definitions = models_json_schema([(model, "validation") for model in every])
    place = {model: references[model, "validation"] for model in every}
    for name, model in models.items():
        definition = definitions["$defs"][place[model]["$ref"].rpartition("/")[2]]
        definition["properties"]["destination"] = {"const": name}
    return {
        "$schema": DIALECT,
        "title": "streams",
        "type": "object",
        "additionalProperties": False,
        "required": ["kafka"],
        # Events may be wanted on Kafka alone.
        "anyOf": [
            {"required": [section], "properties": {section: {"minProperties": 1}}}
            for section in ("connectors", "inlets")
        ],
        "properties": {
            "kafka": {**place[Kafka]},
            "source": {**place[Source]},
            "http": {**place[Http]},
            "notify": {**place[CommonNotify]},
            "receiver": {**place[Receiver]},
            "console": {**place[Console]},
            "inlets": _inlets({name: place[model] for name, model in INLET_KINDS.items()}),
            "connectors": _connectors({name: place[model] for name, model in models.items()}),
        },
        "$defs": definitions["$defs"],
    }


def _connectors(references: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """By destination, where its connectors' schema is."""
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{CONNECTOR_NAME_PATTERN}$", "not": {"const": SOURCE}},
        "additionalProperties": _chosen_by("destination", references),
    }


def _inlets(references: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """By kind, where its inlets' schema is."""
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{CONNECTOR_NAME_PATTERN}$"},
        "additionalProperties": _chosen_by("kind", references),
    }


def _chosen_by(key: str, references: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    """A section whose other keys depend on this one."""
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": sorted(references)}},
        "allOf": [
            {"if": {"required": [key], "properties": {key: {"const": name}}}, "then": reference}
            for name, reference in references.items()
        ],
    }
