"""Reads accounts: from the metadata of our groups' commits, and from what keepers counted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from streams.config.names import SOURCE
from streams.delivery.account import Account, Returned, RouterCounts, account
from streams.delivery.handover import HandedOver, owed
from streams.delivery.late_counts import Late, late_counts
from streams.delivery.received import ReceivedCounts, RowError, inlet_letters, received_by
from streams.operations.installation import Installation
from streams.ports.cluster import Commit
from streams.ports.errors import JournalBegan, KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.state import Journal
from streams.state.records import StateError
from streams.state.returned import returned_of
from streams.state.state_view import StateView
from streams.workers.router.routes import source_topics

LOOKS_MAX = 20
"""Counts may change while they are read. This is how often we try to read them all at one moment."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Kept:
    """Counts of records that routers routed, and that no commit has."""

    handed_over: Mapping[Partition, HandedOver]
    """What the source's keeper took over from the commits."""
    late: Mapping[Partition, Late]
    """What was told of a topic that was deleted when the next one of its name had begun."""

    def beyond(self, commits: Mapping[Partition, Commit]) -> RouterCounts:
        """What is to be added to the counts of these commits. Raises `MetadataError`."""
        counts = RouterCounts()
        for place in self.handed_over.keys() | self.late.keys():
            commit = commits.get(place)
            read = None if commit is None else RouterCounts.from_metadata(commit.metadata)
            if (handed := self.handed_over.get(place)) is not None:
                counts.add(RouterCounts(owed(read, handed)))
            counts.add(late_counts(self.late.get(place), read))
        return counts


@dataclass(frozen=True, slots=True)
class Moment:
    """What the groups committed and the keepers counted, at one moment."""

    sinks: dict[str, dict[Partition, Commit]]
    routers: dict[Partition, Commit]
    returned: dict[str, Returned]
    kept: Kept
    received: dict[str, ReceivedCounts]
    """What receivers wrote, of connectors that receive."""

    def account(self, connector: str) -> Account:
        """Raises `MetadataError`."""
        sinks = [commit.metadata for commit in self.sinks[connector].values()]
        routers = [commit.metadata for commit in self.routers.values()]
        returned, kept = self.returned[connector], self.kept.beyond(self.routers).routed_to(connector)
        received = self.received[connector].received if connector in self.received else None
        return account(connector, sinks, routers, replace(returned, routed=returned.routed + kept, received=received))


