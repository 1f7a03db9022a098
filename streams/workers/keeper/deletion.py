"""Deletes the bytes of dead letters that lie before a committed cursor. Any later keeper can do it again."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from streams.ports.kafka import Partition
from streams.ports.letters import LetterTopics
from streams.state.records import Deletion, key
from streams.workers.keeper.lease import Lease

log = structlog.get_logger(__name__)

COLLECT_SECONDS = 10.0
"""The time between two deletions, and between two tries. A deletion is a round trip to every broker."""


class LetterDeletion:
    """Deletes up to the cursors that moved, every 10 s; up to all of them once under a lease.

    What fails is tried again until it is done, under this lease and the next: the bytes may be personal data that a
    receipt says is gone. Meanwhile the state says so, for `doctor` and the metric.
    """

    def __init__(self, topics: LetterTopics) -> None:
        self._topics = topics
        self._collect_at = 0.0
        self._deleted: dict[Partition, int] = {}
        self._lease: Lease | None = None

    def begin(self) -> None:
        """Deleting again what is deleted does no harm."""

    def step(self, lease: Lease) -> bool:
        if lease is not self._lease:  # what an earlier lease deleted, or could not, is tried again
            self._lease, self._collect_at = lease, 0.0
            self._deleted.clear()
        now = lease.clock.monotonic()
        if now < self._collect_at:
            return False
        self._collect_at = now + COLLECT_SECONDS
        moved = self._moved(lease)
        places = {(letters, number): (lease.topics.dead_letters(letters), number) for letters, number in moved}
        failed = self._topics.delete_before({places[letters]: offset for letters, offset in moved.items()})
        self._deleted.update({letters: offset for letters, offset in moved.items() if places[letters] not in failed})
        self._tell(lease, failed.values())
        return len(failed) < len(moved)

    def _moved(self, lease: Lease) -> dict[Partition, int]:
        """Cursors that are not those of the last deletion, of topics that are still the same: in one that was made
        again, letters that nobody read stand before the old cursor.

        Raises `KafkaUnreachable`.
        """
        cursors = lease.view.cursors
        moved = {place: offset for place, offset in cursors.items() if offset != self._deleted.get(place)}
        known = {lease.topics.dead_letters(letters): letters for letters, _ in moved}
        found = self._topics.ids(list(known)) if known else {}
        made_again = lease.view.of_other_topics({known[topic]: topic_id for topic, topic_id in found.items()})
        return {place: offset for place, offset in moved.items() if place[0] not in made_again}

    def _tell(self, lease: Lease, reasons: Iterable[str]) -> None:
        """Write down when deletions began to fail, and take it back once all are done."""
        reason = next(iter(reasons), "")
        known = lease.view.deletion
        if reason and known is None:
            lease.commit({key("deletion", lease.connector): Deletion(since=lease.now(), reason=reason)})
            log.warning("could not delete settled letters, will try again", connector=lease.connector, error=reason)
        elif not reason and known is not None:
            lease.commit({key("deletion", lease.connector): None})
            log.info("settled letters are deleted now", connector=lease.connector)
