"""One connector as Kafka tells it: state, account and lag; read from Kafka alone, no process is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.config import Connector
from streams.delivery.account import Account, MetadataError
from streams.operations.accounts import Accounts
from streams.operations.installation import Installation
from streams.operations.letter_topics import forget_deleted
from streams.ports.cluster import Cluster, Commit
from streams.ports.kafka import Partition
from streams.state.credentials import Rules, deadline_ms
from streams.state.moments import iso
from streams.state.records import CREDENTIALS, PartitionWait, StateError
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
    deadlines: Mapping[str, int]
    """When the first letter of each INVALID scope may be purged (ms); none where no letter is left of those before."""
    now_ms: int

    @property
    def state(self) -> str:
        return self.standing.state.state

    @property
    def invalid_scopes(self) -> tuple[str, ...]:
        return tuple(scope for scope in self.scopes if self.standing.scope(scope).state == "INVALID")

    @property
    def backing_off(self) -> tuple[str, ...]:
        """Scopes whose destination asked for patience, or does not answer."""
        return tuple(scope for scope in self.scopes if self.standing.back_off(scope, self.now_ms) is not None)

    @property
    def waits(self) -> Mapping[str, PartitionWait]:
        """Partitions of its topic that wait for a schema, by place."""
        return self.standing.partition_waits(self.now_ms)

    @property
    def lag_seconds(self) -> float | None:
        return self.lag.seconds(self.now_ms)

    def next_step(self) -> str | None:
        """The next command, for the person who was woken by this."""
        name = self.connector.name
        if self.members == 0:
            return f"streams run sink {name}"
        if self.state == "SUSPENDED":
            # Resumed before its cause is known, a flood parks the next thousand.
            is_flood = self.standing.state.by == "flood"
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
        """What became of dead letters, in total."""
        totals = self.standing.totals
        return {
            "redriven": dict(totals.redriven),
            "replayed": dict(totals.replayed),
            "purged": dict(totals.purged),
            "expired": dict(totals.expired),
            "refused": dict(totals.refused),
            "passed": dict(totals.passed),
            "deleted": dict(totals.deleted),
            "imported": self.standing.imported_letters,
            "again": totals.again,
        }

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams connectors show --output json`."""
        state, term = self.standing.state, self.standing.term
        return {
            "connector": self.connector.name,
            "destination": self.connector.destination,
            "contact": self.connector.contact or None,
            "state": state.state,
            "suspended": None
            if state.state == "RUNNING"
            else {"by": state.by, "reason": state.reason, "who": state.who, "since": iso(state.since)},
            "scopes": self.scope_states(),
            "keeper": None if term is None else {"instance": term.instance, "epoch": term.epoch, "since": iso(term.at)},
            "members": self.members,
            "lag": {"offsets": self.lag.offsets, "seconds": self.lag_seconds},
            "waits": [wait.to_json(place) for place, wait in sorted(self.waits.items())],
            "account": self.account.to_json(),
            "next": self.next_step(),
        }

    def _scope_state(self, scope: str) -> dict[str, object]:
        found = self.standing.scope(scope)
        evidence = found.evidence
        suspects = [one for (name, _), one in self.standing.suspects.items() if name == scope]
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
        found = self.standing.back_off(scope, self.now_ms)
        if found is None:
            return None
        return {
            "status": found.status or None,
            "detail": found.detail,
            "since": iso(found.since),
            "next_try": iso(found.next_try),
        }


def overviews(installation: Installation, accounts: Accounts, names: Sequence[str]) -> tuple[Overview, ...]:
    """These connectors of the configuration, their accounts all true of one moment.

    Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`.
    """
    settings, cluster = installation.settings, installation.cluster
    try:
        sums = accounts.of(names)
        commits = {name: accounts.sink_commits(name) for name in names}
        standings = accounts.standings()
    except MetadataError as error:
        groups = [settings.groups.router, *map(settings.groups.sink, names)]
        raise MetadataError(f"groups {', '.join(groups)}: {error}") from error
    except StateError as error:
        raise StateError(f"{settings.topics.state}: {error}") from error
    found = []
    for name in names:
        connector = settings.connectors[name]
        topic = settings.topics.connector(name)
        now_ms = installation.clock.epoch_ms()
        found.append(
            Overview(
                connector=connector,
                scopes=connector.scopes,
                standing=standings[name],
                account=sums[name],
                members=cluster.members(settings.groups.sink(name)),
                lag=lag_of(cluster, topic, commits[name], has_waiting=sums[name].waiting > 0),
                deadlines=_deadlines(installation, connector, standings[name], now_ms),
                now_ms=now_ms,
            )
        )
    return tuple(found)


def _deadlines(installation: Installation, connector: Connector, standing: Standing, now_ms: int) -> dict[str, int]:
    """The scope's own deadline as long as it lies ahead; then the first letter that is still there tells."""
    topics, cluster = installation.settings.topics, installation.cluster
    rules = Rules(connector.grace_seconds)
    forget_deleted(standing, topics, cluster.topic_ids)
    deadlines = {}
    for scope, state in standing.scopes.items():
        if state.state != "INVALID":
            continue
        deadline = deadline_ms(0, state, standing.state, rules, now_ms)
        if deadline <= now_ms:
            letters = CREDENTIALS + scope
            places = cluster.partitions(topics.dead_letter_credentials(connector.name, scope))
            cursors = {place: standing.cursor((letters, place[1])) for place in places}
            firsts = {place: max(cursors[place], start) for place, start in cluster.starts(places).items()}
            parked_at = cluster.oldest_ms(firsts)
            if parked_at is None:
                continue
            deadline = deadline_ms(parked_at, state, standing.state, rules, now_ms)
        deadlines[scope] = deadline
    return deadlines


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
