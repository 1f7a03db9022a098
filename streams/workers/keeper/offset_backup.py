"""Bookkeeping: a copy of what the group committed, and `lost` made exact after a gap.

A sink that finds records deleted by retention counts the offsets of the gap, for nobody can count the records; some of
those offsets held transactions' markers. Once everything stands still for a moment, what the topic really holds tells
how many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from streams.ports.kafka import Partition
from streams.state.records import Copy, Record, key
from streams.workers.keeper.office import Office

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""A copy is at most this old: what was delivered since is delivered again, and deduplicated, where it is needed."""

Commits = Mapping[Partition, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Books:
    """What a group committed, and of it how much counts as lost."""

    commits: Commits
    lost: int
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """Asked for before the commits: a commit of a topic that is made again between the two is copied under the old id,
    and read again, never passed over."""


class Bookkeeping:
    """`read` gives the books (None: Kafka does not say), `excess` how many more records wait than the account says
    (None: everything moves). `run` carries a call out in the background."""

    def __init__(
        self,
        read: Callable[[], Books | None],
        excess: Callable[[], int | None],
        run: Callable[[Callable[[], tuple[Books | None, int | None]]], Future[tuple[Books | None, int | None]]],
    ) -> None:
        self._read = read
        self._excess = excess
        self._run = run
        self._look_at = 0.0
        self._reading: Future[tuple[Books | None, int | None]] | None = None

    def begin(self) -> None:
        """What is being read was asked for in an earlier term, or before an aborted transaction: it may be older than
        what stands there now, so it is not taken."""
        self._look_at = 0.0
        self._reading = None

    def step(self, office: Office) -> bool:
        if self._reading is not None:
            if not self._reading.done():
                return False
            (books, excess), self._reading = self._reading.result(), None
            return books is not None and self._take(office, books, excess)
        now = office.clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            reconciled = office.standing.totals.reconciled
            self._reading = self._run(lambda: self._look(reconciled))
        return False

    def _look(self, reconciled: int) -> tuple[Books | None, int | None]:
        books = self._read()
        is_new = books is not None and books.lost != reconciled
        return books, self._excess() if is_new else None

    def _take(self, office: Office, books: Books, excess: int | None) -> bool:
        changes: dict[str, Record | None] = {
            key("copy", office.connector, topic): copy
            for topic, copy in _copies(books).items()
            if _differs(office.standing.copies.get(topic, Copy()), copy)
        }
        totals = office.standing.totals
        if excess is not None:
            unreconciled = books.lost - totals.reconciled
            if 0 <= excess <= unreconciled:
                overcounted = totals.overcounted + excess
                update = {"overcounted": overcounted, "reconciled": books.lost, "revision": totals.revision + 1}
                changes[key("totals", office.connector)] = totals.model_copy(update=update)
                log.info(
                    "lost records counted", connector=office.connector, offsets=unreconciled, lost=unreconciled - excess
                )
            else:
                log.error("the account does not add up", connector=office.connector, excess=excess)
        if changes:
            office.commit(changes)
        return bool(changes)


def _differs(known: Copy, copy: Copy) -> bool:
    return (known.partitions, known.topic_id) != (copy.partitions, copy.topic_id)


def _copies(books: Books) -> dict[str, Copy]:
    topics: dict[str, dict[str, tuple[int, str]]] = {}
    for (topic, number), commit in sorted(books.commits.items()):
        topics.setdefault(topic, {})[str(number)] = commit
    return {
        topic: Copy(partitions=partitions, topic_id=books.topic_ids.get(topic, ""))
        for topic, partitions in topics.items()
    }
