"""What a destination would get of a sample event: with a connector's own settings, but without its credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel

from streams.config import Connector
from streams.delivery.contract import Destination
from streams.events.encodings import SINGLE_OBJECT_HEADER_BYTES, encode_single_object
from streams.events.schemas import shipped
from streams.values import Secret


@dataclass(frozen=True, slots=True)
class Payload:
    """Credential scope and content: JSON where the destination takes it, else text."""

    scope: str
    content: Any


def payload_of(destination: Destination, event_type: str, record: Mapping[str, Any]) -> Payload | None:
    """Of a record that fits the shipped schema; None where nothing of it is sent."""
    schema = shipped().by_event_type(event_type)
    encoder = None if schema is None else destination.encoder(schema)
    if schema is None or encoder is None:
        return None
    encoded = encoder(encode_single_object(schema, dict(record)), SINGLE_OBJECT_HEADER_BYTES)
    if not isinstance(encoded, tuple):
        return None
    scope, body, _ = encoded
    if destination.composer is not None:  # its encoder makes what the composer reads
        body = destination.request(scope, [body]).body
    try:
        return Payload(scope, orjson.loads(body))
    except orjson.JSONDecodeError:  # not every destination takes JSON
        return Payload(scope, body.decode(errors="replace"))


def shown_destination(connector: Connector) -> Destination:
    """The connector's vendor side with made-up credentials, so that a payload can be shown to anyone.

    One that receives from vendors is the example's, for samples are of its entries. Raises `ValueError` where the salt
    of its hashes cannot be read.
    """
    example = connector.kind.example()
    if connector.kind.is_received:
        return connector.build_with(example)
    made_up: dict[Secret, Secret] = {}
    for name in type(example).model_fields:  # the example's keys have the right form
        own, other = getattr(connector.settings, name), getattr(example, name)
        if isinstance(own, Secret) and isinstance(other, Secret):
            made_up[own] = other
    return connector.build_with(_without_secrets(connector.settings, made_up))


def _without_secrets(value: Any, made_up: dict[Secret, Secret]) -> Any:
    """The same value with a made-up secret for each that it holds; equal ones stay equal."""
    match value:
        case Secret():
            return made_up.setdefault(value, Secret(f"made-up-{len(made_up)}"))
        case BaseModel():
            changed = {name: _without_secrets(getattr(value, name), made_up) for name in type(value).model_fields}
            return value.model_copy(update=changed)
        case Mapping():
            return {key: _without_secrets(item, made_up) for key, item in value.items()}
        case tuple() | list():
            return type(value)(_without_secrets(item, made_up) for item in value)
        case _:
            return value
