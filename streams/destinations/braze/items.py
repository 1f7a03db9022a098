"""What the encoder hands to the composer: a letter for the kind, the length of a head, the head, and what is behind it.

| letter | head | behind it |
|---|---|---|
| `e`, `p` | id, as text | the object of `events` or `purchases`, as it is sent |
| `E`, `P` | id and losses, as JSON | the same, of which something was dropped or cut |
| `a` | user, whether only an existing one, changes by word, losses | |
| `m` | user, whether only an existing one, group, its name, joins, whether it is sent again, time, echo | |
| `s` | copy's group, session, user, page, request | |
| `c` | entry, group id, name, purpose, session, page, pages, request, time, time of receipt | |
| `x` | reason, id | |

The others have a head of JSON. An event's object is not parsed again. No other code knows this form, and nothing
keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

EVENT, PURCHASE, ATTRIBUTES, MEMBERSHIP, PRESENT, PAGE, MALFORMED = b"epamscx"
"""Kinds: the first byte of a body."""
CUT_EVENT, CUT_PURCHASE = b"EP"
LENGTH_BYTES: Final = 4
EVENT_HEADS: Final = [b"%c%b" % (EVENT, length.to_bytes(LENGTH_BYTES, "big")) for length in range(256)]
"""What is before an event's id, by the length of the id: nearly all are shorter than this."""

Losses = Mapping[str, int]
"""How many values were dropped or cut, by why and name of the field: `type/colour`."""


NO_LOSSES: Losses = {}


class Sent(NamedTuple):
    """An event or a purchase."""

    id: str
    losses: Losses
    json: bytes


class Changes(NamedTuple):
    """Attributes of a user, by word: see `streams.destinations.braze.words`."""

    user: str
    only_existing: bool
    words: Mapping[str, Any]
    losses: Losses


class Joins(NamedTuple):
    """A user is in a group from now on, or is not. `again`: it is sent though it is not new. `echo`: see `Word`."""

    user: str
    only_existing: bool
    group: str
    name: str
    is_member: bool
    again: bool
    at_ms: int
    echo: bool


class Present(NamedTuple):
    """A member of a full copy."""

    group: str
    session: str
    user: str
    page: int
    request: str


class Marker(NamedTuple):
    """A page is complete, a group is to be emptied, or its members are to be sent again."""

    entry: str
    group_id: str
    name: str
    purpose: str
    session: str
    page: int
    pages: int
    request: str
    time_ms: int
    received_ms: int


class Malformed(NamedTuple):
    """An item that nobody can send."""

    reason: str
    id: str


def packed(kind: int, head: Sequence[Any]) -> bytes:
    """A body that is all head."""
    return _with_head(kind, orjson.dumps(head))


def packed_object(kind: int, record_id: str, losses: Losses, json: bytes) -> bytes:
    """An event or a purchase."""
    if losses:
        kind = CUT_EVENT if kind == EVENT else CUT_PURCHASE
        return _with_head(kind, orjson.dumps((record_id, losses)), json)
    return _with_head(kind, record_id.encode(), json)


def head(body: bytes) -> list[Any]:
    """The head of a body that `packed` made."""
    found: list[Any] = orjson.loads(body[1 + LENGTH_BYTES :])
    return found


def sent(body: bytes) -> Sent:
    """An event or a purchase."""
    end = 1 + LENGTH_BYTES + int.from_bytes(body[1 : 1 + LENGTH_BYTES], "big")
    text = body[1 + LENGTH_BYTES : end]
    if body[0] in (CUT_EVENT, CUT_PURCHASE):
        record_id, losses = orjson.loads(text)
        return Sent(record_id, losses, body[end:])
    return Sent(text.decode(), NO_LOSSES, body[end:])


def _with_head(kind: int, head: bytes, rest: bytes = b"") -> bytes:
    return b"%c%b%b%b" % (kind, len(head).to_bytes(LENGTH_BYTES, "big"), head, rest)
