"""A fake of what a sink remembers: rows of a topic in memory, as committed to a `FakeKafka`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from streams.delivery.composer import Staged
from streams.delivery.sent_rows import SEEN, Seen, seen
from streams.ports.clock import Clock
from streams.ports.memory import NO_EVENTS, MemoryDamaged, Row
from streams.testing.ports import FakeKafka
from streams.wayback.memory import member_groups
from streams.wayback.rows import user_of


class FakeMemories:
    """The memories of one connector, as one process has them."""

    def __init__(self, kafka: FakeKafka, topic: str, clock: Clock) -> None:
        self.kafka = kafka
        self.clock = clock
        self.opened: list[int] = []
        """Partitions, each time one was opened."""
        self.full = False
        """While true, nothing can be opened: the disk is full."""
        self.current: dict[int, FakePartitionMemory] = {}
        """What was opened last, by partition."""
        self._topic = topic

    @property
    def topic(self) -> str:
        return self._topic

    def open(self, partition: int, beat: Callable[[], None]) -> FakePartitionMemory:
        beat()
        self.opened.append(partition)
        if self.full:
            raise MemoryDamaged("scratch: the disk is full")
        memory = FakePartitionMemory(self.clock)
        memory.apply([(one.key() or b"", one.value()) for one in self.kafka.records.get((self._topic, partition), ())])
        self.current[partition] = memory
        return memory


class FakePartitionMemory:
    """One partition's rows and staged members."""

    def __init__(self, clock: Clock) -> None:
        self.is_damaged = False
        """While true, nothing can be read or written."""
        self.is_closed = False
        self._clock = clock
        self._rows: dict[bytes, bytes] = {}
        self._staged: set[Staged] = set()

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._rows.get(key)

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._check()
        return iter(sorted((key, value) for key, value in self._rows.items() if key.startswith(prefix)))

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        now_s = self._clock.epoch_ms() // 1000
        rows = (seen(value) for _, value in self.rows_under(SEEN))
        return {one for row in rows if not row.is_over(now_s) for one in row.ids}.intersection(event_ids)

    def members(self, group: str) -> Iterator[str]:
        self._check()
        rows = ((user_of(key), value) for key, value in self._rows.items())
        users = [user for user, value in rows if user is not None and group in member_groups(value)]
        return iter(sorted(users, key=str.encode))

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:
        self._check()
        users = {one.user for one in self._staged if one.copy == copy and versions.get(one.page) == one.request}
        return iter(sorted(users, key=str.encode))

    def apply(self, rows: Sequence[Row], events: Mapping[bytes, Seen] = NO_EVENTS) -> None:  # noqa: ARG002 - rows say it
        self._check()
        for key, value in rows:
            if value is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = value

    def stage(self, members: Iterable[Staged]) -> None:
        self._check()
        self._staged.update(members)

    def staged_users(self) -> Iterator[str]:
        self._check()
        return iter([one.user for one in self._staged])

    def unstage_users(self, users: Iterable[str]) -> None:
        self._check()
        gone = set(users)
        self._staged = {one for one in self._staged if one.user not in gone}

    def unstage(self, copies: Iterable[str]) -> None:
        self._check()
        ended = set(copies)
        self._staged = {one for one in self._staged if one.copy not in ended}

    def seen_over(self, now_s: int) -> Sequence[bytes]:
        return [key for key, value in self.rows_under(SEEN) if seen(value).is_over(now_s)]

    def rows(self) -> int:
        return len(self._rows)

    def bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self._rows.items())

    def close(self) -> None:
        self.is_closed = True

    def _check(self) -> None:
        assert not self.is_closed, "a memory is used after it was closed"
        if self.is_damaged:
            raise MemoryDamaged("scratch: database disk image is malformed")
