"""Does the walker's work on records that fastavro decoded. For schemas with fields that the walker cannot read."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from streams.events.schema import Kind, WriterSchema
from streams.events.walker import BOOLEAN, DOUBLE, FLOAT, LONG, STRING, Op, cut, shortest_float

_TYPES: Mapping[int, type] = {STRING: str, LONG: int, BOOLEAN: bool, FLOAT: float, DOUBLE: float}


def pick(
    record: Mapping[str, Any],
    schema: WriterSchema,
    ops: list[Op],
    properties: dict[str, Any],
    captured: list[Any],
    string_bytes_max: int,
) -> int:
    """As `walk`, for a record that fastavro decoded: for schemas with fields that the walker cannot read."""
    cuts = 0
    for field, op in zip(schema.fields, ops, strict=True):
        item = record.get(field.name)
        if isinstance(item, list):
            item = [element for element in item if _is_scalar(element)]
        if item is None or item == "" or item == [] or not isinstance(item, str | int | float | bool | list):
            continue
        if isinstance(item, float):
            if not math.isfinite(item):
                continue
            if field.kind == Kind.FLOAT:
                item = shortest_float(struct.pack("<f", item))
        if op.slot >= 0 and type(item) is _TYPES.get(op.code):
            captured[op.slot] = item
        if op.key:
            if isinstance(item, str) and len(item) * 4 > string_bytes_max and len(item.encode()) > string_bytes_max:
                item = cut(item, string_bytes_max)
                cuts += 1
            properties[op.key] = item
    return cuts


def _is_scalar(item: Any) -> bool:
    """Whether an item of an array can be sent: it is not null, not nested, and no number that JSON does not have."""
    if isinstance(item, float):
        return math.isfinite(item)
    return isinstance(item, str | int)
