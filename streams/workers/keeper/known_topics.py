"""Which topics the connector's own and its dead letters' are.

A topic that somebody deletes and makes again has its old name and begins at offset 0. An old cursor would pass over
its first letters in silence. So the keeper remembers the id of each topic, looks before it does anything under a lease
and every few seconds after. On another id it forgets what belonged to the deleted topic, in one transaction with a line
in the audit. Records that were deleted with a topic are counted afterwards, as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from streams.ports.errors import KafkaUnreachable
from streams.ports.letters import LetterTopics
from streams.state.audit import JobEnded, Line, RecordsLost, TopicMadeAgain
from streams.state.records import CREDENTIALS, DELIVERIES, REJECTED, KnownTopic, Record, key
from streams.workers.keeper.jobs.records import active_job, ending
from streams.workers.keeper.lease import Lease
from streams.workers.lease_loop import BeginAgain

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""How long letters may be read by the cursor of a topic that was deleted."""
COUNT_SECONDS = 15.0
"""Between two tries to count, and before the first: sinks see another topic within 5 s, and commit its offsets then."""


@dataclass(frozen=True, slots=True)
class MissingRecords:
    """How much more the account has than the topics hold: letters that are parked, by cause; records that wait.

    Less than none: what a process read twice, by an old position and from the beginning of the new topic.
    """

    parked: Mapping[str, int]
    waiting: int = 0


class KnownTopics:
    """`count_missing` counts (None: everything moves). `run` carries a call out in the background."""

    def __init__(
        self,
        scopes: tuple[str, ...],
        topics: LetterTopics,
        count_missing: Callable[[], MissingRecords | None],
        run: Callable[[Callable[[], MissingRecords | None]], Future[MissingRecords | None]],
    ) -> None:
        self._letters = (REJECTED, *(CREDENTIALS + scope for scope in scopes))
        self._topics = topics
        self._count_missing = count_missing
        self._run = run
        self._look_at = 0.0
        self._count_at = 0.0
        self._counting: Future[MissingRecords | None] | None = None
        self._overcounted = 0
        """What the totals had when it was asked for what is missing."""

    def begin(self) -> None:
        """What is being counted may be of an earlier lease: it is not taken."""
        self._look_at = self._count_at = 0.0
        self._counting = None

    def step(self, lease: Lease) -> bool:
        """Raises `BeginAgain` once letters were forgotten: no reader stands where it should any more."""
        now = lease.clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look(lease)
        return self._count(lease, now)

    def _look(self, lease: Lease) -> None:
        names = {letters: lease.topics.dead_letters(letters) for letters in self._letters}
        if lease.topics.connector:
            names[DELIVERIES] = lease.topics.connector
        try:
            found = self._topics.ids(list(names.values()))
        except KafkaUnreachable as error:
            log.warning("could not read the ids of topics", connector=lease.connector, error=str(error))
            return
        ids = {letters: found[topic] for letters, topic in names.items() if topic in found}
        made_again = lease.view.of_other_topics(ids)
        changes: dict[str, Record | None] = {
            key("topic", lease.connector, letters): KnownTopic(topic_id=topic_id)
            for letters, topic_id in ids.items()
            if letters not in lease.view.known_topics
        }
        audit: list[Line] = []
        for letters in made_again:
            changes[key("topic", lease.connector, letters)] = KnownTopic(topic_id=ids[letters], is_uncounted=True)
            audit.append(_line(lease, letters, names[letters]))
            changes |= _forgotten(lease, letters)
            audit += _ended_job(lease, letters, changes)
        if changes:
            lease.commit(changes, audit=audit)
        for letters in made_again:
            lease.view.forget_letters(letters)
            log.error("topic was deleted and made again", connector=lease.connector, topic=names[letters])
        if made_again:
            raise BeginAgain("a topic was deleted and made again")

    def _count(self, lease: Lease, now: float) -> bool:
        """Count what was deleted with a topic, once everything stands still for a moment."""
        if self._counting is not None:
            if not self._counting.done():
                return False
            missing, self._counting = self._counting.result(), None
            # Else a part of it was counted meanwhile, as offsets of a gap that were no records: count again.
            is_of_now = lease.view.totals.overcounted == self._overcounted
            return missing is not None and is_of_now and self._take(lease, missing)
        if not any(topic.is_uncounted for topic in lease.view.known_topics.values()):
            self._count_at = 0.0
        elif not self._count_at:
            self._count_at = now + COUNT_SECONDS
        elif now >= self._count_at:
            self._count_at = now + COUNT_SECONDS
            self._overcounted = lease.view.totals.overcounted
            self._counting = self._run(self._count_missing)
        return False

    def _take(self, lease: Lease, missing: MissingRecords) -> bool:
        """Deleted is what is missing. What was read twice counts as `again`, else the account would not add up."""
        deleted = {cause: count for cause, count in missing.parked.items() if count > 0}
        twice = {cause: count for cause, count in missing.parked.items() if count < 0}
        undelivered = max(0, missing.waiting)
        changes: dict[str, Record | None] = {
            key("topic", lease.connector, letters): topic.model_copy(update={"is_uncounted": False})
            for letters, topic in lease.view.known_topics.items()
            if topic.is_uncounted
        }
        changes[key("totals", lease.connector)] = lease.counted(
            deleted=deleted,
            undelivered=undelivered,
            redriven=twice,
            again=-sum(twice.values()) - min(0, missing.waiting),
        )
        line = RecordsLost(letters=deleted, records=undelivered)
        lease.commit(changes, audit=[line] if deleted or undelivered else [])
        log.error(
            "records that were deleted with a topic are counted",
            connector=lease.connector,
            letters=deleted,
            records=undelivered,
        )
        return True


def _line(lease: Lease, letters: str, topic: str) -> TopicMadeAgain:
    cursors = {str(place[1]): offset for place, offset in lease.view.cursors.items() if place[0] == letters}
    what = "deliveries began again" if letters == DELIVERIES else "dead letters forgotten"
    return TopicMadeAgain(what=what, topic=topic, cursors=cursors)


def _forgotten(lease: Lease, letters: str) -> dict[str, Record | None]:
    """The cursors and settled letters of a topic that was deleted, taken back."""
    name, view = lease.connector, lease.view
    changes: dict[str, Record | None] = {
        key("cursor", name, *place): None for place in view.cursors if place[0] == letters
    }
    for place, blocks in view.places_of(letters).items():
        changes |= {key("settled", name, *place, block): None for block in blocks}
    return changes


def _ended_job(lease: Lease, letters: str, changes: dict[str, Record | None]) -> list[JobEnded]:
    """A job that is under way on the letters ends: its offsets are those of the topic that was deleted."""
    found = active_job(lease.view.jobs)
    if found is None or found[1].selection.get("letters", REJECTED) != letters:
        return []
    job_id, job = found
    detail = "the topic of its letters was deleted and made again: plan again"
    after = job.model_copy(update={"status": "failed", "detail": detail})
    changes[key("job", lease.connector, job_id)] = after
    return [ending(job_id, after)]
