"""The rows that a sink of Braze will keep in `streams.sent.<name>`, beside those of users: their keys and values. Pure.

| key | value |
|---|---|
| `user/<external id>` | what was last sent of the user: `streams.wayback.memory` |
| `group/<entry>/<group>` | the copies of a cohort or audience in this partition: floor, open ones, ended ones |
| `seen/<offset>` | ids of events that one commit delivered, and when; 24 hours |
| `flight` | the events of a request that is on its way, so that a crash can be counted |

Each partition of the connector's topic has its own rows, in the same partition of `streams.sent.<name>`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from streams.wayback.copies import Copy, GroupCopies

FLIGHT = b"flight"
SEEN_SECONDS = 86_400
"""mParticle's greatest age of data: a retry that comes later than that is no retry."""


def user_row(external_id: str) -> bytes:
    return f"user/{external_id}".encode()


def group_row(group: str) -> bytes:
    """`group` is `<entry>/<group id>`."""
    return f"group/{group}".encode()


def seen_row(offset: int) -> bytes:
    """Of the commit that reached this offset."""
    return f"seen/{offset}".encode()


@dataclass(frozen=True, slots=True)
class Seen:
    """Events that one commit delivered."""

    ids: tuple[str, ...]
    at_s: int

    def is_over(self, now_s: int) -> bool:
        """Whether nobody can repeat them any more."""
        return now_s - self.at_s >= SEEN_SECONDS

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": 1, "ids": self.ids, "at": self.at_s})


@dataclass(frozen=True, slots=True)
class Flight:
    """A request with events that is about to go out: the offsets of its first and last record, and how many events.

    It is kept before the request goes out, with `sendings` raised before it goes out again, and taken away with the
    commit that settles it. A new owner that finds one that was not settled cannot know whether Braze took it. It sends
    the events again, so they may be doubled.
    """

    first_offset: int
    last_offset: int
    events: int
    sendings: int = 1

    def again(self) -> Flight:
        """Before the same request goes out once more: its answer was lost."""
        return Flight(self.first_offset, self.last_offset, self.events, self.sendings + 1)

    @property
    def maybe_doubled(self) -> int:
        """How often an event of it may be in Braze beyond once, by the sendings whose answer nobody got."""
        return self.events * (self.sendings - 1)

    @property
    def maybe_doubled_by_a_crash(self) -> int:
        """For a new owner, who sends once more: the last sending's answer is lost, too."""
        return self.again().maybe_doubled

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": 1, **asdict(self)})


def copies_to_bytes(copies: GroupCopies) -> bytes:
    opened = {
        session: [
            copy.first_place,
            copy.at_s,
            copy.pages,
            {str(page): request for page, request in copy.versions.items()},
        ]
        for session, copy in copies.open.items()
    }
    return orjson.dumps({"v": 1, "floor": copies.floor, "open": opened, "ended": copies.ended})


def copies(value: bytes | None) -> GroupCopies:
    """Raises `ValueError` for bytes that are none."""
    if value is None:
        return GroupCopies()
    content = _content(value)
    try:
        opened = {
            session: Copy(first, at_s, pages, {int(page): request for page, request in versions.items()})
            for session, (first, at_s, pages, versions) in content["open"].items()
        }
        return GroupCopies(content["floor"], opened, content["ended"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no copies of a group: {type(error).__name__}") from None


def seen(value: bytes) -> Seen:
    """Raises `ValueError` for bytes that are none."""
    content = _content(value)
    try:
        return Seen(tuple(content["ids"]), content["at"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"no seen events: {type(error).__name__}") from None


def flight(value: bytes | None) -> Flight | None:
    """Raises `ValueError` for bytes that are none."""
    if value is None:
        return None
    content = _content(value)
    try:
        return Flight(content["first_offset"], content["last_offset"], content["events"], content["sendings"])
    except KeyError as error:
        raise ValueError(f"no flight: {error} is missing") from None


def _content(value: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("a row that is no JSON") from None
    if not isinstance(content, dict) or content.get("v") != 1:
        raise ValueError("a row of a version that this program does not know")
    return content
