"""Reads accounts where they ride: on the commits of our groups."""

from __future__ import annotations

from collections.abc import Iterable

from streams.adapters.admin import Administration, Commit
from streams.config import Settings
from streams.delivery.account import Account, RouterCounts, account
from streams.workers.ports import Partition
from streams.workers.routing import source_topics


class Accounts:
    """The accounts of one configuration. Every method raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError`."""

    def __init__(self, settings: Settings, administration: Administration) -> None:
        self._settings = settings
        self._administration = administration

    def sink_commits(self, connector: str) -> dict[Partition, Commit]:
        """What the connector's sinks committed, per partition of its topic."""
        topic = self._settings.topics.connector(connector)
        return self._administration.commits(self._settings.groups.sink(connector), [topic])

    def router_commits(self) -> dict[Partition, Commit]:
        """What the routers committed, per partition of the Currents topics that there are."""
        source, prefix = self._settings.source, self._settings.kafka.topic_prefix
        topics = source_topics(self._administration.topic_names(), source.topics, prefix)
        return self._administration.commits(self._settings.groups.router, topics)

    def router(self) -> RouterCounts:
        """The router's counts over all Currents topics."""
        counts = RouterCounts()
        for commit in self.router_commits().values():
            counts.add(RouterCounts.from_metadata(commit.metadata))
        return counts

    def of(self, connectors: Iterable[str]) -> dict[str, Account]:
        """Sinks' commits before the router's: so nothing that is settled is ever more than what was routed."""
        settled = {name: _metadata(self.sink_commits(name)) for name in connectors}
        routed = _metadata(self.router_commits())
        return {name: account(name, sinks, routed) for name, sinks in settled.items()}


def _metadata(commits: dict[Partition, Commit]) -> list[str]:
    return [commit.metadata for commit in commits.values()]
