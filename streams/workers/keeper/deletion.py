"""Garbage collection: deletes dead letters that lie before a committed cursor. Repeatable, by any later keeper."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from streams.ports.kafka import Partition
from streams.ports.letters import LetterTopics
from streams.state.records import Deletion, key
from streams.workers.keeper.office import Office

log = structlog.get_logger(__name__)

COLLECT_SECONDS = 10.0
"""A deletion is a round trip to every broker: not after each transaction. One that failed is tried again after this."""


class Collection:
    """Deletes up to the cursors that moved, every 10 s; up to all of them once in a term.

    What fails is tried again until it is done, in this term and the next: the bytes may be personal data that a
    receipt says is gone. Meanwhile the state says so, for `doctor` and the metric.
    """

    def __init__(self, topics: LetterTopics) -> None:
        self._topics = topics
        self._collect_at = 0.0
        self._deleted: dict[Partition, int] = {}
        self._office: Office | None = None

    def begin(self) -> None:
        """Deleting again what is deleted does no harm."""

    def step(self, office: Office) -> bool:
        if office is not self._office:  # what an earlier term deleted, or could not, is tried again
            self._office, self._collect_at = office, 0.0
            self._deleted.clear()
        now = office.clock.monotonic()
        if now < self._collect_at:
            return False
        self._collect_at = now + COLLECT_SECONDS
        moved = self._moved(office)
        places = {(letters, number): (office.topics.dead_letters(letters), number) for letters, number in moved}
        failed = self._topics.delete_before({places[letters]: offset for letters, offset in moved.items()})
        self._deleted.update({letters: offset for letters, offset in moved.items() if places[letters] not in failed})
        self._tell(office, failed.values())
        return len(failed) < len(moved)

    def _moved(self, office: Office) -> dict[Partition, int]:
        """Cursors that are not those of the last deletion, of topics that are still the same: in one that was made
        again, letters that nobody read stand before the old cursor.

        Raises `KafkaUnreachable`.
        """
        cursors = office.standing.cursors
        moved = {place: offset for place, offset in cursors.items() if offset != self._deleted.get(place)}
        known = {office.topics.dead_letters(letters): letters for letters, _ in moved}
        found = self._topics.ids(list(known)) if known else {}
        anew = office.standing.of_other_topics({known[topic]: topic_id for topic, topic_id in found.items()})
        return {place: offset for place, offset in moved.items() if place[0] not in anew}

    def _tell(self, office: Office, reasons: Iterable[str]) -> None:
        """Write down when deletions began to fail, and take it back once all are done."""
        reason = next(iter(reasons), "")
        known = office.standing.deletion
        if reason and known is None:
            office.commit({key("deletion", office.connector): Deletion(since=office.now(), reason=reason)})
            log.warning("settled letters not deleted yet, tried again", connector=office.connector, error=reason)
        elif not reason and known is not None:
            office.commit({key("deletion", office.connector): None})
            log.info("settled letters deleted at last", connector=office.connector)
