"""The rows that a sink of Braze keeps in `streams.sent.<name>`, beside those of users: their keys and values. Pure.

| key | value |
|---|---|
| `user/<external id>` | what was last sent of the user: `streams.wayback.memory` |
| `group/<entry>/<group>` | the copies of a cohort or audience in this partition: floor, open ones, ended ones |
| `import/<external id>` | the same of Braze's cohort import, which is delivered apart |
| `name/<entry>/<group>` | the name under which members of the group were last sent |
| `subscription/<entry>/<group>` | whether mParticle says that an audience is connected to us, and its name |
| `malformed/<id>` | the place of a malformed item that was parked, and when; 24 hours |
| `told/<entry>/<group>` | the name under which Braze's cohort import knows the group |

Rows that every sink with a memory keeps are in `streams.delivery.sent_rows`.

A row is changed by requests of one scope alone, or by remarks alone: what two changed at the same time, the later one
would undo of the earlier. So the name of a group is in a row of its own.

Each partition of the connector's topic has its own rows, in the same partition of `streams.sent.<name>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import orjson

from streams.delivery.sent_rows import row_content
from streams.wayback.copies import Copy, GroupCopies

USER, IMPORT = b"user/", b"import/"
"""Begin the keys of rows that say in which groups a user is."""
GROUP = b"group/"
SUBSCRIPTION = b"subscription/"
MALFORMED = b"malformed/"
MALFORMED_SECONDS = 86_400


Name = tuple[str, int]
"""A group's name, and the place of the word that brought it."""


def user_row(external_id: str) -> bytes:
    return USER + external_id.encode()


def import_row(external_id: str) -> bytes:
    return IMPORT + external_id.encode()


def user_of(key: bytes) -> str | None:
    """Whom a row is about that says in which groups a user is; None for every other row."""
    for prefix in (USER, IMPORT):
        if key.startswith(prefix):
            return key.removeprefix(prefix).decode()
    return None


def name_row(group: str) -> bytes:
    return f"name/{group}".encode()


def told_row(group: str) -> bytes:
    return f"told/{group}".encode()


def malformed_row(record_id: str) -> bytes:
    return MALFORMED + record_id.encode()


def subscription_row(group: str) -> bytes:
    return SUBSCRIPTION + group.encode()


def group_row(group: str) -> bytes:
    """`group` is `<entry>/<group id>`."""
    return GROUP + group.encode()


def copies_to_bytes(copies: GroupCopies) -> bytes:
    opened = {
        session: [
            copy.first_place,
            copy.began_s,
            copy.at_s,
            copy.pages,
            {str(page): request for page, request in copy.versions.items()},
        ]
        for session, copy in copies.open.items()
    }
    named = {"name": copies.name, "named": copies.named}
    return orjson.dumps({"v": 1, "floor": copies.floor, "open": opened, "ended": copies.ended, **named})


@lru_cache(maxsize=256)
def copies(value: bytes | None) -> GroupCopies:
    """Raises `ValueError` for bytes that are none."""
    if value is None:
        return GroupCopies()
    content = row_content(value)
    try:
        opened = {
            session: Copy(first, began_s, at_s, pages, {int(page): request for page, request in versions.items()})
            for session, (first, began_s, at_s, pages, versions) in content["open"].items()
        }
        return GroupCopies(content["floor"], opened, content["ended"], content.get("name", ""), content.get("named", 0))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a row of a group's copies: {type(error).__name__}") from None


@dataclass(frozen=True, slots=True)
class Parked:
    """A malformed item that has its letter."""

    place: int
    at_s: int

    def is_over(self, now_s: int) -> bool:
        """Whether it is parked again when it is repeated."""
        return now_s - self.at_s >= MALFORMED_SECONDS

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": 1, "place": self.place, "at": self.at_s})


def parked(value: bytes) -> Parked:
    """Raises `ValueError` for bytes that are none."""
    content = row_content(value)
    try:
        return Parked(content["place"], content["at"])
    except KeyError as error:
        raise ValueError(f"not a row of a malformed item: {error} is missing") from None


@dataclass(frozen=True, slots=True)
class Subscription:
    """mParticle's last word about an audience and this output. `at_s`: seconds since 1970."""

    is_on: bool
    name: str
    place: int
    at_s: int

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": 1, "on": self.is_on, "name": self.name, "place": self.place, "at": self.at_s})


def subscription(value: bytes | None) -> Subscription | None:
    """Raises `ValueError` for bytes that are none."""
    if value is None:
        return None
    content = row_content(value)
    try:
        return Subscription(content["on"], content["name"], content["place"], content["at"])
    except KeyError as error:
        raise ValueError(f"no subscription: {error} is missing") from None


def name_to_bytes(name: str, place: int) -> bytes:
    return orjson.dumps({"v": 1, "name": name, "place": place})


def name(value: bytes | None) -> Name | None:
    """Of `name` and `told`. Raises `ValueError` for bytes that are none."""
    if value is None:
        return None
    content = row_content(value)
    try:
        return content["name"], content["place"]
    except KeyError as error:
        raise ValueError(f"not a row of a group's name: {error} is missing") from None
