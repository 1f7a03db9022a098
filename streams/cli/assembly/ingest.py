"""Builds what an ingest is given: files of paths, the cluster, one transactional producer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.adapters.clock import SystemClock
from streams.adapters.files.currents import Found, NoSuchFile, exports, find
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_to_end
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.config import Settings
from streams.operations.errors import NothingMatched
from streams.operations.ingest.plan import IngestPlan, planned
from streams.operations.ingest.run import Order, Ports, ingested
from streams.workers.ingest import Broken, File, Outcome


@dataclass(frozen=True, slots=True)
class Ingesting:
    """The files of an ingest and the cluster that they go to. `plan` changes nothing; `run` does what it says."""

    settings: Settings
    ports: Ports
    found: Found

    def plan(self, partitions: int | None = None) -> IngestPlan:
        return planned(self.settings, self.ports.cluster, self._files(), partitions)

    def run(
        self,
        plan: IngestPlan,
        order: Order,
        report: Callable[[Outcome], None] = lambda _outcome: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        return ingested(self.settings, self.ports, plan, self._files(), order, report, is_stopped)

    def _files(self) -> Iterator[File | Broken]:
        yield from self.found.broken
        for path in self.found.files:
            yield from exports(path)


@contextmanager
def ingesting(settings: Settings, paths: Sequence[str | Path]) -> Iterator[Ingesting]:
    """An ingest of these paths. Raises `NothingMatched` where they hold nothing that could be one's files."""
    found = _found(paths)
    name = f"{settings.kafka.topic_prefix}ingest"
    config = settings.kafka.client_config(name)
    cluster = Administration(config)

    def open_transactions() -> TransactionalProducer:
        transactions = TransactionalProducer(config, name, name)
        transactions.start()
        return transactions

    ports = Ports(cluster, open_transactions, lambda topic, key: read_to_end(config, topic, name, key), SystemClock())
    try:
        yield Ingesting(settings, ports, found)
    finally:
        cluster.close()


def _found(paths: Sequence[str | Path]) -> Found:
    try:
        found = find(str(path) for path in paths)
    except NoSuchFile as error:
        raise NothingMatched(str(error)) from None
    if not found.files and not found.broken:
        names = ", ".join(str(path) for path in paths)
        raise NothingMatched(f"no Avro, gzip or zip files in {names}")
    return found
