"""Counts that are stored in the commit's metadata, so that they change atomically with what they count.

The metadata of a sink's commit holds, per partition, what became of its records since the first commit. The metadata
of the router's commit holds how many records were routed. A connector's account is their sum:
routed + imported + again = delivered + skipped + parked + purged + expired + lost + waiting.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson

RouterSkip = Literal["no_mapping", "not_selected", "no_external_user_id", "refused_by_kafka"]
SinkSkip = Literal["no_credentials_for_feed", "refused_by_kafka"]
"""`refused_by_kafka`: a record that not even the topic of its dead letters takes, by its size or by a policy."""
Cause = Literal["credentials", "rejected", "gave-up"]
SourceCause = Literal["undecodable", "unknown-schema", "refused"]
"""`refused`: Kafka did not take the record onto the topic of a connector that wants it."""

METADATA_BYTES_MAX = 1024
"""What the contract promises of a sink's metadata. A router's beyond it, of many connectors, is written with ids."""
KAFKA_METADATA_BYTES_MAX = 4096
"""What Kafka takes of commit metadata by default (offset.metadata.max.bytes)."""
_COMPRESSED = "z1:"
"""Begins metadata of an earlier form: base 85 of zlib of the JSON. It is read, and not written any more."""
_WITH_IDS = "i1:"
"""Begins metadata with ids: base 85 of the other counts as JSON, a line feed, and each connector's id and count."""
ID_BYTES = 6
"""Two of 200 names share an id once in ten thousand million installations; then the configuration says so."""
ID_MARK = "#"
"""Begins an id where names stand too: no name holds it."""


def connector_id(name: str) -> str:
    """Stands for a connector where its name takes too much room; the same for ever."""
    return ID_MARK + base64.urlsafe_b64encode(hashlib.sha256(name.encode()).digest()[:ID_BYTES]).decode()