class Accounts:
    """The accounts of one configuration. Every method raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError`."""

    def __init__(self, installation: Installation) -> None:
        self._settings = installation.settings
        self._cluster = installation.cluster
        self._open_journal = installation.open_journal
        self._read_latest = installation.read_latest
        self._journal: Journal | None = None
        self._state_views: dict[str, StateView] = {}

    def sink_commits(self, connector: str) -> dict[Partition, Commit]:
        """What the connector's sinks committed, for each partition of its topic."""
        return self._cluster.commits(self._settings.groups.sink(connector), [self.topic(connector)])

    def router_commits(self) -> dict[Partition, Commit]:
        """What the routers committed, for each partition of the Currents topics that exist."""
        return self._cluster.commits(self._settings.groups.router, self.source_topics())

    def topic(self, connector: str) -> str:
        """The connector's topic."""
        return self._settings.topics.connector(connector)

    def source_topics(self) -> frozenset[str]:
        """The Currents topics that exist."""
        prefix = self._settings.kafka.topic_prefix
        return source_topics(self._cluster.topic_names(), self._settings.source_topics, prefix)

    def router(self) -> RouterCounts:
        """The router's counts over all Currents topics. Includes those that its keeper took over."""
        commits = self.router_commits()
        self.state_views()
        counts = self._kept().beyond(commits)
        for commit in commits.values():
            counts.add(RouterCounts.from_metadata(commit.metadata))
        return counts

    def source_letters(self) -> int:
        """Every dead letter of the source so far: of routers, and of what HTTP inlets could not read."""
        letters = self.router().undecodable
        topic = self._settings.topics.received
        if not self._settings.http_inlets or topic not in self._cluster.topic_names():
            return letters
        try:
            return letters + inlet_letters(self._read_latest(topic, b""))
        except RowError as error:
            raise KafkaUnreachable(f"{topic}: {error}") from error

    def received(self, connectors: Iterable[str]) -> dict[str, ReceivedCounts]:
        """What receivers wrote and left out, of those of these connectors that receive."""
        names = [name for name in connectors if name in self._settings.entries]
        topic = self._settings.topics.received
        if not names or topic not in self._cluster.topic_names():
            return {name: ReceivedCounts() for name in names}
        try:
            return received_by(self._read_latest(topic, b""), names)
        except RowError as error:
            raise KafkaUnreachable(f"{topic}: {error}") from error

    def state_views(self) -> dict[str, StateView]:
        """The state of each connector of the configuration, and of `source`."""
        if not self._state_views:
            self._state_views = {name: StateView(name) for name in (*self._settings.connectors, SOURCE)}
        if self._journal is None:
            if self._settings.topics.state not in self._cluster.topic_names():
                return self._state_views
            self._journal = self._open_journal()
        try:
            records = self._journal.read_to_end()
        except JournalBegan:
            self._state_views.clear()
            return self.state_views()
        for record in records:
            connector = record.key.split("/", 2)[1:2]
            if connector and connector[0] in self._state_views:
                self._state_views[connector[0]].apply(record.key, record.value)
        return self._state_views

    def of(self, connectors: Iterable[str]) -> dict[str, Account]:
        """The accounts, all of one moment. They are read again if a keeper counts meanwhile."""
        names = list(connectors)
        for look in range(LOOKS_MAX):
            moment, is_still = self._look(names)
            accounts = {name: moment.account(name) for name in names}
            if is_still and not any(_is_ahead(one) for one in accounts.values()):
                break
            time.sleep(LOOK_SECONDS if look else 0.0)
        return {name: _not_below_zero(one) for name, one in accounts.items()}

    def moment(self, connectors: Iterable[str]) -> Moment | None:
        """What was committed and counted; None if something changed while it was read."""
        names = list(connectors)
        first, is_still = self._look(names)
        if not is_still:
            return None
        second, is_still = self._look(names)
        return second if is_still and first == second else None

    def _look(self, connectors: list[str]) -> tuple[Moment, bool]:
        """Sinks' commits are read before the others' counts. So never more is settled than was routed or received."""
        before = self._returned(connectors), self._kept()
        sinks = {name: self.sink_commits(name) for name in connectors}
        is_routed = any(name in self._settings.routed or name == SOURCE for name in connectors)
        routers = self.router_commits() if is_routed else {}
        received = self.received(connectors)
        after = self._returned(connectors), self._kept()
        return Moment(sinks, routers, *after, received), before == after

    def _returned(self, connectors: list[str]) -> dict[str, Returned]:
        try:
            views = self.state_views()
        except StateError as error:
            raise KafkaUnreachable(str(error)) from error
        source = views[SOURCE].totals
        return {name: returned_of(views[name], source.routed.get(name, 0)) for name in connectors}

    def _kept(self) -> Kept:
        source = self._state_views[SOURCE]
        return Kept(source.handed_over, source.late)

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the reader of the state."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _not_below_zero(one: Account) -> Account:
    """Counts that still changed at the last try, or of a Currents topic that was deleted. None is below 0."""
    parked = {cause: max(0, count) for cause, count in one.parked.items()}
    return replace(one, waiting=max(0, one.waiting), parked=parked)


def _is_ahead(one: Account) -> bool:
    """A transaction becomes visible partition by partition. So its counts may be visible before its records."""
    return one.waiting < 0 or any(count < 0 for count in one.parked.values())
