"""What no process knows by itself and Kafka tells: records that wait, how old the oldest is, dead letters by cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from streams.config.names import SOURCE
from streams.delivery.account import MetadataError
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


class Survey:
    """Looks at one connector, or at `source`; one thread uses it."""

    def __init__(self, installation: Installation, connector: str) -> None:
        """The installation becomes the survey's own, and is closed with it."""
        self._installation = installation
        self._cluster = installation.cluster
        self._connector = connector
        self._accounts = Accounts(installation)
        self._failure = ""

    def look(self) -> Surveyed | None:
        """None, and a line in the log once, where Kafka does not tell."""
        try:
            surveyed = self._source() if self._connector == SOURCE else self._of_connector()
        except (KafkaUnreachable, KafkaRefusal, MetadataError, StateError) as error:
            if str(error) != self._failure:
                log.warning("not surveyed: metrics stay as they were", connector=self._connector, error=str(error))
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
        return Surveyed(waiting, self._lag_seconds() if waiting else 0.0, account.parked)

    def _source(self) -> Surveyed:
        router = router_overview(self._installation, self._accounts)
        topics = {lag.topic: TopicSurvey(lag.records, lag.seconds(router.now_ms) or 0.0) for lag in router.lags}
        return Surveyed(None, None, {UNDECODABLE: router.letters}, topics)

    def _lag_seconds(self) -> float:
        """Age of the oldest record after what was committed; 0 where only the ends of transactions are."""
        topic = self._installation.settings.topics.connector(self._connector)
        commits = self._accounts.sink_commits(self._connector)
        ends = self._cluster.ends(self._cluster.partitions(topic))
        offsets = {place: commits[place].offset if place in commits else 0 for place in ends}
        behind = {place: offset for place, offset in offsets.items() if ends[place] > offset}
        oldest_ms = self._cluster.oldest_ms(behind)
        return 0.0 if oldest_ms is None else max(0.0, (self._installation.clock.epoch_ms() - oldest_ms) / 1000)
