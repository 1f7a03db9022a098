"""One partition's memory in a scratch file, while its sink commits.

Rows of commits wait in memory and go to the file many at once: a file of a million hashes has thousands of pages, and
whatever touches a page writes it. Kafka has these rows, so what a crash loses of them is read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException

from streams.adapters.kafka.answers import answer_of
from streams.adapters.scratch import Position, Scratch
from streams.adapters.seen_filter import SeenFilter
from streams.delivery.composer import Staged
from streams.delivery.sent_rows import SEEN, SEEN_SECONDS, Seen, seen
from streams.ports.clock import Clock
from streams.ports.memory import NO_EVENTS, MemoryDamaged, Row

POSITION_SECONDS: Final = 30.0
"""Between two questions for the end of the topic, while commits come. Each answer sends to the file what waits for it.
Where a process is killed, the rows of so long are read again: that takes less than a second."""
LATE_MAX: Final = 20_000
"""Rows and ids of events that wait together for the file: at most some megabytes."""
LATE_BYTES_MAX: Final = 4_000_000
"""Of the values of rows that wait."""


class LateRows:
    """Rows that are committed and not in the file yet: the last of each key, and the events that they hold."""

    def __init__(self, maybe_seen: SeenFilter) -> None:
        """`maybe_seen` takes in the events."""
        self._maybe_seen = maybe_seen
        self.rows: dict[bytes, bytes | None] = {}
        self.events: dict[bytes, Seen] = {}
        self.seen_at: dict[str, int] = {}
        self._bytes = 0

    def add(self, rows: Sequence[Row], events: Mapping[bytes, Seen]) -> bool:
        """Whether all of them could be taken: a row of events that is changed or deleted has to meet its old events.

        Raises `ValueError` for a row that cannot be read.
        """
        for key, value in rows:
            if key.startswith(SEEN):
                if value is None or key in self.rows:
                    return False
                self.events[key] = found = events.get(key) or seen(value)
                self._maybe_seen.add(found.ids)
                self.seen_at.update(dict.fromkeys(found.ids, found.at_s))
            self.rows[key] = value
            self._bytes += len(value or b"")
        return True

    @property
    def is_full(self) -> bool:
        return len(self.rows) + len(self.seen_at) >= LATE_MAX or self._bytes >= LATE_BYTES_MAX


class ScratchMemory:
    """The `PartitionMemory` in a scratch file.

    Its position follows by proof, since another owner may have written rows meanwhile: an end of the topic that was
    told before a commit is passed by the file after that commit, for Kafka takes the commits of the owner only.
    """

    def __init__(
        self, scratch: Scratch, path: Path, ask_end: Callable[[], Future[Any]], topic_id: str, clock: Clock
    ) -> None:
        self._scratch = scratch
        self._path = path
        self._ask_end = ask_end
        self._topic_id = topic_id
        self._clock = clock
        self._asked: tuple[Future[Any], int] | None = None
        self._told: Position | None = None
        self._ask_at = clock.monotonic() + POSITION_SECONDS
        self._late = LateRows(scratch.maybe_seen)
        self._late_position: Position | None = None

    # The first two are asked for each request, so they do without a context manager.

    def get(self, key: bytes) -> bytes | None:
        late = self._late.rows
        if key in late:
            return late[key]
        try:
            return self._scratch.get(key)
        except (sqlite3.DatabaseError, OSError) as error:
            raise _damage(self._path, error) from error

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        maybe_seen = self._scratch.maybe_seen.held(event_ids)
        if not maybe_seen:
            return ()
        late = self._late.seen_at
        try:
            seen_at = self._scratch.seen_at(maybe_seen)
        except (sqlite3.DatabaseError, OSError) as error:
            raise _damage(self._path, error) from error
        # What is late is newer.
        seen_at.update((event_id, late[event_id]) for event_id in maybe_seen if event_id in late)
        now_s = seconds(self._clock)
        return [event_id for event_id, at_s in seen_at.items() if now_s - at_s < SEEN_SECONDS]

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        self._write()
        with told(self._path):
            yield from self._scratch.rows_under(prefix)

    def members(self, group: str) -> Iterator[str]:
        self._write()
        with told(self._path):
            yield from self._scratch.members(group)

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:
        with told(self._path):
            yield from self._scratch.staged(copy, versions)

    def staged_users(self) -> Iterator[str]:
        with told(self._path):
            yield from self._scratch.staged_users()

    def apply(self, rows: Sequence[Row], events: Mapping[bytes, Seen] = NO_EVENTS) -> None:
        position = self._proven()
        if not self._late.add(rows, events):
            self._write()
            with told(self._path):
                self._scratch.apply(rows, position)
            return
        self._late_position = position or self._late_position
        if position is not None or self._late.is_full:
            self._write()

    def stage(self, members: Iterable[Staged]) -> None:
        copies: dict[str, list[tuple[str, int, str]]] = {}
        for each in members:
            copies.setdefault(each.copy, []).append((each.user, each.page, each.request))
        with told(self._path):
            for copy, staged in copies.items():
                self._scratch.stage(copy, staged)

    def unstage(self, copies: Iterable[str]) -> None:
        with told(self._path):
            for copy in copies:
                self._scratch.unstage(copy)

    def unstage_users(self, users: Iterable[str]) -> None:
        with told(self._path):
            self._scratch.unstage_users(users)

    def seen_over(self, now_s: int) -> Sequence[bytes]:
        self._write()
        with told(self._path):
            return self._scratch.seen_over(now_s)

    def rows(self) -> int:
        self._write()
        return self._scratch.rows()

    def bytes(self) -> int:
        self._write()
        with told(self._path):
            return self._scratch.size()

    def close(self) -> None:
        """What the position does not tell yet is read again the next time: a few seconds of rows."""
        with suppress(MemoryDamaged):
            self._write()
        with suppress(sqlite3.DatabaseError):
            self._scratch.close()

    def _write(self) -> None:
        """What is late goes to the file, with the position that is proven by now."""
        late, position = self._late, self._late_position
        self._late, self._late_position = LateRows(self._scratch.maybe_seen), None
        if late.rows or position is not None:
            with told(self._path):
                self._scratch.apply(late.rows.items(), position, late.events)

    def _proven(self) -> Position | None:
        """An end that was in hand before this commit began; None where there is none. Asks for the next one."""
        proven, self._told = self._told, None
        if self._asked is not None and self._asked[0].done():
            future, asked_s = self._asked
            self._asked = None
            # A broker that does not answer now is asked again.
            with suppress(KafkaException, TimeoutError):
                self._told = Position(int(answer_of(future).offset), self._topic_id, asked_s)
        elif self._asked is None and self._clock.monotonic() >= self._ask_at:
            self._ask_at = self._clock.monotonic() + POSITION_SECONDS
            self._asked = (self._ask_end(), seconds(self._clock))
        return proven


def seconds(clock: Clock) -> int:
    return clock.epoch_ms() // 1_000


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Damage and a full disk, as the port tells them."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        raise _damage(path, error) from error


def _damage(path: Path, error: Exception) -> MemoryDamaged:
    return MemoryDamaged(f"{path}: {error}")
