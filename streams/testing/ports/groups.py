"""A consumer group in memory: who is a member, which partitions are whose, and what was committed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streams.ports.errors import CommitRefused
from streams.ports.kafka import Partition, Position


@dataclass(slots=True)
class FakeGroup:
    """Members are named by a number that is never used again, as Kafka names them by an id.

    A partition that is to move is first given up by its owner, at the owner's next poll, and then taken by the other,
    as both group protocols do it. A member that is expelled (it died, or was away for too long) owns nothing any more
    and does not know it: its commits are refused, and its next poll tells it.
    """

    name: str
    committed: dict[Partition, Position] = field(default_factory=dict)
    members: dict[int, frozenset[str]] = field(default_factory=dict)
    """What each member subscribed to."""
    owners: dict[Partition, int] = field(default_factory=dict)
    refuse_commits: int = 0
    """How many of the next commits are refused, as in the middle of a rebalance."""
    _joined: int = 0

    def join(self, topics: Iterable[str]) -> int:
        """The number of the new member."""
        self._joined += 1
        self.members[self._joined] = frozenset(topics)
        return self._joined

    def expel(self, member: int) -> None:
        """The group goes on without this member."""
        self.members.pop(member, None)
        self.owners = {place: owner for place, owner in self.owners.items() if owner != member}

    def give_up(self, member: int, partition: Partition) -> None:
        """The member does not own the partition any more. What is another's by now stays the other's: one that was
        expelled, and does not know it, gives up nothing."""
        if self.owners.get(partition) == member:
            del self.owners[partition]

    def owner_to_be(self, partition: Partition) -> int:
        """Who of the members is to own a partition; 0 where nobody subscribed to its topic."""
        topic, number = partition
        members = [member for member, topics in self.members.items() if topic in topics]
        return members[number % len(members)] if members else 0

    def commit(self, member: int, positions: Sequence[Position]) -> None:
        """Raises `CommitRefused` where this is no member, or a rebalance is under way."""
        self.require(member)
        for position in positions:
            self.committed[position.topic, position.partition] = position

    def require(self, member: int) -> None:
        """Raises `CommitRefused` where this is no member, or a rebalance is under way."""
        if member not in self.members:
            raise CommitRefused("Broker: Unknown member")
        if self.refuse_commits:
            self.refuse_commits -= 1
            raise CommitRefused("Broker: Rebalance in progress")
