"""Metrics that must be read from Kafka: records that wait, the age of the oldest, dead letters by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import SinkCounts
from streams.delivery.metadata import MetadataError
from streams.operations.accounts import Accounts
from streams.operations.installation import Installation
from streams.operations.router import router_overview
from streams.ports.errors import KafkaRefusal, KafkaUnreachable
from streams.state.records import StateError

log = structlog.get_logger(__name__)

CLIENT_ID = "streams-survey"
UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True)
class TopicSurvey:
    """Records of one Currents topic that were not read, and the age of the oldest."""

    waiting: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Surveyed:
    """`waiting` and `lag_seconds` are None for the source, whose topics are the customer's."""

    waiting: int | None
    lag_seconds: float | None
    dead_letters: Mapping[str, int]
    topics: Mapping[str, TopicSurvey] = field(default_factory=dict)
    """Of the source: what the router has to read, by Currents topic."""
    composed: SinkCounts | None = None
    """Of a connector that receives: what its sinks counted."""


class Survey:
    """Looks at one connector, or at `source`; one thread uses it."""

    def __init__(self, installation: Installation, connector: str) -> None:
        """The survey owns the installation, and closes it."""
        self._installation = installation
        self._cluster = installation.cluster
        self._connector = connector
        self._accounts = Accounts(installation)
        self._failure = ""

    def look(self) -> Surveyed | None:
        """None if Kafka does not answer; this is logged once."""
        try:
            surveyed = self._source() if self._connector == SOURCE else self._of_connector()
        except (KafkaUnreachable, KafkaRefusal, MetadataError, StateError) as error:
            if str(error) != self._failure:
                log.warning("metrics keep their last values", connector=self._connector, error=str(error))
            self._failure = str(error)
            return None
        self._failure = ""
        return surveyed

    def close(self) -> None:
        self._accounts.close()
        self._installation.close()

    def _of_connector(self) -> Surveyed:
        account = self._accounts.of([self._connector])[self._connector]
        waiting = max(0, account.waiting)
        lag_seconds = self._lag_seconds() if waiting else 0.0
        return Surveyed(waiting, lag_seconds, account.parked, composed=self._composed())

    def _composed(self) -> SinkCounts | None:
        if self._connector not in self._installation.settings.entries:
            return None
        counts = SinkCounts()
        for commit in self._accounts.sink_commits(self._connector).values():
            counts.add(SinkCounts.from_metadata(commit.metadata))
        return counts

    def _source(self) -> Surveyed:
        router = router_overview(self._installation, self._accounts)
        topics = {lag.topic: TopicSurvey(lag.records, lag.seconds(router.now_ms) or 0.0) for lag in router.lags}
        return Surveyed(None, None, {UNDECODABLE: router.letters}, topics)

    def _lag_seconds(self) -> float:
        """Age of the oldest record that is not committed; 0 if there are only ends of transactions."""
        topic = self._installation.settings.topics.connector(self._connector)
        commits = self._accounts.sink_commits(self._connector)
        ends = self._cluster.ends(self._cluster.partitions(topic))
        offsets = {place: commits[place].offset if place in commits else 0 for place in ends}
        behind = {place: offset for place, offset in offsets.items() if ends[place] > offset}
        oldest_ms = self._cluster.oldest_ms(behind)
        return 0.0 if oldest_ms is None else max(0.0, (self._installation.clock.epoch_ms() - oldest_ms) / 1000)
