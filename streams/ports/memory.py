"""What a sink remembers for a destination that composes: one memory per partition of the connector's topic.

The rows are written to `streams.sent.<connector>` in the transaction of the commit that settles the records behind
them, to the partition of the same number. A memory is a copy of these rows, with the staged members of full copies
beside them, which are in no topic of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from streams.delivery.composer import Memory, Staged
from streams.delivery.sent_rows import Seen

Row = tuple[bytes, bytes | None]
"""Key and value; None deletes."""
NO_EVENTS: Mapping[bytes, Seen] = MappingProxyType({})


class PartitionMemory(Memory, Protocol):
    """One partition's memory as of the last commit. One thread uses it.

    Every method raises `MemoryDamaged` where the copy on the disk cannot be used any more: open it again.
    """

    def apply(self, rows: Sequence[Row], events: Mapping[bytes, Seen] = NO_EVENTS) -> None:
        """Rows that were committed, in their order. `events`: what rows `seen/…` among them hold, by their keys; others
        are read."""
        ...

    def stage(self, members: Iterable[Staged]) -> None:
        """Members of open full copies; the same one again changes nothing."""
        ...

    def unstage(self, copies: Iterable[str]) -> None:
        """These copies have ended."""
        ...

    def unstage_users(self, users: Iterable[str]) -> None:
        """Open copies lose these members."""
        ...

    def seen_over(self, now_s: int) -> Sequence[bytes]:
        """Keys of some rows `seen/…` whose events nobody can repeat any more, oldest first: the next commit deletes
        them. Seconds since 1970."""
        ...

    def rows(self) -> int: ...

    def bytes(self) -> int:
        """On the disk."""
        ...

    def close(self) -> None:
        """Keep what is there for the next time, with the position reached."""
        ...


class MemoryDamaged(Exception):
    """The copy on the disk is damaged, or the disk is full; the text says which file and what happened."""


class RowsNotUnderstood(Exception):
    """The topic holds a row that this program cannot read: a newer version, or somebody else, wrote it."""


@dataclass(frozen=True, slots=True)
class Room:
    """A folder on this machine, or where it would be made: why it cannot be written, and how many bytes are free."""

    problem: str
    free_bytes: int


class Memories(Protocol):
    """Opens memories of one connector."""

    @property
    def topic(self) -> str:
        """The topic of the rows."""
        ...

    def open(self, partition: int, beat: Callable[[], None]) -> PartitionMemory:
        """The partition's memory with every committed row of the topic. `beat` is called while it reads.

        A transaction that another owner left open is waited for: Kafka ends it. Raises `MemoryDamaged`,
        `KafkaUnreachable`, and what no retry changes: `TopicMissing`, `AccessDenied`, `RowsNotUnderstood`.
        """
        ...
