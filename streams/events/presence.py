"""Whether an event has a user, and which. The router checks every event, and skips those without one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from streams.events.schema import Kind, Undecodable, WriterSchema
from streams.events.walker import CORRUPT, MISSING, PRESENT, UNDECODABLE, Op, presence, repaired, user_text
from streams.events.walker_table import plan

USER_FIELD = "external_user_id"


def presence_reader(schema: WriterSchema) -> Callable[[bytes, int], int]:
    """Makes a function of a value and its datum's start. It tells whether the event has a user that is not blank.

    It returns PRESENT, MISSING or UNDECODABLE, raises nothing, and reads only up to the user.
    """
    names = [field.name for field in schema.fields]
    if USER_FIELD not in names:
        return lambda _value, _start: MISSING
    ops = plan(schema, {}, {USER_FIELD: 0})[: names.index(USER_FIELD) + 1]
    if any(field.kind is Kind.OTHER for field in schema.fields[: len(ops)]):
        return lambda value, start: _decoded_presence(schema, value, start)

    return partial(presence, ops)


def text_reader(schema: WriterSchema, name: str) -> Callable[[bytes, int], str | None]:
    """Makes a function of a value and its datum's start that gives the text of a field: who the user is.

    It returns None where there is none or where it cannot be read, raises nothing, and reads only up to the field.
    """
    names = [field.name for field in schema.fields]
    if name not in names:
        return lambda _value, _start: None
    ops = plan(schema, {}, {name: 0})[: names.index(name) + 1]
    if any(field.kind is Kind.OTHER for field in schema.fields[: len(ops)]) or ops[-1].slot < 0:
        return lambda value, start: _decoded_text(schema, name, value, start)

    return partial(_read_text, ops)


def _read_text(ops: list[Op], value: bytes, start: int) -> str | None:
    try:
        return user_text(ops, value, start)
    except UnicodeDecodeError:
        try:
            return user_text(ops, repaired(ops, value, start)[0], 0)
        except (Undecodable, *CORRUPT):
            return None
    except (Undecodable, *CORRUPT):
        return None


def _decoded_text(schema: WriterSchema, name: str, value: bytes, start: int) -> str | None:
    try:
        text = schema.decode(value, start).get(name)
    except Undecodable:
        return None
    return text if isinstance(text, str) else None


def _decoded_presence(schema: WriterSchema, value: bytes, start: int) -> int:
    try:
        user = schema.decode(value, start).get(USER_FIELD)
    except Undecodable:
        return UNDECODABLE
    return PRESENT if isinstance(user, str) and user.strip() else MISSING
