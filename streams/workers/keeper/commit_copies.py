"""Copies of what a connector's group committed, for a group that Kafka forgets; and `lost`, made exact after a gap.

A sink that finds records deleted by retention counts the offsets of the gap, for nobody can count the records; some of
those offsets held transactions' markers. Once everything stands still for a moment, what the topic really holds tells
how many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from streams.delivery.metadata import is_of_another_state, is_of_another_topic
from streams.ports.kafka import Partition
from streams.state.audit import Line, StateLost
from streams.state.records import Copy, Record, Totals, key
from streams.state.state_view import StateView
from streams.workers.keeper.lease import Lease

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""A copy is at most this old: what was delivered since is delivered again, and deduplicated, where it is needed."""

Commits = Mapping[Partition, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class GroupCommits:
    """What a group committed, and of it how much counts as lost."""

    commits: Commits
    lost: int
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """Asked for before the commits: a commit of a topic that is made again between the two is copied under the old id,
    and read again, never passed over."""
    state_id: str = ""
    """The id of the state topic."""


Looked = tuple[GroupCommits | None, int | None]
"""What `read` and `excess` of `CommitCopies` gave; the second is asked for only where more is lost than was counted."""
MoreChanges = Callable[[StateView, GroupCommits], Mapping[str, Record | None]]
"""What else the same commits change, in one transaction with their copies."""


def nothing_more(_state_view: StateView, _committed: GroupCommits) -> Mapping[str, Record | None]:
    return {}


class CommitCopies:
    """`read` gives what the group committed (None: Kafka does not say), `excess` how many more records wait than the
    account says (None: everything moves). `run` carries a call out in the background."""

    def __init__(
        self,
        read: Callable[[], GroupCommits | None],
        excess: Callable[[], int | None],
        run: Callable[[Callable[[], Looked]], Future[Looked]],
        more: MoreChanges = nothing_more,
    ) -> None:
        self._read = read
        self._excess = excess
        self._run = run
        self._more = more
        self._look_at = 0.0
        self._reading: Future[Looked] | None = None
        self._counted = (0, 0)
        """What the totals had when the excess was asked for."""

    def begin(self) -> None:
        """What is being read was asked for in an earlier lease, or before an aborted transaction: it may be older than
        what stands there now, so it is not taken."""
        self._look_at = 0.0
        self._reading = None

    def step(self, lease: Lease) -> bool:
        if self._reading is not None:
            if not self._reading.done():
                return False
            (committed, excess), self._reading = self._reading.result(), None
            return committed is not None and self._take(lease, committed, excess)
        now = lease.clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            reconciled = lease.view.totals.reconciled
            self._counted = _counted_with_topics(lease.view.totals)
            self._reading = self._run(lambda: self._look(reconciled))
        return False

    def finish(self, lease: Lease) -> None:
        """The process stops, and may be gone when somebody deletes a topic, and Kafka the commits with it: what was
        committed until now is copied. Not in the background. Whether the state was lost is not judged: sinks may not
        have committed yet since the keeper wrote again what it knows."""
        committed = self._read()
        if committed is not None and (changes := self._copied(lease, committed)):
            lease.commit(changes)

    def _look(self, reconciled: int) -> Looked:
        committed = self._read()
        is_new = committed is not None and committed.lost != reconciled
        return committed, self._excess() if is_new else None

    def _take(self, lease: Lease, committed: GroupCommits, excess: int | None) -> bool:
        changes = self._copied(lease, committed)
        totals = lease.view.totals
        # Else what was missing was counted meanwhile, with the topic that it was deleted with: ask again.
        if excess is not None and _counted_with_topics(totals) == self._counted:
            unreconciled = committed.lost - totals.reconciled
            if 0 <= excess <= unreconciled:
                overcounted = totals.overcounted + excess
                update = {"overcounted": overcounted, "reconciled": committed.lost, "revision": totals.revision + 1}
                changes[key("totals", lease.connector)] = totals.model_copy(update=update)
                log.info(
                    "lost records counted", connector=lease.connector, offsets=unreconciled, lost=unreconciled - excess
                )
            else:
                log.error("the account does not add up", connector=lease.connector, excess=excess)
        changes |= self._more(lease.view, committed)
        audit = self._lost_state(lease, committed, changes)
        if changes:
            lease.commit(changes, audit=audit)
        if audit:
            lease.is_first = False
            log.error("the state topic was deleted: nothing is known of the time before", connector=lease.connector)
        return bool(changes)

    def _copied(self, lease: Lease, committed: GroupCommits) -> dict[str, Record | None]:
        """The copies that are not what the view holds."""
        return {
            key("copy", lease.connector, topic): copy
            for topic, copy in _copies(committed, lease.view.copies).items()
            if _differs(lease.view.copies.get(topic, Copy()), copy)
        }

    def _lost_state(self, lease: Lease, committed: GroupCommits, changes: dict[str, Record | None]) -> Sequence[Line]:
        """Where nobody ever kept by this state topic, and sinks committed by another one: the keeper that knew the
        state is gone, too. What left the dead-letter topics then, nobody knows: it is counted by what they hold."""
        is_lost = any(is_of_another_state(metadata, committed.state_id) for _, metadata in committed.commits.values())
        if not (lease.is_first and is_lost and lease.view.known_topics):
            return []
        changes |= {
            key("topic", lease.connector, letters): topic.model_copy(update={"is_uncounted": True})
            for letters, topic in lease.view.known_topics.items()
        }
        return [StateLost(topic=lease.topics.state)]


def _counted_with_topics(totals: Totals) -> tuple[int, int]:
    """What `KnownTopics` counts of the connector's topic."""
    return totals.undelivered, totals.again


def _differs(known: Copy, copy: Copy) -> bool:
    return (known.partitions, known.topic_id) != (copy.partitions, copy.topic_id)


def _copies(committed: GroupCommits, before: Mapping[str, Copy]) -> dict[str, Copy]:
    """Partitions of a topic that was made again are committed one by one: until then the counts of the old ones stay.
    Their metadata names the topic that they are of, so their offsets are not used."""
    topics: dict[str, dict[str, tuple[int, str]]] = {}
    for (topic, number), commit in sorted(committed.commits.items()):
        topics.setdefault(topic, {})[str(number)] = commit
    found = {}
    for topic, partitions in topics.items():
        topic_id = committed.topic_ids.get(topic, "")
        old = {
            number: commit
            for number, commit in before.get(topic, Copy()).partitions.items()
            if is_of_another_topic(commit[1], topic_id)
        }
        found[topic] = Copy(partitions={**old, **partitions}, topic_id=topic_id)
    return found
