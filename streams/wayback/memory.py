"""What was last sent of a user: attributes by hash, and where the user stands in each cohort and audience. Pure.

A *place* is the offset of a record in its partition of the connector's topic; a letter that comes back keeps the place
of its first reading. So a place says which of two words about one user is the later one, however late it comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

HASH_CHARACTERS = 16
"""Of a value's hash, in hex: 64 bits. A collision would hide one change of one attribute of one user."""
OUT_SECONDS_MAX = 30 * 86_400
"""How long it is remembered that a user left: a letter older than that has expired."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a user stands in one group: by the word at `place`. `joined` is the place of the word that let the user in.

    `name` is the group's as it was sent; `at_s` is when that was, in seconds since 1970. Not `is_sure`: a word may have
    been taken whose answer was lost before it was parked, so the next one is sent whatever it says.
    """

    is_member: bool
    name: str
    place: int
    joined: int
    at_s: int
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """The last value of an attribute, as its hash, and the place of the word that said it. Without a hash nobody knows
    the value: see `Standing`."""

    hash: str
    place: int


@dataclass(frozen=True, slots=True)
class UserMemory:
    """All that was last sent of one user. Groups are named by entry and group: see `group_key`."""

    attributes: Mapping[str, Sent] = field(default_factory=dict)
    groups: Mapping[str, Standing] = field(default_factory=dict)

    def with_standing(self, group: str, standing: Standing) -> UserMemory:
        return UserMemory(self.attributes, {**self.groups, group: standing})

    def with_attributes(self, sent: Mapping[str, Sent]) -> UserMemory:
        return UserMemory({**self.attributes, **sent}, self.groups)

    def pruned(self, now_s: int) -> UserMemory:
        """Without what no letter can ask about any more."""
        kept = {
            group: standing
            for group, standing in self.groups.items()
            if standing.is_member or now_s - standing.at_s < OUT_SECONDS_MAX
        }
        return self if len(kept) == len(self.groups) else UserMemory(self.attributes, kept)

    def to_bytes(self) -> bytes:
        attributes = {name: [sent.hash, sent.place] for name, sent in self.attributes.items()}
        groups = {
            group: [int(each.is_member), each.name, each.place, each.joined, each.at_s, *([] if each.is_sure else [0])]
            for group, each in self.groups.items()
        }
        return orjson.dumps({"v": 1, "a": attributes, "g": groups})


def user_memory(value: bytes | None) -> UserMemory:
    """From its bytes; nobody is remembered as nothing. Raises `ValueError` for bytes that are none."""
    if value is None:
        return UserMemory()
    try:
        content = orjson.loads(value)
        if content["v"] != 1:
            raise ValueError("a memory of a version that this program does not know")
        return UserMemory(
            {name: Sent(*sent) for name, sent in content["a"].items()},
            {
                group: Standing(bool(is_member), name, place, joined, at_s, not doubt)
                for group, (is_member, name, place, joined, at_s, *doubt) in content["g"].items()
            },
        )
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError):
        raise ValueError("no memory of a user") from None


def member_groups(value: bytes | None) -> set[str]:
    """The groups that a memory's bytes say the user is in: all that an index needs, at a third of the time.

    Raises `ValueError` for bytes that are none.
    """
    if value is None:
        return set()
    try:
        return {group for group, standing in orjson.loads(value)["g"].items() if standing[0]}
    except (KeyError, TypeError, IndexError, AttributeError, orjson.JSONDecodeError):
        raise ValueError("no memory of a user") from None


class Placed(NamedTuple):
    """A user's standing in one group, without its places."""

    group: str
    name: str
    is_member: bool
    at_s: int


def standings(value: bytes | None) -> Iterator[Placed]:
    """The standings in a memory's bytes, read fast. Raises `ValueError` for bytes that are none."""
    if value is None:
        return
    try:
        for group, (is_member, name, _place, _joined, at_s, *_) in orjson.loads(value)["g"].items():
            yield Placed(group, name, bool(is_member), at_s)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("no memory of a user") from None


def parted(group: str) -> tuple[str, str, str]:
    """Entry, target and the group's id, of a `group_key`."""
    where, _, group_id = group.partition("/")
    entry, _, target = where.partition(":")
    return entry, target or "attribute", group_id


def group_key(entry: str, group_id: str, target: str = "attribute") -> str:
    """Where a group is remembered. An entry's name holds no slash and no colon, so the first ones part the three.

    Memberships that go to Braze's cohort import are others than those that are written to attributes: each is delivered
    with keys of its own, so one may be known while the other waits.
    """
    return f"{entry}/{group_id}" if target == "attribute" else f"{entry}:{target}/{group_id}"


def hash_of(value: Any) -> str:
    """Of an attribute's JSON value; the order of an object's keys does not matter."""
    content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=HASH_CHARACTERS // 2).hexdigest()
