"""The router's state, read from Kafka: how far it is behind each Currents topic, what it waits for, what it counted.

"Behind" means behind the high watermark. Records of open transactions count, too, because they hold back all records
after them. No other number would show this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streams.config import Settings
from streams.config.names import SOURCE
from streams.delivery.account import RouterCounts
from streams.operations.accounts import Accounts
from streams.operations.installation import Installation
from streams.operations.router_waits import Behind, Surroundings, WaitCause, wait_causes
from streams.ports.cluster import Cluster, Commit
from streams.ports.kafka import Partition
from streams.state.moments import iso
from streams.state.parked import parked_in_all
from streams.state.state_view import StateView
from streams.state.worker_records import PartitionWait
from streams.workers.router.routes import source_topics

OPEN_TRANSACTION = "an open transaction"
"""A transaction of another program's producer. `kafka-transactions.sh` finds and ends it."""


@dataclass(frozen=True, slots=True)
class TopicLag:
    """What the router has to read of one Currents topic. `records` also counts ends of transactions. `held` are
    partitions whose next record belongs to an open transaction. `by_partition` are records by partition, and `kept_ms`
    is how long Kafka keeps a record at least; None: for ever, or not known here."""

    topic: str
    records: int
    oldest_ms: int | None
    held: int = 0
    by_partition: Mapping[int, int] = field(default_factory=dict)
    kept_ms: int | None = None

    def seconds(self, now_ms: int) -> float | None:
        """Age of the oldest record that was not read."""
        return None if self.oldest_ms is None else max(0, now_ms - self.oldest_ms) / 1000


