"""One connector: state, account and lag. All is read from Kafka; no process is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from streams.config import Connector
from streams.delivery.account import Account, SinkCounts
from streams.delivery.metadata import MetadataError
from streams.delivery.received import ReceivedCounts
from streams.operations.accounts import Accounts
from streams.operations.connectors.way_back import WayBack, way_back
from streams.operations.installation import Installation
from streams.operations.letter_topics import forget_deleted
from streams.ports.cluster import Cluster, Commit
from streams.ports.kafka import Partition
from streams.state.credentials import Rules, deadline_ms
from streams.state.moments import iso
from streams.state.records import CREDENTIALS, StateError
from streams.state.state_view import StateView
from streams.state.worker_records import PartitionWait

Delivers = Literal["all", "some", "nothing"]


@dataclass(frozen=True, slots=True)
class Lag:
    """`offsets` up to the end of the topic, ends of transactions included. And when the oldest waiting record was
    written (ms since 1970)."""

    offsets: int
    oldest_ms: int | None

    def seconds(self, now_ms: int) -> float | None:
        """Age of the oldest record that waits."""
        return None if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1000


@dataclass(frozen=True, slots=True)
class Overview:
    """One connector at `now_ms`. `members` are the processes of its sink."""

    connector: Connector
    scopes: tuple[str, ...]
    view: StateView
    account: Account
    members: int
    lag: Lag
    deadlines: Mapping[str, int]
    """When the first letter of each INVALID scope may be purged (ms). A scope without letters is left out."""
    now_ms: int
    way_back: WayBack | None = None

    @property
    def state(self) -> str:
        return self.view.state.state

    @property
    def invalid_scopes(self) -> tuple[str, ...]:
        return tuple(scope for scope in self.scopes if self.view.scope(scope).state == "INVALID")

    @property
    def backing_off(self) -> tuple[str, ...]:
        """Scopes whose destination asked to wait, or does not answer."""
        return tuple(scope for scope in self.scopes if self.view.back_off(scope, self.now_ms) is not None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is not as it should be while it is RUNNING: scopes that are refused or back off, partitions that
        wait."""
        waits = sorted({f"waits for {wait.why}" for wait in self.waits.values()})
        refused = [f"{scope} INVALID" for scope in self.invalid_scopes]
        return (*refused, *(f"{scope} backs off" for scope in self.backing_off), *waits)

    @property
    def delivers(self) -> Delivers:
        """Whether records of all scopes go out, of some, or of none."""
        if self.members == 0 or self.state == "SUSPENDED":
            return "nothing"
        if set(self.scopes) <= {*self.invalid_scopes, *self.backing_off}:
            return "nothing"
        return "some" if self.remarks else "all"

    @property
    def waits(self) -> Mapping[str, PartitionWait]:
        """Partitions of its topic that wait for a schema, by place."""
        return self.view.partition_waits(self.now_ms)

    @property
    def lag_seconds(self) -> float | None:
        return self.lag.seconds(self.now_ms)

    def next_step(self) -> str | None:
        """The next command, for the person who was woken by this."""
        name = self.connector.name
        if self.members == 0:
            return f"streams run sink {name}"
        if self.state == "SUSPENDED":
            # Without a look at the cause, the next thousand records are rejected, too.
            is_flood = self.view.state.by == "flood"
            return f"streams dlq top {name}" if is_flood else f"streams connectors resume {name}"
        if self.invalid_scopes:
            return f"streams connectors probe {name}"
        if sum(self.account.parked.values()):
            return f"streams dlq top {name}"
        return None

    def scope_states(self) -> dict[str, dict[str, object]]:
        """Per scope: state, since when, the first letter's deadline, what the destination said, what is suspected."""
        return {scope: self._scope_state(scope) for scope in self.scopes}

    def ledger(self) -> dict[str, Any]:
        """How many dead letters left, and how, in total."""
        totals = self.view.totals
        return {
            "redriven": dict(totals.redriven),
            "replayed": dict(totals.replayed),
            "purged": dict(totals.purged),
            "expired": dict(totals.expired),
            "refused": dict(totals.refused),
            "passed": dict(totals.passed),
            "deleted": dict(totals.deleted),
            "imported": self.view.imported_letters,
            "again": totals.again,
        }

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams connectors show --output json`."""
        state, holder = self.view.state, self.view.holder
        return {
            "connector": self.connector.name,
            "destination": self.connector.destination,
            "contact": self.connector.contact or None,
            "state": state.state,
            "delivers": self.delivers,
            "remarks": list(self.remarks),
            "suspended": None
            if state.state == "RUNNING"
            else {"by": state.by, "reason": state.reason, "who": state.who, "since": iso(state.since)},
            "scopes": self.scope_states(),
            "keeper": None
            if holder is None
            else {"instance": holder.instance, "epoch": holder.epoch, "since": iso(holder.at)},
            "members": self.members,
            "lag": {"offsets": self.lag.offsets, "seconds": self.lag_seconds},
            "waits": [wait.to_json(place) for place, wait in sorted(self.waits.items())],
            "account": self.account.to_json(),
            **({} if self.way_back is None else {"way_back": self.way_back.to_json()}),
            "next": self.next_step(),
        }

    def _scope_state(self, scope: str) -> dict[str, object]:
        found = self.view.scope(scope)
        evidence = found.evidence
        suspects = [one for (name, _), one in self.view.suspects.items() if name == scope]
        return {
            "state": found.state,
            "since": iso(found.since),
            "deadline": iso(self.deadlines.get(scope)),
            "evidence": None if evidence is None else f"{evidence.status} {evidence.detail}".strip(),
            "suspected": [f"{one.status} {one.detail}".strip() for one in suspects],
            "refused_though_good": iso(found.refused_though_good),
            "purge_overdue": found.overdue or None,
            "back_off": self._back_off(scope),
        }

    def _back_off(self, scope: str) -> dict[str, object] | None:
        found = self.view.back_off(scope, self.now_ms)
        if found is None:
            return None
        return {
            "status": found.status or None,
            "detail": found.detail,
            "since": iso(found.since),
            "next_try": iso(found.next_try),
        }


def overviews(installation: Installation, accounts: Accounts, names: Sequence[str]) -> tuple[Overview, ...]:
    """These connectors of the configuration. Their accounts are all of one moment.

    Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`.
    """
    settings = installation.settings
    try:
        sums = accounts.of(names)
        commits = {name: accounts.sink_commits(name) for name in names}
        views = accounts.state_views()
        received = accounts.received(names)
    except MetadataError as error:
        groups = [settings.groups.router, *map(settings.groups.sink, names)]
        raise MetadataError(f"groups {', '.join(groups)}: {error}") from error
    except StateError as error:
        raise StateError(f"{settings.topics.state}: {error}") from error
    return tuple(
        _overview(installation, name, views[name], sums[name], commits[name], received.get(name, ReceivedCounts()))
        for name in names
    )


def _overview(
    installation: Installation,
    name: str,
    view: StateView,
    account: Account,
    commits: Mapping[Partition, Commit],
    received: ReceivedCounts,
) -> Overview:
    settings, cluster = installation.settings, installation.cluster
    connector = settings.connectors[name]
    topic = settings.topics.connector(name)
    now_ms = installation.clock.epoch_ms()
    return Overview(
        connector=connector,
        scopes=connector.scopes,
        view=view,
        account=account,
        members=cluster.members(settings.groups.sink(name)),
        lag=lag_of(cluster, topic, commits, has_waiting=account.waiting > 0),
        deadlines=_deadlines(installation, connector, view, now_ms),
        now_ms=now_ms,
        way_back=way_back(settings, name, received, _sum(commits.values()), view.dropped.values()),
    )


def _sum(commits: Iterable[Commit]) -> SinkCounts:
    counts = SinkCounts()
    for commit in commits:
        counts.add(SinkCounts.from_metadata(commit.metadata))
    return counts


def _deadlines(installation: Installation, connector: Connector, view: StateView, now_ms: int) -> dict[str, int]:
    """For each INVALID scope: its own deadline if that is in the future, else the deadline of the oldest letter."""
    topics, cluster = installation.settings.topics, installation.cluster
    rules = Rules(connector.grace_seconds)
    forget_deleted(view, topics, cluster.topic_ids)
    deadlines = {}
    for scope, state in view.scopes.items():
        if state.state != "INVALID":
            continue
        deadline = deadline_ms(0, state, view.state, rules, now_ms)
        if deadline <= now_ms:
            letters = CREDENTIALS + scope
            places = cluster.partitions(topics.dead_letter_credentials(connector.name, scope))
            cursors = {place: view.cursor((letters, place[1])) for place in places}
            firsts = {place: max(cursors[place], start) for place, start in cluster.starts(places).items()}
            parked_at = cluster.oldest_ms(firsts)
            if parked_at is None:
                continue
            deadline = deadline_ms(parked_at, state, view.state, rules, now_ms)
        deadlines[scope] = deadline
    return deadlines


def lag_of(cluster: Cluster, topic: str, commits: Mapping[Partition, Commit], *, has_waiting: bool) -> Lag:
    """How far a group is behind the end of a connector's topic. Reads a record only if some wait."""
    ends = cluster.ends(cluster.partitions(topic))
    behind = {}
    for partition, end in ends.items():
        offset = commits[partition].offset if partition in commits else 0
        if offset < end:
            behind[partition] = offset
    offsets = sum(ends[partition] - offset for partition, offset in behind.items())
    return Lag(offsets, cluster.oldest_ms(behind) if has_waiting else None)
