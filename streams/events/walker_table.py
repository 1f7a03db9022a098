"""Makes the table that the walker needs, once per writer's schema. It says which fields are read, and which skipped."""

from __future__ import annotations

from collections.abc import Mapping

from streams.events.schema import Field, Kind, WriterSchema
from streams.events.walker import DROP, TEXT_PROPERTY, TEXT_SKIPPED, Op

SLOT_KINDS: Mapping[str, Kind] = {"time": Kind.LONG}
"""Captured fields that are not strings, with their kind. If the writer's field has another kind, it counts as
missing."""


def plan(
    schema: WriterSchema,
    properties: Mapping[str, str],
    slots: Mapping[str, int],
    kinds: Mapping[str, Kind] = SLOT_KINDS,
) -> list[Op]:
    """The table for a writer's schema.

    `properties` maps Avro fields to the keys they are sent under, `slots` Avro fields to captured slots; a field may
    be in both. Every other field is skipped. `kinds` says which captured fields are not strings.
    """
    return [
        _op(field, properties.get(field.name, ""), slots.get(field.name, DROP), kinds.get(field.name, Kind.STRING))
        for field in schema.fields
    ]


def _op(field: Field, key: str, slot: int, kind: Kind) -> Op:
    if field.kind is Kind.OTHER:  # only `pick` reads it, and needs the kind of the slot
        return Op(int(kind), field.nullable, key, slot)
    if field.kind is not kind:
        slot = DROP
    if field.kind is Kind.STRING and slot == DROP:
        return Op(TEXT_PROPERTY if key else TEXT_SKIPPED, field.nullable, key, slot)
    return Op(int(field.kind), field.nullable, key, slot)
