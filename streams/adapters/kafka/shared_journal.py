"""One reader of the state topic for many readers in one process: each gets a view that begins at the beginning.

What it keeps is what compaction would leave: the newest record of each key, in the order of writing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from streams.ports.errors import JournalBegan
from streams.ports.state import Journal, JournalRecord

REMOVED_MAX = 10_000
"""Removals that are remembered for views that have not seen them."""


class SharedJournal:
    """Opens views. Threads may use it side by side; each view is for one thread."""

    def __init__(self, open_journal: Callable[[], Journal]) -> None:
        self._open_journal = open_journal
        self._journal: Journal | None = None
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[int, JournalRecord]] = {}
        self._count = 0
        self._removed: list[tuple[int, str]] = []
        self._forgotten_to = 0

    def open(self) -> Journal:
        """A view. To close it is cheap: the reader stays open."""
        return _View(self)

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def since(self, count: int, *, waits: bool) -> tuple[Sequence[JournalRecord], int]:
        """What came after the `count`-th record, and the new count. Raises `KafkaUnreachable`, and `JournalBegan` where
        the view must begin at the beginning."""
        with self._lock:
            if self._journal is None:
                self._journal = self._open_journal()
            read = self._journal.read_to_end if waits else self._journal.poll
            try:
                try:
                    records = read()
                except JournalBegan:
                    self._begin_again()
                    records = read()
            except BaseException:  # Ctrl-C, too: the next reader begins with a new journal
                self._let_go()
                raise
            for record in records:
                self._take(record)
            if 0 < count < self._forgotten_to:
                raise JournalBegan("the topic was made again, or read too seldom to say what was removed")
            return self._after(count), self._count

    def _take(self, record: JournalRecord) -> None:
        self._count += 1
        self._newest.pop(record.key, None)
        self._newest[record.key] = self._count, record
        if record.value is None:
            self._removed.append((self._count, record.key))
        if len(self._removed) > REMOVED_MAX:
            self._forget(self._removed[: REMOVED_MAX // 2])
            self._removed = self._removed[REMOVED_MAX // 2 :]

    def _forget(self, removed: Sequence[tuple[int, str]]) -> None:
        for count, key in removed:
            if self._newest.get(key, (0, None))[0] == count:
                del self._newest[key]
        self._forgotten_to = removed[-1][0]

    def _after(self, count: int) -> list[JournalRecord]:
        found = []
        for at, record in reversed(self._newest.values()):
            if at <= count:
                break
            found.append(record)
        found.reverse()
        return found

    def _begin_again(self) -> None:
        """The topic is another one: each view that has read of the old one learns it at its next read."""
        self._newest.clear()
        self._removed.clear()
        self._count += 1
        self._forgotten_to = self._count

    def _let_go(self) -> None:
        """The next reader begins from the beginning; views get every record again."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None


class _View:
    def __init__(self, shared: SharedJournal) -> None:
        self._shared = shared
        self._count = 0

    def read_to_end(self) -> Sequence[JournalRecord]:
        return self._read(waits=True)

    def poll(self) -> Sequence[JournalRecord]:
        return self._read(waits=False)

    def _read(self, *, waits: bool) -> Sequence[JournalRecord]:
        try:
            records, self._count = self._shared.since(self._count, waits=waits)
        except JournalBegan:
            self._count = 0
            raise
        return records

    def close(self) -> None:
        self._count = 0
