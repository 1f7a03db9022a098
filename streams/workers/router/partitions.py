"""What the router knows of each source partition: where its next commit goes, and what it counted since the last."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.delivery.account import RouterCounts
from streams.delivery.handover import HandedOver, without
from streams.delivery.late_counts import Late, late_counts
from streams.delivery.metadata import topic_mark
from streams.ports.kafka import Gap, Partition, Position, Start
from streams.workers.reading.start_positions import MADE_AGAIN, Beginning


@dataclass(slots=True)
class PartitionState:
    """One source partition: the next offset to commit, and the counts of all before it."""

    origin_prefix: bytes
    """`topic/partition/`: what `streams-origin` begins with."""
    next_offset: int
    counts: RouterCounts
    beginning: Beginning | None
    """Until it is audited, where it has to be."""
    pending: RouterCounts = field(default_factory=RouterCounts)
    pending_offset: int = -1
    is_restated: bool = False
    """The counts changed without a record: they are committed where the offset stands."""

    @classmethod
    def begun(cls, beginning: Beginning, late: Late | None = None) -> PartitionState:
        """`late` is of a topic that was made again. Raises `MetadataError`."""
        start = beginning.start
        counts = RouterCounts.from_metadata(start.metadata)
        counts.add(late_counts(late, counts))
        counts.lost += beginning.lost
        counts.topic = topic_mark(start.topic_id) or counts.topic
        return cls(f"{start.topic}/{start.partition}/".encode(), start.offset, counts, beginning)

    @property
    def must_audit_beginning(self) -> bool:
        """Whether how it began has to be audited with the next commit."""
        return bool(self.beginning and self.beginning.why)

    @property
    def was_made_again(self) -> bool:
        """Whether its counts are of an earlier topic, until the first commit of the new one."""
        return self.beginning is not None and self.beginning.why == MADE_AGAIN

    def begin_again(self, start: Start, late: Late | None = None) -> None:
        """Counts of the topic that was deleted stay: they are in no commit any more, so the next one carries them."""
        self.counts.lost += self.pending.lost
        self.counts.add(late_counts(late, self.counts))
        self.counts.topic = topic_mark(start.topic_id)
        self.next_offset, self.beginning = start.offset, Beginning(start, MADE_AGAIN)
        self.forget_pending()

    def pass_gap(self, gap: Gap) -> None:
        """Retention deleted what was not read: it is counted."""
        self.pending.lost += gap.offsets
        self.pending_offset = max(self.pending_offset, gap.earliest)

    def give_away(self, handed: HandedOver) -> bool:
        """Drop the counts that the keeper took over; whether there were any."""
        counts = without(self.counts, handed)
        is_new = counts is not self.counts
        self.counts, self.is_restated = counts, self.is_restated or is_new
        return is_new

    def position(self, partition: Partition) -> Position | None:
        """What the next commit says of it; None where there is nothing to say."""
        if self.pending_offset < 0 and not self.is_restated and not self.must_audit_beginning:
            return None
        counts = self.counts.copy()
        counts.add(self.pending)
        return Position(*partition, max(self.next_offset, self.pending_offset), counts.to_metadata())

    def take_pending(self) -> RouterCounts:
        """It was committed: what was pending is counted now."""
        taken = self.pending
        if self.pending_offset >= 0:
            self.next_offset = max(self.next_offset, self.pending_offset)
            self.counts.add(taken)
            self.forget_pending()
        self.beginning, self.is_restated = None, False
        return taken

    def forget_pending(self) -> None:
        """It was not committed."""
        self.pending, self.pending_offset = RouterCounts(), -1
