"""Counts that are stored in the commit's metadata, so that they change atomically with what they count.

The metadata of a sink's commit holds, per partition, what became of its records since the first commit. The metadata
of the router's commit holds how many records were routed. A connector's account is their sum:
routed + imported + again = delivered + skipped + parked + purged + expired + lost + waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args

from streams.delivery.metadata import (
    METADATA_BYTES_MAX,
    MetadataError,
    connector_id,
    count_of,
    counts_of,
    dump,
    load,
    load_any,
    text_of,
    with_ids,
)

RouterSkip = Literal["no_mapping", "not_selected", "no_external_user_id", "refused_by_kafka"]
SinkSkip = Literal["no_credentials_for_feed", "forgotten", "refused_by_kafka"]
"""`forgotten`: of a user who was to be forgotten. `refused_by_kafka`: a record that not even the topic of its dead
letters takes, by its size or by a policy."""
Cause = Literal["credentials", "rejected", "gave-up"]
SourceCause = Literal["undecodable", "unknown-schema", "refused"]
"""`refused`: Kafka did not take the record onto the topic of a connector that wants it."""


@dataclass(slots=True)
class SinkCounts:
    """What became of the records of one partition of a connector's topic, since its first commit."""

    delivered: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    derived: int = 0
    """Records that the sink itself wrote to the partition: a destination that composes derives them."""
    maybe_doubled: int = 0
    """Events that may have been processed once more than they should: a crash or a lost answer hides it."""
    tallies: dict[str, int] = field(default_factory=dict)
    """What a destination that composes counts of its requests."""
    topic: str = ""
    """The mark of the topic's id: the offset beside these counts is one of that topic alone."""
    state: str = ""
    """The mark of the state topic's id. The first keeper of another state topic knows by it that the state is lost."""

    def tally(self, counts: Mapping[str, int]) -> None:
        for name, count in counts.items():
            self.tallies[name] = self.tallies.get(name, 0) + count

    def skip(self, reason: str, count: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def park(self, cause: str, count: int = 1) -> None:
        self.parked[cause] = self.parked.get(cause, 0) + count

    def copy(self) -> SinkCounts:
        return replace(self, skipped=dict(self.skipped), parked=dict(self.parked), tallies=dict(self.tallies))

    def add(self, other: SinkCounts) -> None:
        self.delivered += other.delivered
        self.lost += other.lost
        self.derived += other.derived
        self.maybe_doubled += other.maybe_doubled
        self.tally(other.tallies)
        for reason, count in other.skipped.items():
            self.skip(reason, count)
        for cause, count in other.parked.items():
            self.park(cause, count)

    def to_metadata(self) -> str:
        """The commit metadata: JSON under 1 KiB. What only a destination that composes counts is left out where it is
        nothing: earlier versions did not write it."""
        content: dict[str, Any] = {"v": 1, "delivered": self.delivered}
        content["skipped"] = self.skipped
        content["parked"] = self.parked
        content["lost"] = self.lost
        composed = {"derived": self.derived, "maybe_doubled": self.maybe_doubled, "tallies": self.tallies}
        marks = {"topic": self.topic, "state": self.state}
        return dump(content | {name: said for name, said in (composed | marks).items() if said})

    @classmethod
    def from_metadata(cls, metadata: str | None) -> SinkCounts:
        """Counts of a commit; none where there was no commit. Raises `MetadataError`."""
        return _parsed(cls, load(metadata), "a sink's")


@dataclass(slots=True)
class RouterCounts:
    """What became of the records of one partition of a Currents topic, since its first commit.

    Each record that was `read` was routed to at least one connector, skipped for a reason, or undecodable. A
    record that Kafka refused for some of its connectors is routed to the others and is also a dead letter.

    `routed` has the connectors' names, and ids (`#…`) where only those were read: `routed_to` knows both. Counts of
    connectors that left the configuration are handed over to the keeper; `handed_over` says how often that was done
    (see `HandedOver`).
    """

    routed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    undecodable: int = 0
    lost: int = 0
    read: int = 0
    handed_over: int = 0
    topic: str = ""
    """The mark of the topic's id: the offset beside these counts is one of that topic alone."""

    def route(self, connector: str, count: int = 1) -> None:
        self.routed[connector] = self.routed.get(connector, 0) + count

    def skip(self, reason: str, count: int = 1) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def copy(self) -> RouterCounts:
        return replace(self, routed=dict(self.routed), skipped=dict(self.skipped))

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
        content: dict[str, Any] = {
            "v": 1,
            "read": self.read,
            "routed": self.routed,
            "skipped": self.skipped,
            "undecodable": self.undecodable,
            "lost": self.lost,
        }
        content |= {name: said for name, said in (("handed_over", self.handed_over), ("topic", self.topic)) if said}
        text = dump(content)
        return text if len(text) <= METADATA_BYTES_MAX else with_ids(content, self.routed)

    def routed_to(self, connector: str) -> int:
        """Records that were routed to this connector."""
        return self.routed.get(connector, 0) + self.routed.get(connector_id(connector), 0)

    def named(self, connectors: Iterable[str]) -> RouterCounts:
        """These counts, with the names of these connectors for their ids; others stay ids."""
        names = {connector_id(name): name for name in connectors}
        found = replace(self, routed={}, skipped=dict(self.skipped))
        for connector, count in self.routed.items():
            found.route(names.get(connector, connector), count)
        return found

    @classmethod
    def from_metadata(cls, metadata: str | None) -> RouterCounts:
        """Counts of a commit; none where there was no commit. Raises `MetadataError`."""
        return _parsed(cls, load_any(metadata), "the router's")


Counts = TypeVar("Counts", SinkCounts, RouterCounts)

_PARSERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "int": count_of,
    "dict[str, int]": counts_of,
    "str": text_of,
}
"""By the type of a field."""


