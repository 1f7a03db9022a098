"""What a receiver writes and a sink of Braze reads: one record for at most one object of Braze.

Values are Avro in single-object encoding with the schemas of `avro/wayback/`, so whatever reads dead letters reads
these too. A Currents event is never one of them: their namespace is `wayback`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from streams.events.encodings import encode_single_object
from streams.events.schema import WriterSchema
from streams.events.schemas import shipped

NAMESPACE = "wayback."
"""What stands before the name of every record of the way back."""

BODY_BYTES_MAX = 100_000
"""Of a malformed item: enough to see what is wrong with it."""

Change = Literal["add", "remove", "present"]
"""`present`: a member of a full copy, which says nothing before the copy is complete."""
Target = Literal["attribute", "cohort"]
Purpose = Literal["session", "clear", "resend", "name", "subscribe", "unsubscribe", "forget"]
"""What a `Page` says of its group. `session`: a page of a full copy is complete. `clear`, `resend`: a person wants it
empty, or its members sent again. `name`: this is its name now. `subscribe`, `unsubscribe`: mParticle connected it to
this output, or took it off; the first one tells its name, too. `forget`: users are to be forgotten; `group_id` is the
salt, `request` the hashes of their ids.
"""
AttributesMessage = Literal["attributes", "identities", "opt_out", "consent", "push_registration"]
"""What the changes of an `Attributes` record are, by mParticle's names:

`attributes`: user attributes, `true` for a tag. `identities`: `email`, `facebook`, `twitter`. `opt_out`: `opted_out`.
`consent`: GDPR purposes, each true or false. `push_registration`: `token` and `device_id`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What all records hold. `id` is the same whenever the vendor repeats itself.

    `entry` is the entry under `receive` that took it; `external_user_id` is empty where there is no user; `time_ms` is
    the vendor's time where it tells one, else the time of receipt.
    """

    id: str
    entry: str
    external_user_id: str = ""
    time_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership(Record):
    """A user is, is not, or is by a full copy in a cohort or audience."""

    group_id: str
    group_name: str
    change: Change
    target: Target = "attribute"
    session: str | None = None
    page: int | None = None
    request: str | None = None
    """Which request brought a member of a full copy: a page that comes again is told from its first version."""
    again: str | None = None
    """It was derived from what is remembered, and says nothing new of who is in; the text says what for. It is sent
    though nothing changed, if it is not for a name (`name/…`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Record):
    """A word about a whole group: each partition gets one, a page of a full copy behind the members that it has of the
    page."""

    group_id: str
    group_name: str
    purpose: Purpose = "session"
    session: str
    page: int = 1
    pages: int = 1
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes(Record):
    """Attributes of a user that changed: `changes` is a JSON object by mParticle's names, where null deletes."""

    changes: str
    message_type: str = "attributes"
    """An `AttributesMessage`; a newer receiver may know more of them."""
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """Something that a user did; `properties` is a JSON object."""

    name: str
    properties: str = "{}"
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase(Record):
    """One product that a user bought, at most 100 pieces; `price` is of one piece."""

    product_id: str
    currency: str
    price: float
    quantity: int = 1
    properties: str = "{}"
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed(Record):
    """An item that no retry makes whole: the sink parks it, so that a person sees it."""

    reason: str
    body: str


RECORDS: Mapping[str, type[Record]] = {
    NAMESPACE + kind.__name__: kind for kind in (Membership, Page, Attributes, Event, Purchase, Malformed)
}
"""Every kind of record, by its full name."""

Reader = Callable[[bytes, int], Record]


def encode(record: Record) -> bytes:
    """The record's value. Raises `ValueError` where a field does not fit the schema."""
    kind = type(record)
    datum: dict[str, Any] = {name: getattr(record, name) for name in _names(kind.__name__)}
    datum["external_user_id"] = record.external_user_id or None
    datum["time"] = record.time_ms // 1000
    return encode_single_object(_schema(kind.__name__), datum)


def reader(schema: WriterSchema) -> Reader | None:
    """Reads datums of a writer's schema, whichever version of ours it is; None: it is not a record of the way back.

    The reader raises `ValueError` for bytes that are none, and for a record that lacks a field.
    """
    kind = RECORDS.get(schema.event_type)
    if kind is None:
        return None
    names = frozenset(_names(kind.__name__))

    def read(value: bytes, start: int) -> Record:
        datum = schema.decode(value, start)
        found = {name: content for name, content in datum.items() if name in names}
        found["external_user_id"] = found.get("external_user_id") or ""
        try:
            return kind(**found)
        except TypeError:
            raise ValueError(f"the record lacks a field of {schema.event_type}") from None

    return read


@cache
def _schema(name: str) -> WriterSchema:
    schema = shipped().by_event_type(NAMESPACE + name)
    assert schema is not None, f"avro/wayback/ lacks {name}"
    return schema


@cache
def _names(name: str) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(RECORDS[NAMESPACE + name]))
