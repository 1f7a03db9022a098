"""What is remembered of objects, and its form on the compacted topic of inlets.

| key | value |
|---|---|
| `inlet/<inlet>` | `Head`: since when, the last listing of everything, counts |
| `taken/<inlet>/<event type>/<hour>/<number>` | objects of that hour, by key: `Entry` |
| `closed/<inlet>/<root>` | `Closed`: older hours of that folder, all taken |
| `order/<inlet>/<key>` | `Order`: what a person asked for, until it is done |

An hour has further numbers only where one record would become too large. Values are JSON with `v`, the version.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson

from streams.inlets.layout import Slot
from streams.inlets.prints import Prints
from streams.state.records import StateError, StateTooNew

VERSION = 1


class State(StrEnum):
    """How an object stands."""

    UNDER_WAY = "under_way"
    DONE = "done"
    DAMAGED = "damaged"
    """It could not be read. It is read once more when its wait is over."""
    PARKED = "parked"
    SKIPPED = "skipped"
    """A person said so."""
    LOST = "lost"
    """It vanished before it was read."""


SETTLED = frozenset({State.DONE, State.SKIPPED, State.LOST})
"""Nothing more is done about these, while their content stays."""


@dataclass(frozen=True, slots=True)
class Container:
    """One Avro file of an object: SHA-256 of its bytes, how many of its records are written, and whether all are."""

    sha256: bytes
    records: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one object with this `etag`. `records` were written of it, this content or an earlier one."""

    etag: str
    size_bytes: int
    modified_ms: int
    state: State
    records: int = 0
    containers: tuple[Container, ...] = ()
    prints: Prints = field(default=Prints())
    reason: str = ""
    since_ms: int = 0
    """When it was found damaged or parked first."""
    salvages: bool = False
    """Whether a person wants what can be read of it, before it is skipped."""

    def to_json(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "etag": self.etag,
            "size": self.size_bytes,
            "modified": self.modified_ms,
            "state": self.state.value,
            "records": self.records,
        }
        if self.containers:
            content["containers"] = [[_text(one.sha256), one.records, one.is_done] for one in self.containers]
        if self.prints.records:
            prints = self.prints
            content["prints"] = [
                prints.records,
                prints.stride,
                _text(prints.marks),
                _text(prints.head),
                _text(prints.first),
            ]
        if self.reason or self.since_ms:
            content |= {"reason": self.reason, "since": self.since_ms}
        if self.salvages:
            content["salvages"] = True
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        prints = content.get("prints")
        return cls(
            etag=str(content["etag"]),
            size_bytes=int(content["size"]),
            modified_ms=int(content["modified"]),
            state=State(content["state"]),
            records=int(content["records"]),
            containers=tuple(
                Container(_bytes(sha), int(n), bool(done)) for sha, n, done in content.get("containers", ())
            ),
            prints=Prints(int(prints[0]), int(prints[1]), *map(_bytes, prints[2:5])) if prints else Prints(),
            reason=str(content.get("reason", "")),
            since_ms=int(content.get("since", 0)),
            salvages=bool(content.get("salvages", False)),
        )


def _text(content: bytes) -> str:
    return b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return b64decode(text)


@dataclass(frozen=True, slots=True)
class Counts:
    """What an inlet did since its first start."""

    taken: int = 0
    """Objects that were wholly taken."""
    records: int = 0
    rewritten: int = 0
    copies: int = 0
    lost: int = 0
    passed: int = 0
    """Records that Kafka did not take."""

    def of_objects(self) -> dict[str, int]:
        """All but the records that were written."""
        return {name: count for name, count in asdict(self).items() if name != "records"}

    def plus(self, other: Counts) -> Counts:
        return Counts(
            *(mine + theirs for mine, theirs in zip(asdict(self).values(), asdict(other).values(), strict=True))
        )