def _parsed(kind: type[Counts], content: Mapping[str, Any] | None, owner: str) -> Counts:
    """The counts of a commit: each field is the key of its name. Without a commit there are none."""
    if content is None:
        return kind()
    try:
        return kind(**{each.name: _PARSERS[str(each.type)](content, each.name) for each in fields(kind)})
    except (KeyError, TypeError, ValueError) as error:
        raise MetadataError(f"commit metadata is not {owner} account: {error}") from error


@dataclass(frozen=True, slots=True)
class Returned:
    """What a keeper counted of a connector's dead letters, by cause: what left them and how, what came in otherwise.

    `refused` are among the rejected now, `passed` are skipped: Kafka did not take them back. `deleted`, and
    `undelivered` of the connector's topic, were deleted with their topic by somebody else. `routed` came by replayed
    source letters; `overcounted` is how much too much the sinks' `lost` counts. `received` is what receivers wrote onto
    the connector's topic, where they do.
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
    received: int | None = None

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
    """One connector's account. `parked` is what is parked now; `waiting` is on its topic and not settled yet.

    Of a connector that receives, `routed` is what was `received` and what its sinks `derived` from it.
    """

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
    received: int | None = None
    derived: int = 0

    def to_json(self) -> dict[str, Any]:
        """The shape in which every listing shows an account."""
        by_way = {} if self.received is None else {"received": self.received, "derived": self.derived}
        return {
            "routed": self.routed,
            **by_way,
            "imported": self.imported,
            "again": self.again,
            "delivered": self.delivered,
            "skipped": ({"no_credentials_for_feed": 0} if self.received is None else {}) | dict(self.skipped),
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
    routed = routers_counts.routed_to(connector) + counted.routed + (counted.received or 0) + settled.derived
    lost = settled.lost - counted.overcounted + counted.undelivered
    put = routed + counted.back
    causes = {**settled.parked, **counted.imported, **({"rejected": 0} if counted.refused else {})}
    # Letters of a process whose counts are gone: only a keeper counted them, as more than the sinks'.
    causes |= {cause: 0 for cause, count in counted.redriven.items() if count < 0}
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
        received=counted.received,
        derived=settled.derived,
        lost=lost + _sum(counted.deleted),
        waiting=put - settled.delivered - _sum(settled.skipped) - _sum(settled.parked) - lost,
    )


def _sum(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def router_metadata_bytes(connectors: Iterable[str]) -> int:
    """About the most that a router's metadata needs for connectors of these names, each with trillions of events."""
    names = list(connectors)
    routed = dict.fromkeys(names, 2 * 10**12)
    skipped = dict.fromkeys(get_args(RouterSkip), 10**12)
    return len(RouterCounts(routed, skipped, 10**12, 10**12, 10**13).to_metadata())
