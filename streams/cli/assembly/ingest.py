"""Builds what an ingest is given: files of paths, the cluster, one transactional producer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from streams.adapters.clock import SystemClock
from streams.adapters.files.currents import Found, NoSuchFile, exports, find
from streams.adapters.files.remote import FOLDER, is_url, remote_exports
from streams.adapters.kafka.admin import Administration
from streams.adapters.kafka.compacted import read_whole
from streams.adapters.kafka.transactions import TransactionalProducer
from streams.cli.assembly.stores import store_at
from streams.config import Settings
from streams.operations.errors import NothingMatched
from streams.operations.ingest.plan import IngestPlan, planned
from streams.operations.ingest.run import Order, Ports, ingested
from streams.workers.ingest import Broken, File, Outcome


@dataclass(frozen=True, slots=True)
class IngestFiles:
    """The files of an ingest and the cluster that they go to. `plan` changes nothing; `run` does what it says."""

    settings: Settings
    ports: Ports
    found: Found
    urls: tuple[str, ...] = ()
    """Of object stores: what lies there is looked for when it is taken."""

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
        for url in self.urls:
            try:
                yield from remote_exports(url, store_at(self.settings, url))
            except NoSuchFile as error:
                raise NothingMatched(str(error)) from None
        for path in self.found.files:
            yield from exports(path)


@contextmanager
def ingest_files(settings: Settings, paths: Sequence[str | Path]) -> Iterator[IngestFiles]:
    """An ingest of these paths. Raises `NothingMatched` where they hold nothing that could be one's files."""
    texts = [str(path).removeprefix(FOLDER) for path in paths]
    urls = tuple(text for text in texts if is_url(text))
    found = _found([text for text in texts if not is_url(text)], is_more=bool(urls))
    name = f"{settings.kafka.topic_prefix}ingest"
    config = settings.kafka.client_config(name)
    cluster = Administration(config)

    def open_transactions() -> TransactionalProducer:
        transactions = TransactionalProducer(config, name, name)
        transactions.start()
        return transactions

    ports = Ports(cluster, open_transactions, lambda topic, key: read_whole(config, topic, name, key), SystemClock())
    try:
        yield IngestFiles(settings, ports, found, urls)
    finally:
        cluster.close()


def _found(paths: Sequence[str], *, is_more: bool) -> Found:
    try:
        found = find(paths)
    except NoSuchFile as error:
        raise NothingMatched(str(error)) from None
    if not found.files and not found.broken and not is_more:
        names = ", ".join(paths)
        raise NothingMatched(f"no Avro, gzip or zip files in {names}")
    return found
