"""Identities of a user as mParticle's several outputs spell them, by the names that the configuration uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.wayback.bodies.taken import text_of

_SPELLINGS: Mapping[str, str] = {
    "customer": "customer_id", "customerid": "customer_id", "mobilenumber": "mobile_number",
    "phonenumber2": "phone_number_2", "phonenumber3": "phone_number_3", "mpid": "mpid",
    **{f"other{number}": f"other_id_{number}" for number in range(2, 11)},
    **{f"otherid{number}": f"other_id_{number}" for number in range(2, 11)},
}  # fmt: skip
"""Firehose's and Kinesis's names, without underscores and in lower case, to those of the Events API."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`is_hashed`: sent as a hash, which is no id that Braze knows."""

    value: str
    is_hashed: bool = False


def identities(found: object, mpid: object = None) -> dict[str, Identity]:
    """By type. Arrays of `{identity_type, identity}` or `{type, encoding, value}`, or an object; others are ignored."""
    by_type: dict[str, Identity] = {}
    for kind, value, encoding in _each(found):
        text = text_of(value)
        if text:
            by_type[spelled(kind)] = Identity(text, encoding not in (None, "", "raw"))
    if (text := text_of(mpid)) is not None:
        by_type.setdefault("mpid", Identity(text))
    return by_type


def unreadable(found: object) -> list[object]:
    """Identities that say no type, or whose value is neither a text nor a whole number: what `identities` leaves out
    though it is there."""
    if isinstance(found, dict):
        return [{kind: value} for kind, value in found.items() if value is not None and text_of(value) is None]
    if isinstance(found, list):
        return [item for item in found if not _is_readable(item)]
    return [] if found is None else [found]


def _is_readable(item: object) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("identity_type", item.get("type")), str):
        return item == {}
    value = item.get("identity", item.get("value"))
    return value is None or text_of(value) is not None


def spelled(kind: str) -> str:
    """A type's name as the configuration spells it."""
    plain = kind.lower().replace("_", "")
    return _SPELLINGS.get(plain, kind.lower())


def _each(found: object) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(found, dict):
        for kind, value in found.items():
            yield kind, value, None
    elif isinstance(found, list):
        for item in found:
            if not isinstance(item, dict):
                continue
            kind = item.get("identity_type", item.get("type"))
            if isinstance(kind, str):
                yield kind, item.get("identity", item.get("value")), item.get("encoding", item.get("identity_encoding"))