@dataclass(frozen=True, slots=True)
class Head:
    """An inlet as a whole. `term` is the number of times that a process became the active one."""

    term: int = 0
    instance: str = ""
    started_ms: int = 0
    """When this inlet was started first: `start: now` means this moment."""
    everything_ms: int = 0
    """When the last listing of everything began of which all was taken."""
    ignored: int = 0
    """Objects that are not Currents files, as the last listing of everything found them."""
    pending: int = 0
    """Objects that waited to be taken when this was written; then the time of the oldest."""
    oldest_pending_ms: int = 0
    failing: str = ""
    """Why the inlet could not go on then, in one word."""
    counts: Counts = Counts()

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": VERSION, **asdict(self)})

    @classmethod
    def from_bytes(cls, key: str, value: bytes) -> Head:
        content = _content(key, value)
        try:
            counts = {name: int(content["counts"].get(name, 0)) for name in asdict(Counts())}
            return cls(
                int(content["term"]),
                str(content["instance"]),
                int(content["started_ms"]),
                int(content["everything_ms"]),
                int(content["ignored"]),
                int(content.get("pending", 0)),
                int(content.get("oldest_pending_ms", 0)),
                str(content.get("failing", "")),
                Counts(**counts),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"{key}: {type(error).__name__}") from None

    def counted(self, counts: Counts) -> Head:
        return replace(self, counts=self.counts.plus(counts))


@dataclass(frozen=True, slots=True)
class Closed:
    """Objects of hours before `hour` that were modified until `modified_ms` are done. Without hours: all until then."""

    hour: str
    modified_ms: int

    def holds(self, hour: str, modified_ms: int) -> bool:
        return modified_ms <= self.modified_ms and hour < self.hour if self.hour else modified_ms <= self.modified_ms

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": VERSION, "hour": self.hour, "modified": self.modified_ms})

    @classmethod
    def from_bytes(cls, key: str, value: bytes) -> Closed:
        content = _content(key, value)
        try:
            return cls(str(content["hour"]), int(content["modified"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{key}: {type(error).__name__}") from None


class What(StrEnum):
    """What a person can ask for."""

    RETRY = "retry"
    SKIP = "skip"
    SALVAGE = "salvage"


@dataclass(frozen=True, slots=True)
class Order:
    """A person's order about a parked object."""

    what: What
    who: str
    reason: str
    at_ms: int

    def to_bytes(self) -> bytes:
        return orjson.dumps({"v": VERSION, "what": self.what, "who": self.who, "reason": self.reason, "at": self.at_ms})

    @classmethod
    def from_bytes(cls, key: str, value: bytes) -> Order:
        content = _content(key, value)
        try:
            return cls(What(content["what"]), str(content["who"]), str(content["reason"]), int(content["at"]))
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"{key}: {type(error).__name__}") from None


def taken_key(inlet: str, slot: Slot, number: int) -> str:
    return f"taken/{inlet}/{slot.event_type}/{slot.hour}/{number}"


def slot_of(key: str) -> tuple[Slot, int]:
    """The inverse of `taken_key`."""
    try:
        _, _, event_type, hour, number = key.split("/")
        return Slot(event_type, hour), int(number)
    except ValueError:
        raise StateError(f"{key} is not a key that streams writes") from None


def slot_to_bytes(entries: Mapping[str, Entry]) -> bytes:
    return orjson.dumps({"v": VERSION, "objects": {key: entry.to_json() for key, entry in entries.items()}})


def slot_from_bytes(key: str, value: bytes) -> dict[str, Entry]:
    content = _content(key, value)
    try:
        return {name: Entry.from_json(entry) for name, entry in content["objects"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StateError(f"{key}: {type(error).__name__}") from None


def _content(key: str, value: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(value)
        version = int(content["v"])
    except (KeyError, TypeError, ValueError):
        raise StateError(f"{key} holds no progress of ours") from None
    if version > VERSION:
        raise StateTooNew(f"{key} was written by a newer version of streams: upgrade this process")
    if not isinstance(content, dict):
        raise StateError(f"{key} holds no progress of ours")
    return content
