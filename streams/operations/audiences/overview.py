"""Which cohorts and audiences a connector writes, with how many members: from the rows that its sinks keep in Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.operations.errors import BadRequest, OperationError
from streams.operations.installation import Installation
from streams.ports.memory import Row
from streams.state.moments import iso
from streams.wayback import rows
from streams.wayback.copies import Copy
from streams.wayback.memory import Placed, parted, standings


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """A full copy that is not complete in some partitions: the pages that the slowest of them has, and of how many.

    `pages` is 0 until the first page is whole. `at_s` is when the last page came, in seconds since 1970.
    """

    session: str
    pages_seen: int
    pages: int
    partitions: int
    at_s: int

    def to_json(self) -> dict[str, Any]:
        return {
            "session": self.session,
            "pages_seen": self.pages_seen,
            "pages": self.pages or None,
            "partitions": self.partitions,
            "last_page": iso(self.at_s * 1000),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """A cohort or audience of one entry, as it was last sent to one target (`attribute` or `cohort`)."""

    entry: str
    group_id: str
    target: str
    name: str
    members: int
    changed_s: int
    """When the last member joined or left, in seconds since 1970; 0: never."""
    open: tuple[OpenCopy, ...] = ()
    is_subscribed: bool | None = None
    """What mParticle last said of it; None where it said nothing: Mixpanel's cohorts, and audiences by Kinesis."""

    def to_json(self) -> dict[str, Any]:
        return {
            "entry": self.entry,
            "id": self.group_id,
            "name": self.name,
            "target": self.target,
            "members": self.members,
            "changed": iso(self.changed_s * 1000) if self.changed_s else None,
            "open": [copy.to_json() for copy in self.open],
            "subscription": None if self.is_subscribed is None else "on" if self.is_subscribed else "off",
        }


def groups(installation: Installation, name: str) -> tuple[Group, ...]:
    """Every group of a connector, by entry and name.

    The rows are read once, partition after partition; some 100 bytes are held of each user of the partition that is
    read. Raises `BadRequest` for a connector that receives nothing, `OperationError` for rows that cannot be read, and
    `KafkaUnreachable`.
    """
    settings = installation.settings
    if name not in settings.entries:
        receiving = ", ".join(settings.entries) or "none of this configuration does"
        raise BadRequest(f"{name} receives no cohorts and audiences; connectors that do: {receiving}")
    topic = settings.topics.sent(name)
    found = _Found()
    for _, partition in installation.cluster.partitions(topic):
        try:
            found.read(installation.read_rows(topic, partition))
        except ValueError as error:
            raise OperationError(
                f"a row in partition {partition} of {topic} cannot be read: {error}; a newer version of streams wrote "
                "it, or another program"
            ) from error
    return found.groups()


@dataclass(slots=True)
class _Found:
    """What the rows say so far."""

    members: Counter[str] = field(default_factory=Counter)
    names: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By group: the latest name, and when it was sent."""
    copies: dict[str, list[dict[str, Copy]]] = field(default_factory=dict)
    """By group: the open copies of each partition."""
    subscriptions: dict[str, rows.Subscription] = field(default_factory=dict)
    """By group: the latest word."""
    copied: dict[str, str] = field(default_factory=dict)
    """By group: the name that a full copy had, or that it was told to have since."""

    def read(self, batches: Iterator[Sequence[Row]]) -> None:
        """One partition. A user may have several rows: the last one counts."""
        users: dict[int, int] = {}
        sets: dict[frozenset[str], int] = {}
        copies: dict[str, dict[str, Copy]] = {}
        for batch in batches:
            for key, value in batch:
                if key.startswith(rows.GROUP):
                    group, held = key.removeprefix(rows.GROUP).decode(), rows.copies(value)
                    copies[group] = dict(held.open)
                    self.copied[group] = held.name
                elif key.startswith(rows.SUBSCRIPTION):
                    self._subscribed(key.removeprefix(rows.SUBSCRIPTION).decode(), value)
                elif rows.user_of(key) is not None:
                    joined = frozenset(self._heard(standings(value)))
                    # A hash of 64 bits instead of the id: of a million users none is taken for another.
                    users[hash(key)] = sets.setdefault(joined, len(sets))
        by_number = {number: joined for joined, number in sets.items()}
        for number, count in Counter(users.values()).items():
            for group in by_number[number]:
                self.members[group] += count
        for group, opened in copies.items():
            self.copies.setdefault(group, []).append(opened)

    def groups(self) -> tuple[Group, ...]:
        names = {*self.members, *self.names, *self.copies, *self.subscriptions}
        found = [self._group(group) for group in names]
        return tuple(sorted(found, key=lambda one: (one.entry, one.name, one.group_id, one.target)))

    def _heard(self, words: Iterator[Placed]) -> Iterator[str]:
        """Groups that the user is in; names and times on the way."""
        for word in words:
            if word.at_s >= self.names.get(word.group, (-1, ""))[0]:
                self.names[word.group] = word.at_s, word.name
            if word.is_member:
                yield word.group

    def _subscribed(self, group: str, value: bytes | None) -> None:
        word, known = rows.subscription(value), self.subscriptions.get(group)
        if word is not None and (known is None or word.at_s >= known.at_s):
            self.subscriptions[group] = word

    def _group(self, group: str) -> Group:
        entry, target, group_id = parted(group)
        changed_s, name = self.names.get(group, (0, ""))
        opened = tuple(_open_copies(self.copies.get(group, [])))
        word = self.subscriptions.get(group)
        if word is not None and word.name and word.at_s >= changed_s:
            name = word.name
        return Group(
            entry,
            group_id,
            target,
            name or self.copied.get(group, ""),
            self.members[group],
            changed_s,
            opened,
            None if word is None else word.is_on,
        )


def _open_copies(partitions: list[dict[str, Copy]]) -> Iterator[OpenCopy]:
    for session in sorted({session for opened in partitions for session in opened}):
        found = [opened[session] for opened in partitions if session in opened]
        yield OpenCopy(
            session,
            pages_seen=min(len(copy.versions) for copy in found),
            pages=max(copy.pages for copy in found),
            partitions=len(found),
            at_s=max(copy.at_s for copy in found),
        )
