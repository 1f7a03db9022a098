"""Garbage collection: deletes dead letters that lie before a committed cursor. Repeatable, by any later keeper."""

from __future__ import annotations

from streams.ports.kafka import Partition
from streams.ports.letters import LetterTopics
from streams.workers.keeper.office import Office

COLLECT_SECONDS = 10.0
"""A deletion is a round trip to every broker: not after each transaction."""


class Collection:
    """Deletes up to the cursors that moved, every 10 s; up to all of them once in a term."""

    def __init__(self, topics: LetterTopics) -> None:
        self._topics = topics
        self._collect_at = 0.0
        self._deleted: dict[Partition, int] = {}

    def begin(self) -> None:
        """Deleting again what is deleted does no harm."""

    def step(self, office: Office) -> bool:
        now = office.clock.monotonic()
        if now < self._collect_at:
            return False
        self._collect_at = now + COLLECT_SECONDS
        moved = {
            (office.topics.dead_letters(letters), number): offset
            for (letters, number), offset in office.standing.cursors.items()
            if offset > self._deleted.get((letters, number), 0)
        }
        if moved:
            self._topics.delete_before(moved)
            self._deleted = dict(office.standing.cursors)
        return bool(moved)
