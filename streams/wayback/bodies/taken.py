"""What a body becomes: records, counted skips, and the vendor's answer; or a refusal of the whole body."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from streams.wayback.records import BODY_BYTES_MAX, Attributes, Event, Malformed, Purchase, Record

EXTERNAL_ID_BYTES_MAX = 987
"""Braze takes no longer one."""
RECORD_BYTES_MAX = 900_000
"""Of an item: Kafka's own limit of a record is a million by default."""

ReceiverSkip = Literal["loop", "not_selected", "no_external_user_id", "hashed_identity", "not_mapped"]


RECORDS_MAX = 50_000
"""Of one body. Mixpanel sends a thousand members, mParticle's batches are smaller; each record costs some 500 bytes."""
MARKS_LEAST = 50_000
BYTES_PER_MARK = 16
"""Objects and lists of a large body are longer on average, and each costs some 250 bytes of memory."""


class BadBody(Exception):
    """Nothing of the body can be taken, and no retry cures it: a setup fault, answered 400. The text holds no value."""

    status = 400


class TooManyItems(BadBody):
    """The body is small as bytes, and too large for the memory once it is read."""

    status = 413

    def __init__(self) -> None:
        super().__init__("the body holds too many items; send them in several bodies")


class Records(list[Record]):
    """The records of one body, which are bounded."""

    def append(self, record: Record) -> None:
        """Raises `TooManyItems`."""
        if len(self) >= RECORDS_MAX:
            raise TooManyItems
        super().append(record)


def require_few_items(body: bytes) -> None:
    """Before the body is read as JSON. Raises `TooManyItems`."""
    if body.count(b"{") + body.count(b"[") > max(MARKS_LEAST, len(body) // BYTES_PER_MARK):
        raise TooManyItems


@dataclass(slots=True)
class Taken:
    """What one request becomes. All of it is written in one transaction, or nothing."""

    entry: str
    received_ms: int
    request: str
    """An id of our own for this request."""
    records: Records = field(default_factory=Records)
    skipped: Counter[ReceiverSkip] = field(default_factory=Counter)
    answer: Mapping[str, Any] = field(default_factory=dict)

    def put(self, record: Attributes | Event | Purchase, item: object) -> None:
        """Adds a record, or the item as malformed where the record would be larger than Kafka takes."""
        text = record.changes if isinstance(record, Attributes) else record.properties
        if len(text.encode()) > RECORD_BYTES_MAX:
            self.malformed(f"the item has more than {RECORD_BYTES_MAX} bytes", item)
        else:
            self.records.append(record)

    def leave_out(self, attributes: int) -> None:
        """So many attributes of a user, or purposes of consent, are not selected; their record holds the others."""
        if attributes:
            self.skipped["not_selected"] += attributes

    def malformed(self, reason: str, item: object) -> None:
        """An item that no retry makes whole: it is parked, so that a person sees it.

        Without Firehose's `account`, which holds keys.
        """
        if isinstance(item, dict) and "account" in item:
            item = {name: value for name, value in item.items() if name != "account"}
        body = orjson.dumps(item, option=orjson.OPT_SORT_KEYS)
        shown = body[:BODY_BYTES_MAX].decode(errors="ignore")
        found = hashlib.sha256(self.entry.encode() + b"/" + body).hexdigest()
        self.records.append(
            Malformed(
                id=found, entry=self.entry, time_ms=self.received_ms, received_ms=self.received_ms, reason=reason,
                body=shown,
            )
        )  # fmt: skip

    def is_usable(self, external_id: str | None, item: object) -> bool:
        """Whether this is a user's external id; else it is counted, or the item is malformed."""
        if external_id is None or not external_id.strip():
            self.skipped["no_external_user_id"] += 1
            return False
        if len(external_id.encode()) > EXTERNAL_ID_BYTES_MAX:
            self.malformed(f"the external id has more than {EXTERNAL_ID_BYTES_MAX} bytes", item)
            return False
        return True


def items_of(content: object) -> list[Any]:
    """A body that is one item or a list of them. Raises `BadBody` where it is neither an object nor a list."""
    match content:
        case dict():
            return [content]
        case list():
            return content
        case _:
            raise BadBody("the body is neither a JSON object nor a list of them")


def text_of(value: object) -> str | None:
    """An id that came as text or as a whole number."""
    match value:
        case bool():
            return None
        case str():
            return value
        case int():
            return str(value)
        case _:
            return None


def milliseconds(value: object) -> int | None:
    """A time in milliseconds since 1970, as a number or as text."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    return int(value)
