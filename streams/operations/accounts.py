"""Reads accounts where they ride: on the commits of our groups, and in what keepers counted."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from streams.config.names import SOURCE
from streams.delivery.account import Account, Returned, RouterCounts, account
from streams.operations.installation import Installation
from streams.ports.cluster import Commit
from streams.ports.errors import KafkaUnreachable
from streams.ports.kafka import Partition
from streams.ports.state import Journal
from streams.state.records import StateError
from streams.state.standing import Standing
from streams.workers.router.routes import source_topics

LOOKS_MAX = 20
"""Counts move while they are read: so often it is tried to read them all as of one moment."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Moment:
    """What the groups committed and the keepers counted, as of one moment."""

    sinks: dict[str, dict[Partition, Commit]]
    routers: dict[Partition, Commit]
    returned: dict[str, Returned]

    def account(self, connector: str) -> Account:
        """Raises `MetadataError`."""
        sinks = [commit.metadata for commit in self.sinks[connector].values()]
        routers = [commit.metadata for commit in self.routers.values()]
        return account(connector, sinks, routers, self.returned[connector])


class Accounts:
    """The accounts of one configuration. Every method raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError`."""

    def __init__(self, installation: Installation) -> None:
        self._settings = installation.settings
        self._cluster = installation.cluster
        self._open_journal = installation.open_journal
        self._journal: Journal | None = None
        self._standings: dict[str, Standing] = {}

    def sink_commits(self, connector: str) -> dict[Partition, Commit]:
        """What the connector's sinks committed, per partition of its topic."""
        topic = self._settings.topics.connector(connector)
        return self._cluster.commits(self._settings.groups.sink(connector), [topic])

    def router_commits(self) -> dict[Partition, Commit]:
        """What the routers committed, per partition of the Currents topics that there are."""
        source, prefix = self._settings.source, self._settings.kafka.topic_prefix
        topics = source_topics(self._cluster.topic_names(), source.topics, prefix)
        return self._cluster.commits(self._settings.groups.router, topics)

    def router(self) -> RouterCounts:
        """The router's counts over all Currents topics."""
        counts = RouterCounts()
        for commit in self.router_commits().values():
            counts.add(RouterCounts.from_metadata(commit.metadata))
        return counts

    def standings(self) -> dict[str, Standing]:
        """How each connector of the configuration, and `source`, stands now."""
        if not self._standings:
            self._standings = {name: Standing(name) for name in (*self._settings.connectors, SOURCE)}
        if self._journal is None:
            if self._settings.topics.state not in self._cluster.topic_names():
                return self._standings
            self._journal = self._open_journal()
        for record in self._journal.read_to_end():
            connector = record.key.split("/", 2)[1:2]
            if connector and connector[0] in self._standings:
                self._standings[connector[0]].apply(record.key, record.value)
        return self._standings

    def of(self, connectors: Iterable[str]) -> dict[str, Account]:
        """Accounts that are true of one moment: read again while a keeper counts meanwhile."""
        names = list(connectors)
        for look in range(LOOKS_MAX):
            moment, is_still = self._look(names)
            accounts = {name: moment.account(name) for name in names}
            if is_still and not any(_is_ahead(one) for one in accounts.values()):
                break
            time.sleep(LOOK_SECONDS if look else 0.0)
        return {name: _not_below_zero(one) for name, one in accounts.items()}

    def moment(self, connectors: Iterable[str]) -> Moment | None:
        """What was committed and counted, if nothing of it moved while it was read; else None."""
        names = list(connectors)
        first, is_still = self._look(names)
        if not is_still:
            return None
        second, is_still = self._look(names)
        return second if is_still and first == second else None

    def _look(self, connectors: list[str]) -> tuple[Moment, bool]:
        """Sinks' commits before the router's: so what is settled is never more than what was routed."""
        before = self._returned(connectors)
        sinks = {name: self.sink_commits(name) for name in connectors}
        routers = self.router_commits()
        after = self._returned(connectors)
        return Moment(sinks, routers, after), before == after

    def _returned(self, connectors: list[str]) -> dict[str, Returned]:
        try:
            standings = self.standings()
        except StateError as error:
            raise KafkaUnreachable(str(error)) from error
        source = standings[SOURCE].totals
        return {
            name: Returned(
                redriven=standings[name].totals.redriven,
                replayed=standings[name].totals.replayed,
                purged=standings[name].totals.purged,
                expired=standings[name].totals.expired,
                refused=standings[name].totals.refused,
                passed=standings[name].totals.passed,
                deleted=standings[name].totals.deleted,
                imported=standings[name].imported_letters,
                again=standings[name].totals.again,
                routed=source.routed.get(name, 0),
                undelivered=standings[name].totals.undelivered,
                overcounted=standings[name].totals.overcounted,
            )
            for name in connectors
        }

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the reader of the state go."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _not_below_zero(one: Account) -> Account:
    """Counts that still moved at the last look, or of a Currents topic that was deleted: none is less than nothing."""
    parked = {cause: max(0, count) for cause, count in one.parked.items()}
    return replace(one, waiting=max(0, one.waiting), parked=parked)


def _is_ahead(one: Account) -> bool:
    """A record's transaction becomes readable partition by partition: what it counts may be seen before it."""
    return one.waiting < 0 or any(count < 0 for count in one.parked.values())
