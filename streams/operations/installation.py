"""One configuration and its Kafka cluster: every operation gets them.

The caller of operations (the command line, the console, a keeper) builds it once, may use it for any number of calls,
and closes it. One thread uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from streams.config import Settings
from streams.ports.clock import Clock
from streams.ports.cluster import Cluster
from streams.ports.kafka import OpenTransactions
from streams.ports.letters import Letters, LetterScan
from streams.ports.memory import Row
from streams.ports.search import Search
from streams.ports.state import Journal, Keepers
from streams.workers.reading.schema_resolver import SchemaResolver


@dataclass(frozen=True, slots=True)
class Installation:
    """`open_journal` and `open_letters` give a reader of the state topic and of dead letters; the caller closes
    it. `open_schemas` gives a resolver for which an unknown schema is final at once. `open_transactions` gives the
    producer of a transactional id, and fences the process that has it. `open_search` gets the callback for progress.

    `read_latest` gives the latest value of every key of a compacted topic that begins so, and raises `TopicMissing`.
    `read_rows` gives every committed record of one partition, in order and in batches, up to its end as it is now."""

    settings: Settings
    cluster: Cluster
    keepers: Keepers
    open_journal: Callable[[], Journal]
    open_letters: Callable[[], Letters]
    letters: LetterScan
    open_schemas: Callable[[], AbstractContextManager[SchemaResolver]]
    open_transactions: OpenTransactions
    open_search: Callable[[Callable[[int, int], None]], Search]
    read_latest: Callable[[str, bytes], Mapping[bytes, bytes]]
    read_rows: Callable[[str, int], Iterator[Sequence[Row]]]
    clock: Clock

    def close(self) -> None:
        self.cluster.close()
