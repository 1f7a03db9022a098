"""What the encoders of several destinations share: an event is read by its table, and must have a user, a time and an
id. The vendor's own part makes what is sent of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.delivery.contract import Encoder, Encoding, Rejected
from streams.destinations.privacy import EVERYTHING, Privacy
from streams.destinations.private_events import Finish, private
from streams.events.decoded_records import pick
from streams.events.schema import WriterSchema
from streams.events.walker import CORRUPT, ID, TIME, USER, Op, repaired, walk

UNDECODABLE_DETAIL: Final = "undecodable: the datum does not fit its schema"
SECONDS_MAX: Final = (2**63 - 1) // 1000
"""Beyond this a time in milliseconds is no 64-bit number."""
NOTHING_KEPT: Mapping[int, int] = {}


def event_encoder(
    schema: WriterSchema,
    ops: list[Op],
    *,
    slots: int,
    string_bytes_max: int,
    constants: dict[str, Any],
    finish: Finish,
    privacy: Privacy = EVERYTHING,
    kept: Mapping[int, int] = NOTHING_KEPT,
) -> Encoder:
    """An encoder for events of this schema, with so many slots for captured fields.

    `constants` are in the properties of every event. `finish` gets events that have a user that is not blank, a time
    and an id, as `privacy` lets them leave; it must not keep the properties. `kept`: slots in which fields that
    `privacy` hides stay readable, by the slots that they have else.
    """
    is_walkable = schema.is_walkable
    ops, slots, finish = private(schema, ops, slots, finish, privacy, kept)

    def encode(value: bytes, start: int, /) -> Encoding:
        properties = constants.copy()
        captured: list[Any] = [None] * slots
        try:
            if is_walkable:
                cuts = walk(value, start, ops, properties, captured, string_bytes_max)
            else:
                cuts = pick(schema.decode(value, start), schema, ops, properties, captured, string_bytes_max)
        except (ValueError, *CORRUPT) as error:
            if is_walkable and isinstance(error, UnicodeDecodeError):
                return _encoded_repaired(encode, ops, value, start)
            return Rejected(UNDECODABLE_DETAIL)
        user: str | None = captured[USER]
        time: int | None = captured[TIME]
        if not user or user.isspace():
            return Rejected("no external_user_id")
        if time is None or not -SECONDS_MAX <= time <= SECONDS_MAX:
            return Rejected("time is missing or out of range")
        if captured[ID] is None:
            return Rejected("id is missing")
        return finish(properties, captured, cuts)

    return encode


def _encoded_repaired(encode: Encoder, ops: list[Op], value: bytes, start: int) -> Encoding:
    """What `encode` makes of a datum with bytes that are not UTF-8: U+FFFD stands for them, and each string that had
    some is counted as one that was cut."""
    try:
        datum, changed = repaired(ops, value, start)
    except (ValueError, *CORRUPT):
        return Rejected(UNDECODABLE_DETAIL)
    encoding = encode(datum, 0)
    if isinstance(encoding, tuple):
        scope, body, cuts = encoding
        return scope, body, cuts + changed
    return encoding
