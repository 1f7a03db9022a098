"""Expiry: rejected letters are deleted 14 days after they were parked, with a receipt."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from streams.ports.letters import Letters, LetterTopics
from streams.state.audit import ReceiptLine
from streams.state.credentials import SKEW_SECONDS_MAX
from streams.state.records import REJECTED, Cursor, Record, key
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.prefix import Prefix, read_prefix
from streams.workers.reading.event_reader import EventReader

log = structlog.get_logger(__name__)

REJECTED_MS_MAX = 14 * 86_400_000
"""How long a rejected letter lives."""
LOOK_SECONDS = 60.0
CLOCK_FRESH_SECONDS = 3_600.0


class Expiry:
    """Looks once a minute."""

    def __init__(self, topics: LetterTopics, reader: Letters, events: EventReader) -> None:
        self._topics = topics
        self._reader = reader
        self._events = events
        self._look_at = 0.0

    def begin(self) -> None:
        self._look_at = 0.0
        self._reader.close()  # a client may be unable to read a topic that was made again: the next one can

    def step(self, lease: Lease) -> bool:
        now = lease.clock.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        until = lease.now() - REJECTED_MS_MAX - round(SKEW_SECONDS_MAX * 1000)
        partitions = list(self._topics.partitions(lease.topics.dead_letters(REJECTED)))
        prefix = read_prefix(
            lease, REJECTED, partitions, self._reader, self._events, lambda parked_at: parked_at <= until
        )
        if not prefix.cursors:
            return False
        if lease.clock_problem(CLOCK_FRESH_SECONDS):
            lease.confirm()  # what the broker stamps it with tells its clock; meanwhile everything stays
            return True
        lease.commit(_changes(lease, prefix), audit=_receipts(prefix))
        if prefix.letters:
            log.warning("letters expired", connector=lease.connector, letters=prefix.letters)
        self._look_at = now  # perhaps there are more
        return True


def _changes(lease: Lease, prefix: Prefix) -> dict[str, Record | None]:
    changes: dict[str, Record | None] = {}
    for number, offset in prefix.cursors.items():
        changes[key("cursor", lease.connector, REJECTED, number)] = Cursor(offset=offset)
        settled = lease.view.settled.get((REJECTED, number))
        for block in () if settled is None else settled.blocks_before(offset):
            changes[key("settled", lease.connector, REJECTED, number, block)] = None
    changes[key("totals", lease.connector)] = lease.counted(expired=prefix.causes)
    return changes


def _receipts(prefix: Prefix) -> Sequence[ReceiptLine]:
    """None where every letter had been settled before: nothing was lost to age."""
    if not prefix.letters:
        return []
    return [ReceiptLine(what="expired", why="14 days in the topic of rejected letters", **prefix.receipt())]