def same_ids(names: Iterable[str], id_of: Callable[[str], str] = connector_id) -> tuple[str, str] | None:
    """Two names with one id: their counts could not be told apart."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(id_of(name), name)) != name:
            return other, name
    return None


class MetadataError(ValueError):
    """Commit metadata that this program did not write."""


@dataclass(slots=True)
class SinkCounts:
    """What became of the records of one partition of a connector's topic, since its first commit."""

    delivered: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def skip(self, reason: str, count: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def park(self, cause: str, count: int = 1) -> None:
        self.parked[cause] = self.parked.get(cause, 0) + count

    def copy(self) -> SinkCounts:
        return SinkCounts(self.delivered, dict(self.skipped), dict(self.parked), self.lost)

    def add(self, other: SinkCounts) -> None:
        self.delivered += other.delivered
        self.lost += other.lost
        for reason, count in other.skipped.items():
            self.skip(reason, count)
        for cause, count in other.parked.items():
            self.park(cause, count)

    def to_metadata(self) -> str:
        """The commit metadata: JSON under 1 KiB."""
        content: dict[str, Any] = {"v": 1, "delivered": self.delivered}
        content["skipped"] = self.skipped
        content["parked"] = self.parked
        content["lost"] = self.lost
        return _dump(content)

    @classmethod
    def from_metadata(cls, metadata: str | None) -> SinkCounts:
        """Counts of a commit; none where there was no commit. Raises `MetadataError`."""
        content = _load(metadata)
        if content is None:
            return cls()
        try:
            return cls(
                delivered=_count(content, "delivered"),
                skipped=_counts(content, "skipped"),
                parked=_counts(content, "parked"),
                lost=_count(content, "lost"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MetadataError(f"commit metadata is not a sink's account: {error}") from error


@dataclass(slots=True)
class RouterCounts:
    """What became of the records of one partition of a Currents topic, since its first commit.

    Each record that was `read` was routed to at least one connector, skipped for a reason, or undecodable. A
    record that Kafka refused for some of its connectors is routed to the others and is also a dead letter.

    `routed` has the connectors' names, and ids (`#…`) where only those were read: `routed_to` knows both. So a
    connector that left the configuration keeps its count, and has it again when it comes back.
    """

    routed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    undecodable: int = 0
    lost: int = 0
    read: int = 0

    def route(self, connector: str, count: int = 1) -> None:
        self.routed[connector] = self.routed.get(connector, 0) + count

    def skip(self, reason: str, count: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def copy(self) -> RouterCounts:
        return RouterCounts(dict(self.routed), dict(self.skipped), self.undecodable, self.lost, self.read)

    def add(self, other: RouterCounts) -> None:
        self.read += other.read
        self.undecodable += other.undecodable
        self.lost += other.lost
        for connector, count in other.routed.items():
            self.route(connector, count)
        for reason, count in other.skipped.items():
            self.skip(reason, count)

    def to_metadata(self) -> str:
        """The commit metadata: JSON; with ids for names where it is larger than 1 KiB, from some 12 connectors on."""
        content = {
            "v": 1,
            "read": self.read,
            "routed": self.routed,
            "skipped": self.skipped,
            "undecodable": self.undecodable,
            "lost": self.lost,
        }
        text = _dump(content)
        return text if len(text) <= METADATA_BYTES_MAX else _with_ids(content, self.routed)

    def routed_to(self, connector: str) -> int:
        """Records that were routed to this connector."""
        return self.routed.get(connector, 0) + self.routed.get(connector_id(connector), 0)

    def named(self, connectors: Iterable[str]) -> RouterCounts:
        """These counts, with the names of these connectors for their ids; others stay ids."""
        names = {connector_id(name): name for name in connectors}
        found = RouterCounts({}, dict(self.skipped), self.undecodable, self.lost, self.read)
        for connector, count in self.routed.items():
            found.route(names.get(connector, connector), count)
        return found

    @classmethod
    def from_metadata(cls, metadata: str | None) -> RouterCounts:
        """Counts of a commit; none where there was no commit. Raises `MetadataError`."""
        is_with_ids = metadata is not None and metadata.startswith(_WITH_IDS)
        content = _load_with_ids(metadata or "") if is_with_ids else _load(metadata)
        if content is None:
            return cls()
        try:
            return cls(
                routed=_counts(content, "routed"),
                skipped=_counts(content, "skipped"),
                undecodable=_count(content, "undecodable"),
                lost=_count(content, "lost"),
                read=_count(content, "read"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise MetadataError(f"commit metadata is not the router's account: {error}") from error


@dataclass(frozen=True, slots=True)
class Returned:
    """What a keeper counted of a connector's dead letters, by cause: what left them and how, what came in otherwise.

    `refused` are among the rejected now, `passed` are skipped: Kafka did not take them back. `deleted`, and
    `undelivered` of the connector's topic, were deleted with their topic by somebody else. `routed` came by replayed
    source letters; `overcounted` is how much too much the sinks' `lost` counts.
    """

    redriven: Mapping[str, int] = field(default_factory=dict)
    replayed: Mapping[str, int] = field(default_factory=dict)
    purged: Mapping[str, int] = field(default_factory=dict)
    expired: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    passed: Mapping[str, int] = field(default_factory=dict)
    deleted: Mapping[str, int] = field(default_factory=dict)
    imported: Mapping[str, int] = field(default_factory=dict)
    again: int = 0
    routed: int = 0
    overcounted: int = 0
    undelivered: int = 0

    def left(self, cause: str) -> int:
        """Letters of a cause that left, less those that came in otherwise."""
        gone = (self.redriven, self.replayed, self.purged, self.expired, self.refused, self.passed, self.deleted)
        moved = _sum(self.refused) if cause == "rejected" else 0
        return sum(counts.get(cause, 0) for counts in gone) - self.imported.get(cause, 0) - moved

    @property
    def back(self) -> int:
        """Records that came back onto the connector's topic."""
        return _sum(self.redriven) + _sum(self.replayed) + self.again


@dataclass(frozen=True, slots=True)
class Account:
    """One connector's account. `parked` is what is parked now; `waiting` is on its topic and not settled yet."""

    routed: int
    delivered: int
    skipped: Mapping[str, int]
    parked: Mapping[str, int]
    lost: int
    waiting: int
    imported: int = 0
    again: int = 0
    purged: int = 0
    expired: int = 0

    def to_json(self) -> dict[str, Any]:
        """The shape in which every listing shows an account."""
        return {
            "routed": self.routed,
            "imported": self.imported,
            "again": self.again,
            "delivered": self.delivered,
            "skipped": {"no_credentials_for_feed": 0} | dict(self.skipped),
            "parked": {cause: self.parked.get(cause, 0) for cause in get_args(Cause)} | dict(self.parked),
            "purged": self.purged,
            "expired": self.expired,
            "lost": self.lost,
            "waiting": self.waiting,
        }


def account(
    connector: str, sinks: Iterable[str | None], routers: Iterable[str | None], returned: Returned | None = None
) -> Account:
    """A connector's account from the commit metadata of every partition of its sink's group and of the router's, and
    from what its keeper counted. Raises `MetadataError`.

    What waits is what was put onto the connector's topic less what its sinks settled; what is parked now is what
    they parked less what left. Taken at one moment the two add up with everything else.
    """
    counted = returned or Returned()
    settled, routers_counts = SinkCounts(), RouterCounts()
    for metadata in sinks:
        settled.add(SinkCounts.from_metadata(metadata))
    for metadata in routers:
        routers_counts.add(RouterCounts.from_metadata(metadata))
    routed = routers_counts.routed_to(connector) + counted.routed
    lost = settled.lost - counted.overcounted + counted.undelivered
    put = routed + counted.back
    causes = {**settled.parked, **counted.imported, **({"rejected": 0} if counted.refused else {})}
    skipped = SinkCounts(skipped=dict(settled.skipped))
    if counted.passed:
        skipped.skip("refused_by_kafka", _sum(counted.passed))
    return Account(
        routed=routed,
        imported=_sum(counted.imported),
        again=counted.again,
        delivered=settled.delivered,
        skipped=skipped.skipped,
        parked={cause: settled.parked.get(cause, 0) - counted.left(cause) for cause in causes},
        purged=_sum(counted.purged),
        expired=_sum(counted.expired),
        lost=lost + _sum(counted.deleted),
        waiting=put - settled.delivered - _sum(settled.skipped) - _sum(settled.parked) - lost,
    )


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _dump(content: dict[str, Any]) -> str:
    return orjson.dumps(content).decode()


def router_metadata_bytes(connectors: Iterable[str]) -> int:
    """About the most that a router's metadata needs for connectors of these names, each with trillions of events."""
    names = list(connectors)
    routed = dict.fromkeys(names, 2 * 10**12)
    skipped = dict.fromkeys(get_args(RouterSkip), 10**12)
    return len(RouterCounts(routed, skipped, 10**12, 10**12, 10**13).to_metadata())


def _with_ids(content: Mapping[str, Any], routed: Mapping[str, int]) -> str:
    others = {name: value for name, value in content.items() if name != "routed"}
    by_id: dict[str, int] = {}
    for connector, count in routed.items():
        one = connector if connector.startswith(ID_MARK) else connector_id(connector)
        by_id[one] = by_id.get(one, 0) + count
    entries = (base64.urlsafe_b64decode(one[1:]) + _varint(count) for one, count in sorted(by_id.items()))
    return _WITH_IDS + base64.b85encode(b"\n".join((orjson.dumps(others), b"".join(entries)))).decode()


def _load_with_ids(metadata: str) -> dict[str, Any]:
    try:
        head, _, entries = base64.b85decode(metadata.removeprefix(_WITH_IDS)).partition(b"\n")
        content = _load(head.decode() or "nothing") or {}
        content["routed"] = dict(_entries(entries))
    except (ValueError, IndexError) as error:
        raise MetadataError(f"commit metadata with ids is damaged: {error}") from error
    return content


def _entries(entries: bytes) -> Iterator[tuple[str, int]]:
    """Raises `IndexError` where the last is cut off."""
    at = 0
    while at < len(entries):
        one = ID_MARK + base64.urlsafe_b64encode(entries[at : at + ID_BYTES]).decode()
        count, at = _read_varint(entries, at + ID_BYTES)
        yield one, count


def _varint(count: int) -> bytes:
    """Seven bits a byte, the lowest first; the high bit says that more follow."""
    encoded = bytearray()
    while count >= 0x80:
        encoded.append(count & 0x7F | 0x80)
        count >>= 7
    encoded.append(count)
    return bytes(encoded)


def _read_varint(encoded: bytes, at: int) -> tuple[int, int]:
    count = shift = 0
    while True:
        byte = encoded[at]
        count |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return count, at


def _plain(metadata: str) -> bytes:
    """Raises `ValueError` and `zlib.error` on what this program did not write."""
    if not metadata.startswith(_COMPRESSED):
        return metadata.encode()
    return zlib.decompress(base64.b85decode(metadata.removeprefix(_COMPRESSED)))


def _load(metadata: str | None) -> dict[str, Any] | None:
    if not metadata:
        return None
    try:
        content = orjson.loads(_plain(metadata))
    except (orjson.JSONDecodeError, ValueError, zlib.error) as error:
        raise MetadataError(f"commit metadata is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("v") != 1:
        raise MetadataError('commit metadata has no "v": 1: was it written by a newer version, or another program?')
    return content


def _count(content: Mapping[str, Any], key: str) -> int:
    count = content.get(key, 0)
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ValueError(f"{key} is not a count")
    return count


def _counts(content: Mapping[str, Any], key: str) -> dict[str, int]:
    counts = content.get(key, {})
    if not isinstance(counts, dict):
        raise TypeError(f"{key} holds no counts")
    return {name: _count(counts, name) for name in counts}
