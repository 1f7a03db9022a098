"""Rows that a sink keeps of itself in `streams.sent.<connector>`, beside those that its composer asks for. Pure.

| key | value |
|---|---|
| `seen/<offset>` | ids of events that one commit delivered, and when; 24 hours. The offset is of the last of them |
| `flight/<scope>` | the events of a request that is on its way, so that a crash can be counted |

Keys of composers begin with other words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

SEEN: Final = b"seen/"
FLIGHT: Final = b"flight/"
SEEN_SECONDS: Final = 86_400
"""A sender repeats an event within a day: mParticle takes no data that is older than that."""


def seen_row(offset: int) -> bytes:
    """Of a commit that delivered events; the last of them is the record at this offset."""
    return SEEN + str(offset).encode()


def flight_row(scope: str) -> bytes:
    """Of the one request of a scope that is on its way."""
    return FLIGHT + scope.encode()


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

    It is kept before the request goes out, and taken away with the commit that settles it. A new owner that finds one
    cannot know whether the destination took it. It sends the events again, so it counts them as maybe doubled.
    """

    first_offset: int
    last_offset: int
    events: int

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {"v": 1, "first_offset": self.first_offset, "last_offset": self.last_offset, "events": self.events}
        )


def seen(value: bytes) -> Seen:
    """Raises `ValueError` for bytes that are none."""
    content = row_content(value)
    try:
        return Seen(tuple(content["ids"]), content["at"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a row of seen events: {type(error).__name__}") from None


def flight(value: bytes | None) -> Flight | None:
    """Raises `ValueError` for bytes that are none."""
    if value is None:
        return None
    content = row_content(value)
    try:
        return Flight(content["first_offset"], content["last_offset"], content["events"])
    except KeyError as error:
        raise ValueError(f"not a row of a flight: {error} is missing") from None


def row_content(value: bytes) -> dict[str, Any]:
    """A row's JSON object. Raises `ValueError` for bytes that are none of version 1."""
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("a row that is not JSON") from None
    if not isinstance(content, dict) or content.get("v") != 1:
        raise ValueError("a row of a version that this program does not know")
    return content
