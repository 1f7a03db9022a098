"""The JSON Schema of the file agrees with what the loader takes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from streams.config.schema import json_schema
from tests.config.test_problems import BROKEN
from tests.config.test_settings import FULL
from tests.config.vendors import REGISTRY

BEYOND_A_SCHEMA = (
    "must not be larger than replication",
    "must be a regular expression",
    "must be a topic's name",
    "kafka.topic_prefix",
    "folder",
    "http://",
    "password",
    "environment variable",
    "secret file",
    "finite",
    "more than 0",
    "smtp.host",
    "users.messages.email.Open",
    "must be set",  # of a section that is empty: tested apart
    "occurs twice",
)
"""Fixes of mistakes that depend on the machine, on another key, or on what a regular expression is."""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(REGISTRY)


def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_a_good_file_is_valid(schema: dict[str, Any]) -> None:
    jsonschema.validate(yaml.safe_load(FULL), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "text",
    [text for text, path, _, fix in BROKEN if path and not any(beyond in fix for beyond in BEYOND_A_SCHEMA)],
)
def test_a_broken_file_is_invalid(text: str, schema: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "connector",
    [
        {"destination": "acme"},
        {"destination": "acme", "project_token": "t", "feeds": {}},
        {"destination": "bolter", "feeds": {"ios": {"key": "k"}}},
        {"destination": "bolter", "feeds": {"ios": {"key": "k", "secret": "s"}}, "region": "us"},
        {},
    ],
)
def test_each_destination_has_its_own_keys(connector: dict[str, Any], schema: dict[str, Any]) -> None:
    document = {"kafka": {"bootstrap_servers": "k:1"}, "connectors": {"one": connector}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
