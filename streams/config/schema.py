"""The JSON Schema of the configuration file, strict, with each destination's own keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streams.config.connector import CONNECTOR_NAME_PATTERN, CommonNotify
from streams.config.http import Http
from streams.config.kafka import Kafka
from streams.config.loader import Registry, connector_model
from streams.config.names import SOURCE
from streams.config.source import Source
from streams.destinations import REGISTRY

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry = REGISTRY) -> dict[str, Any]:
    """The whole file's schema. `destination` decides which keys a connector may have."""
    models = {name: connector_model(kind) for name, kind in sorted(registry.items())}
    every: list[type[BaseModel]] = [Kafka, Source, Http, CommonNotify, *models.values()]
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
        "required": ["kafka", "connectors"],
        "properties": {
            "kafka": {**place[Kafka]},
            "source": {**place[Source]},
            "http": {**place[Http]},
            "notify": {**place[CommonNotify]},
            "connectors": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{CONNECTOR_NAME_PATTERN}$", "not": {"const": SOURCE}},
                "additionalProperties": {
                    "type": "object",
                    "required": ["destination"],
                    "properties": {"destination": {"enum": sorted(models)}},
                    "allOf": [
                        {
                            "if": {"required": ["destination"], "properties": {"destination": {"const": name}}},
                            "then": place[model],
                        }
                        for name, model in models.items()
                    ],
                },
            },
        },
        "$defs": definitions["$defs"],
    }
