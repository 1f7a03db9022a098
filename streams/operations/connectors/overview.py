"""One connector as Kafka tells it: state, account and lag; read from Kafka alone, no process is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.config import Connector
from streams.delivery.account import Account, MetadataError
from streams.operations.accounts import Accounts
from streams.operations.installation import Installation
from streams.ports.cluster import Cluster, Commit
from streams.ports.kafka import Partition
from streams.state.credentials import Rules, deadline_ms
from streams.state.moments import iso
from streams.state.records import StateError
from streams.state.standing import Standing


@dataclass(frozen=True, slots=True)
class Lag:
    """`offsets` to the end of the topic, ends of transactions among them; when the oldest waiting record was written
    (ms since 1970)."""

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
    standing: Standing
    account: Account
    members: int
    lag: Lag
    now_ms: int

    @property
    def state(self) -> str:
        return self.standing.state.state

    @property
    def invalid_scopes(self) -> tuple[str, ...]:
        return tuple(scope for scope in self.scopes if self.standing.scope(scope).state == "INVALID")

    @property
    def lag_seconds(self) -> float | None:
        return self.lag.seconds(self.now_ms)

    def next_step(self) -> str | None:
        """The command that comes next, for whoever was woken by this."""
        name = self.connector.name
        if self.members == 0:
            return f"streams run sink {name}"
        if self.state == "SUSPENDED":
            return f"streams connectors resume {name}"
        if self.invalid_scopes:
            return f"streams connectors probe {name}"
        if sum(self.account.parked.values()):
            return f"streams dlq top {name}"
        return None

    def scope_states(self) -> dict[str, dict[str, object]]:
        """Per scope: state, since when, the first letter's deadline, what the destination said, what is suspected."""
        return {scope: self._scope_state(scope) for scope in self.scopes}

    def ledger(self) -> dict[str, Any]:
        """What became of dead letters, since ever."""
        totals = self.standing.totals
        return {
            "redriven": dict(totals.redriven),
            "replayed": dict(totals.replayed),
            "purged": dict(totals.purged),
            "expired": dict(totals.expired),
            "imported": self.standing.imported_letters,
            "again": totals.again,
        }

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams connectors show --output json`."""
        state, term = self.standing.state, self.standing.term
        return {
            "connector": self.connector.name,
            "destination": self.connector.destination,
            "state": state.state,
            "suspended": None
            if state.state == "RUNNING"
            else {"by": state.by, "reason": state.reason, "who": state.who, "since": iso(state.since)},
            "scopes": self.scope_states(),
            "keeper": None if term is None else {"instance": term.instance, "epoch": term.epoch, "since": iso(term.at)},
            "members": self.members,
            "lag": {"offsets": self.lag.offsets, "seconds": self.lag_seconds},
            "account": self.account.to_json(),
            "next": self.next_step(),
        }

    def _scope_state(self, scope: str) -> dict[str, object]:
        found = self.standing.scope(scope)
        evidence = found.evidence
        suspects = [one for (name, _), one in self.standing.suspects.items() if name == scope]
        deadline = None
        if found.state == "INVALID":
            rules = Rules(self.connector.grace_seconds)
            deadline = iso(deadline_ms(0, found, self.standing.state, rules, self.now_ms))
        return {
            "state": found.state,
            "since": iso(found.since),
            "deadline": deadline,
            "evidence": None if evidence is None else f"{evidence.status} {evidence.detail}".strip(),
            "suspected": [f"{one.status} {one.detail}".strip() for one in suspects],
            "refused_though_good": iso(found.refused_though_good),
            "purge_overdue": found.overdue or None,
        }


def overviews(installation: Installation, names: Sequence[str]) -> tuple[Overview, ...]:
    """These connectors of the configuration, their accounts all true of one moment.

    Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`.
    """
    settings, cluster = installation.settings, installation.cluster
    accounts = Accounts(installation)
    try:
        sums = accounts.of(names)
        commits = {name: accounts.sink_commits(name) for name in names}
        standings = accounts.standings()
    except MetadataError as error:
        groups = [settings.groups.router, *map(settings.groups.sink, names)]
        raise MetadataError(f"groups {', '.join(groups)}: {error}") from error
    except StateError as error:
        raise StateError(f"{settings.topics.state}: {error}") from error
    finally:
        accounts.close()
    found = []
    for name in names:
        connector = settings.connectors[name]
        topic = settings.topics.connector(name)
        found.append(
            Overview(
                connector=connector,
                scopes=connector.build().scopes,
                standing=standings[name],
                account=sums[name],
                members=cluster.members(settings.groups.sink(name)),
                lag=lag_of(cluster, topic, commits[name], has_waiting=sums[name].waiting > 0),
                now_ms=installation.clock.epoch_ms(),
            )
        )
    return tuple(found)


def lag_of(cluster: Cluster, topic: str, commits: Mapping[Partition, Commit], *, has_waiting: bool) -> Lag:
    """How far a group is behind the end of a connector's topic; only where records wait one of them is read."""
    ends = cluster.ends(cluster.partitions(topic))
    behind = {}
    for partition, end in ends.items():
        offset = commits[partition].offset if partition in commits else 0
        if offset < end:
            behind[partition] = offset
    offsets = sum(ends[partition] - offset for partition, offset in behind.items())
    return Lag(offsets, cluster.oldest_ms(behind) if has_waiting else None)
