"""Accounts for a keeper, read in the background: one connection for the keeper's life, one call at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import SinkCounts
from streams.delivery.metadata import MetadataError, is_of_another_topic
from streams.operations.accounts import Accounts
from streams.operations.installation import Installation
from streams.operations.verification import TooBusy, missing_source_letters, verify
from streams.ports.cluster import Commit
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.ports.kafka import Partition
from streams.state.records import Copy, StateError
from streams.state.state_view import StateView
from streams.workers.keeper.commit_copies import Commits, GroupCommits
from streams.workers.keeper.known_topics import MissingRecords

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class KeeperAccounts:
    """If Kafka does not answer, each method logs a line and returns None. Threads may share it."""

    def __init__(self, connect: Callable[[], Installation], connector: str) -> None:
        """`connect` is called at the first request."""
        self._connect = connect
        self._connector = connector
        self._turn = threading.Lock()
        self._installation: Installation | None = None
        self._accounts: Accounts | None = None

    def parked(self) -> int | None:
        """How many letters of the connector are parked now."""
        name = self._connector
        return self._ask(lambda accounts: sum(accounts.of([name])[name].parked.values()))

    def of_sinks(self) -> GroupCommits | None:
        """What the connector's sinks committed."""

        def read(accounts: Accounts) -> GroupCommits:
            ids = self._ids({topic for topic, _ in accounts.sink_commits(self._connector)})
            return _sinks(accounts.sink_commits(self._connector), ids, self._state_id())

        return self._ask(read)

    def of_routers(self) -> GroupCommits | None:
        """What the routers committed. Currents topics are the customer's: their gaps stay counted by offsets."""

        def read(accounts: Accounts) -> GroupCommits:
            ids = self._ids({topic for topic, _ in accounts.router_commits()})
            return GroupCommits(_places(accounts.router_commits()), 0, ids)

        return self._ask(read)

    def excess(self) -> int | None:
        """How many more records wait than the account says. None also if the counts change all the time, or if records
        were deleted that no sink has committed past: nobody knows yet how they will count. And if a topic was made
        again, and its counts are not committed yet."""

        def count(accounts: Accounts) -> int | None:
            assert self._installation is not None, "there are accounts"
            if self._lacks_counts(accounts):
                return None
            found = verify(self._installation, self._connector)
            return None if found.has_deleted else found.waiting - found.account.waiting

        return self._ask(count)

    def missing(self) -> MissingRecords | None:
        """What the account counts and no topic holds; None if the counts change all the time, or if they are not
        committed yet for a topic that was made again."""

        def count(accounts: Accounts) -> MissingRecords | None:
            assert self._installation is not None, "there are accounts"
            if self._lacks_counts(accounts):
                return None
            if self._connector == SOURCE:
                return MissingRecords({SOURCE: missing_source_letters(self._installation, accounts)})
            found = verify(self._installation, self._connector)
            causes = {*found.parked, *found.account.parked}
            parked = {cause: found.account.parked.get(cause, 0) - found.parked.get(cause, 0) for cause in causes}
            return MissingRecords(parked, found.account.waiting - found.waiting)

        return self._ask(count)

    def close(self) -> None:
        """Close the connection. A call that is under way may still use it; the process is about to end."""
        if self._turn.acquire(blocking=False):
            try:
                if self._accounts is not None:
                    self._accounts.close()
                if self._installation is not None:
                    self._installation.close()
            finally:
                self._turn.release()

    def _ask(self, read: Callable[[Accounts], Result]) -> Result | None:
        with self._turn:
            try:
                return read(self._connected())
            except (KafkaUnreachable, KafkaRefusal, MetadataError, StateError, TooBusy) as error:
                log.warning("account not read", connector=self._connector, error=str(error))
                return None

    def _lacks_counts(self, accounts: Accounts) -> bool:
        """Whether counts of the connector are in no commit for now: of its topic, or of a Currents topic."""
        assert self._installation is not None, "there are accounts"
        name, views, routed = self._connector, accounts.state_views(), self._installation.settings.routed
        is_routed = bool(routed) if name == SOURCE else name in routed
        if is_routed and self._awaits_commits(accounts.source_topics(), views[SOURCE], accounts.router_commits()):
            return True
        if name == SOURCE:
            return False
        return self._awaits_commits([accounts.topic(name)], views[name], accounts.sink_commits(name))

    def _awaits_commits(self, topics: Collection[str], view: StateView, commits: Mapping[Partition, Commit]) -> bool:
        assert self._installation is not None, "there are accounts"
        cluster = self._installation.cluster
        return awaits_commits(view.copies, _places(commits), cluster.topic_ids(topics), cluster.partitions(*topics))

    def _ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Asked for before what is committed: see `GroupCommits`."""
        assert self._installation is not None, "there are accounts"
        return self._installation.cluster.topic_ids(topics)

    def _state_id(self) -> str:
        assert self._installation is not None, "there are accounts"
        topic = self._installation.settings.topics.state
        return self._installation.cluster.topic_ids([topic]).get(topic, "")

    def _connected(self) -> Accounts:
        if self._accounts is None:
            self._installation = self._connect()
            self._accounts = Accounts(self._installation)
        return self._accounts


def awaits_commits(
    copies: Mapping[str, Copy],
    commits: Commits,
    topic_ids: Mapping[str, str],
    partitions: Collection[Partition],
) -> bool:
    """Whether a topic was made again, and a process that has one of its `partitions` has not committed for it yet.

    Kafka forgets commits with their topic. Their counts are in a keeper's copy and in a process. They are in no account
    until they are committed again; a process that died had the partition for as long as a group's session takes.
    """
    copied = {(topic, int(number)) for topic, copy in copies.items() for number in copy.partitions}
    is_early = any(
        is_of_another_topic(metadata, topic_ids.get(place[0], "")) for place, (_, metadata) in commits.items()
    )
    return is_early or not copied.intersection(partitions) <= commits.keys()


def _sinks(commits: Mapping[Partition, Commit], topic_ids: Mapping[str, str], state_id: str) -> GroupCommits:
    lost = sum(SinkCounts.from_metadata(commit.metadata).lost for commit in commits.values())
    return GroupCommits(_places(commits), lost, topic_ids, state_id)


def _places(commits: Mapping[Partition, Commit]) -> dict[Partition, tuple[int, str]]:
    return {place: (commit.offset, commit.metadata) for place, commit in commits.items()}