@dataclass(frozen=True, slots=True)
class RouterOverview:
    """The router at `now_ms`. `letters` are the source's dead letters; `waits` are partitions that wait, by place.
    `is_routed`: a connector of the configuration takes Currents events. Braze's connectors take none. `is_needed`: so
    it is, or an HTTP inlet writes dead letters of the source."""

    members: int
    counts: RouterCounts
    letters: int
    lags: tuple[TopicLag, ...]
    waits: Mapping[str, PartitionWait]
    view: StateView
    bootstrap_servers: str
    now_ms: int
    is_routed: bool = True
    is_needed: bool = True
    around: Surroundings = Surroundings()  # noqa: RUF009 - frozen

    @property
    def state(self) -> str:
        if self.members:
            return "RUNNING"
        return "STOPPED" if self.is_needed else "NOT_NEEDED"

    @property
    def records(self) -> int:
        """How many records it has to read."""
        return sum(lag.records for lag in self.lags)

    @property
    def lag_seconds(self) -> float | None:
        """Age of the oldest record that it has not read."""
        return max((seconds for lag in self.lags if (seconds := lag.seconds(self.now_ms)) is not None), default=None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why partitions wait: `schema`, `registry`, an open transaction."""
        found = {wait.why for wait in self.waits.values()}
        return (*sorted(found), *([OPEN_TRANSACTION] if any(lag.held for lag in self.lags) else []))

    @property
    def causes(self) -> tuple[WaitCause, ...]:
        """Why partitions wait, each with its own next step."""
        behind = {lag.topic: Behind(lag.by_partition, lag.oldest_ms, lag.kept_ms) for lag in self.lags}
        return wait_causes(self.waits, behind, self.around)

    def next_step(self) -> str | None:
        """The next command, for the person who was woken by this."""
        reasons = self.reasons
        if self.members == 0 and self.is_needed:
            return "streams run router"
        for why in ("registry", "schema"):
            if (cause := next((one for one in self.causes if one.why == why), None)) is not None:
                return cause.command
        if OPEN_TRANSACTION in reasons:
            return f"kafka-transactions.sh --bootstrap-server {self.bootstrap_servers} list"
        return f"streams dlq top {SOURCE}" if self.letters else None

    def to_json(self) -> dict[str, Any]:
        """The fields of `streams connectors show router --output json`."""
        holder = self.view.holder
        return {
            "router": SOURCE,
            "state": self.state,
            "members": self.members,
            "keeper": None
            if holder is None
            else {"instance": holder.instance, "epoch": holder.epoch, "since": iso(holder.at)},
            "account": {
                "read": self.counts.read,
                "routed": dict(sorted(self.counts.routed.items())),
                "skipped": dict(self.counts.skipped),
                "undecodable": self.counts.undecodable,
                "lost": self.counts.lost,
            },
            "letters": self.letters,
            "lag": {
                "records": self.records,
                "seconds": self.lag_seconds,
                "topics": [
                    {"topic": lag.topic, "records": lag.records, "seconds": lag.seconds(self.now_ms), "held": lag.held}
                    for lag in self.lags
                ],
            },
            "waits": [wait.to_json(place) for place, wait in sorted(self.waits.items())],
            "causes": [cause.to_json() for cause in self.causes],
            "next": self.next_step(),
        }


def router_overview(installation: Installation, accounts: Accounts) -> RouterOverview:
    """The router's state now. Raises `KafkaUnreachable`, `KafkaRefusal`, `MetadataError` and `StateError`."""
    settings, cluster = installation.settings, installation.cluster
    commits = accounts.router_commits()
    view = accounts.state_views()[SOURCE]
    counts = accounts.router()
    topics = source_topics(cluster.topic_names(), settings.source_topics, settings.kafka.topic_prefix)
    now_ms = installation.clock.epoch_ms()
    waits = view.partition_waits(now_ms)
    lags = _with_retention(cluster, source_lags(cluster, sorted(topics), commits), waits)
    return RouterOverview(
        members=cluster.members(settings.groups.router),
        counts=counts.named(settings.connectors),
        letters=max(0, parked_in_all(accounts.source_letters(), view)),
        lags=lags,
        waits=waits,
        view=view,
        bootstrap_servers=settings.kafka.bootstrap_servers,
        now_ms=now_ms,
        is_routed=bool(settings.routed),
        is_needed=settings.needs_router,
        around=_surroundings(settings),
    )


def _surroundings(settings: Settings) -> Surroundings:
    source = settings.source
    return Surroundings(
        topic_prefix=source.topic_prefix,
        registry_url="" if source.schema_registry is None else source.schema_registry.url,
        unknown_schema_ms=round(source.unknown_schema_wait * 1000),
    )


def _with_retention(
    cluster: Cluster, lags: Iterable[TopicLag], waits: Mapping[str, PartitionWait]
) -> tuple[TopicLag, ...]:
    """With how long Kafka keeps records of the topics that wait: it is asked only while some do."""
    waiting = {place.rpartition("/")[0] for place in waits}
    kept = cluster.topic_setting("retention.ms", sorted(waiting)) if waiting else {}
    return tuple(
        replace(lag, kept_ms=int(kept[lag.topic]))
        if kept.get(lag.topic, "").isdigit()  # -1 is for ever
        else lag
        for lag in lags
    )


def source_lags(cluster: Cluster, topics: Sequence[str], commits: Mapping[Partition, Commit]) -> tuple[TopicLag, ...]:
    """How far the router's commits are behind the high watermark of each topic.

    A partition counts only if there is a record after the commit: ends of transactions are not records.
    Raises `KafkaUnreachable` and `KafkaRefusal`.
    """
    partitions = cluster.partitions(*topics)
    ends = cluster.high_watermarks(partitions)
    starts = cluster.starts(partition for partition in partitions if partition not in commits)
    offsets = {place: commits[place].offset if place in commits else starts[place] for place in partitions}
    behind = {place: offset for place, offset in offsets.items() if offset < ends[place]}
    written = cluster.first_written_ms(behind)
    readable = cluster.ends(written)
    lags = []
    for topic in topics:
        places = [place for place in written if place[0] == topic]
        lags.append(
            TopicLag(
                topic,
                records=sum(ends[place] - offsets[place] for place in places),
                oldest_ms=min((written[place] for place in places), default=None),
                held=sum(readable[place] <= offsets[place] for place in places),
                by_partition={place[1]: ends[place] - offsets[place] for place in places},
            )
        )
    return tuple(lags)
