"""A consumer and transactions on topics in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from streams.delivery.metadata import is_of_another_topic
from streams.ports.errors import CommitRefused, Fenced, RecordRefused, RecordsRefused, TransactionAborted
from streams.ports.kafka import Gap, Headers, Listener, Member, Message, Partition, Position, Start
from streams.testing.ports.groups import FakeGroup
from streams.testing.ports.topics import FakeKafka, Killed

TOPIC_IDS_SECONDS = 5.0
"""How often the ids of topics are asked for, where there is a clock."""


class FakeConsumer:
    """A member of a group, which shares partitions with other members. One that names no group is alone: it owns every
    partition of what it subscribes to, until a test takes some away."""

    def __init__(self, kafka: FakeKafka, group: str = "") -> None:
        self.kafka = kafka
        self._group = kafka.group(group) if group else None
        self.member = 0
        """Its number in its group; 0: it is in none."""
        self.is_closed = False
        self.paused: set[Partition] = set()
        self._listener: Listener | None = None
        self._positions: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._subscribed: frozenset[str] = frozenset()
        self._ids: dict[str, str] = {}
        """Of the topics that are read, as far as they are told."""
        self._look_at = 0.0

    def subscribe(self, topics: Sequence[str], listener: Listener) -> None:
        self._listener = listener
        self._subscribed = frozenset(topics)
        if self._group is not None and self.member in self._group.members:
            self._group.members[self.member] = self._subscribed

    def poll(self, records_max: int, timeout_seconds: float) -> Sequence[Message]:
        if self._group is not None and not self._take_part(self._group):
            return []
        self._leave_unsubscribed()
        self._assign_new()
        self._notice_made_again()
        messages: list[Message] = []
        for partition in list(self._positions):
            if partition in self.paused:
                continue
            self._pass_deleted(partition)
            log, position = self.kafka.records[partition], self._positions[partition]
            new = log[position : position + records_max - len(messages)]
            self._positions[partition] = position + len(new)
            self._ends[partition] = len(log)
            messages += [one for one in new if not one.is_marker]
        return messages

    def commit(self, positions: Sequence[Position]) -> None:
        if stray := _unassigned(self, positions):
            raise CommitRefused(stray)
        if self.kafka.is_refused():
            raise CommitRefused("the group moved on")
        if self._group is None:
            self.kafka.commit(positions)
        else:
            self._group.commit(self.member, positions)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.paused.difference_update(partitions)

    def rewind(self, partition: Partition, offset: int) -> None:
        if partition in self._positions:
            self._positions[partition] = offset

    def topics(self) -> frozenset[str]:
        return frozenset(topic for topic, _ in self.kafka.records)

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        return {topic: self.kafka.topic_id(topic) for topic, _ in self.kafka.records if topic in topics}

    def known_end(self, partition: Partition) -> int:
        return self._ends.get(partition, -1)

    @property
    def group(self) -> str:
        return "fake" if self._group is None else self._group.name

    def is_assigned(self, partition: Partition) -> bool:
        return partition in self._positions

    def group_metadata(self) -> object:
        return self.member

    def close(self) -> None:
        if self._listener is not None:
            self.revoke(list(self._positions))
        if self._group is not None:
            self._group.expel(self.member)
        self.is_closed = True

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """A rebalance takes these partitions away; they come back with the next poll."""
        assert self._listener is not None
        owned = [partition for partition in partitions if partition in self._positions]
        self._listener.revoked(owned)
        for partition in owned:
            del self._positions[partition]
            if self._group is not None:
                self._group.give_up(self.member, partition)

    def _take_part(self, group: FakeGroup) -> bool:
        """Learn what the group decided; whether this is a member. One that was expelled joins again."""
        if self._listener is None:
            return False
        if self.member not in group.members:
            lost, self._positions = list(self._positions), {}
            if lost:
                self._listener.lost(lost)
            self.member = group.join(self._subscribed)
            return False
        moving = [partition for partition in self._positions if group.owner_to_be(partition) != self.member]
        if moving:
            self.revoke(moving)
        return True

    def _leave_unsubscribed(self) -> None:
        """Give up partitions of topics that are gone, or that this member does not ask for any more."""
        left = [one for one in self._positions if one not in self.kafka.records or one[0] not in self._subscribed]
        if left:
            self.revoke(left)

    def _is_ours_to_take(self, partition: Partition) -> bool:
        if self._group is None:
            return True
        return partition not in self._group.owners and self._group.owner_to_be(partition) == self.member

    def _assign_new(self) -> None:
        new = [
            partition
            for partition in sorted(self.kafka.records)
            if partition[0] in self._subscribed
            and partition not in self._positions
            and self._is_ours_to_take(partition)
        ]
        if not new or self._listener is None:
            return
        self._begin_again({topic for topic, _ in new})  # it asks for their ids, and so learns of it at once
        commits = self.kafka.committed if self._group is None else self._group.committed
        starts = [self._start(partition, commits.get(partition)) for partition in new]
        for start in starts:
            self._positions[start.topic, start.partition] = start.offset
            if self._group is not None:
                self._group.owners[start.topic, start.partition] = self.member
        self.paused.difference_update(new)
        self._listener.assigned(starts)

    def _start(self, partition: Partition, committed: Position | None) -> Start:
        """Where the partition begins. What was committed for an earlier topic of this name says nothing of its
        offsets."""
        topic_id = self._told_id(partition[0])
        self._ids[partition[0]] = topic_id
        earliest = self.kafka.earliest(partition)
        if committed is None:
            return Start(*partition, earliest, None, topic_id)
        if is_of_another_topic(committed.metadata, topic_id):
            return Start(*partition, earliest, committed.metadata, topic_id, is_made_again=True)
        return Start(*partition, committed.offset, committed.metadata, topic_id)

    def _told_id(self, topic: str) -> str:
        return self.kafka.topic_id(topic) if self.kafka.tells_ids else ""

    def _notice_made_again(self) -> None:
        """Ask for the ids of topics every few seconds; at once, where a partition ends before it is read."""
        now = 0.0 if self.kafka.clock is None else self.kafka.clock.monotonic()
        is_beyond = any(position > len(self.kafka.records[one]) for one, position in self._positions.items())
        if self._listener is None or (now < self._look_at and not is_beyond):
            return
        self._look_at = now + (0.0 if self.kafka.clock is None else TOPIC_IDS_SECONDS)
        self._begin_again({topic for topic, _ in self._positions})

    def _begin_again(self, topics: Collection[str]) -> None:
        """Read those of these topics from their beginning that are read by the id of an earlier one."""
        read = {topic for topic, _ in self._positions if topic in topics}
        new_ids = {topic: self._told_id(topic) for topic in read if self._ids[topic] != self._told_id(topic)}
        self._ids.update(new_ids)
        places = sorted(place for place in self._positions if place[0] in new_ids)
        for place in places:
            self._positions[place] = self.kafka.earliest(place)
        if places and self._listener is not None:
            self._listener.made_again([Start(*one, self._positions[one], None, new_ids[one[0]]) for one in places])

    def _pass_deleted(self, partition: Partition) -> None:
        position, earliest = self._positions[partition], self.kafka.earliest(partition)
        if position < earliest and self._listener is not None:
            self._positions[partition] = earliest
            self._listener.gap(Gap(*partition, position, earliest))


def _unassigned(member: Member, positions: Sequence[Position]) -> str:
    """Which of these cannot be committed; empty where all can."""
    strays = [one for one in positions if not member.is_assigned((one.topic, one.partition))]
    return f"{strays[0].topic}/{strays[0].partition} is not assigned" if strays else ""


class FakeTransactions:
    """Transactions on a `FakeKafka`: what is not committed leaves nothing behind.

    With a `transactional_id` it fences the holder of that id.
    """

    def __init__(self, kafka: FakeKafka, transactional_id: str = "") -> None:
        self.kafka = kafka
        self._id = transactional_id
        if transactional_id:
            kafka.owners[transactional_id] = self
        self.is_closed = False
        self._open: list[tuple[str, bytes | None, bytes | None, Headers, int]] | None = None

    def begin(self) -> None:
        self._open = []

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        assert self._open is not None, "no transaction is open"
        if len(value or b"") > self.kafka.record_bytes_max:
            raise RecordRefused(topic, "Unable to produce message: Message size too large")
        number = self.kafka.partition(topic, key) if partition < 0 else partition
        self._open.append((topic, value, key, list(headers or ()), number))

    def commit(self, positions: Sequence[Position], member: Member | None) -> None:
        assert self._open is not None, "no transaction is open"
        written, self._open = self._open, None
        if positions:
            assert member is not None, "offsets are committed for a member of a group"
            if stray := _unassigned(member, positions):
                raise TransactionAborted(stray)
        if self.kafka.is_killed(self._id, is_committed=False):
            raise Killed
        if self._id and self.kafka.owners[self._id] is not self:
            raise Fenced(f"{self._id} was taken by another")
        if self.kafka.is_refused():
            raise TransactionAborted("the group moved on")
        if refusals := {topic: why for topic, value, *_ in written if (why := self.kafka.refusal(topic, value))}:
            raise RecordsRefused(refusals)
        if positions and member is not None and member.group in self.kafka.groups:
            self._commit_of_group(positions, member)
        else:
            self.kafka.commit(positions)
        for topic, value, key, headers, partition in written:
            self.kafka.write(topic, value, key, headers, partition)
        self.kafka.mark(sorted({(topic, partition) for topic, _, _, _, partition in written}))
        if self.kafka.is_killed(self._id, is_committed=True):
            raise Killed

    def _commit_of_group(self, positions: Sequence[Position], member: Member) -> None:
        metadata = member.group_metadata()
        assert isinstance(metadata, int), "the metadata of a fake member"
        try:
            self.kafka.groups[member.group].commit(metadata, positions)
        except CommitRefused as refusal:
            raise TransactionAborted(str(refusal)) from refusal

    def abort(self) -> None:
        self._open = None

    def close(self) -> None:
        self.is_closed = True
