"""What a sink of Braze remembers of one partition, in SQLite on a scratch folder: a copy of rows that Kafka keeps.

The rows are those of `streams.sent.<name>`, applied after the commit that wrote them, together with the offset reached
there. So the file is never ahead of Kafka: the process that opens it continues at its offset, and a file that is
missing, damaged or of another version is created again and filled from the first offset. Nothing is lost with it.

Staged members of full copies are next to the rows. They are in no topic of their own: a new owner reads them again from
the connector's topic.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.wayback.memory import member_groups

VERSION = 1
CACHE_KILOBYTES = 8_000
"""Pages that SQLite keeps in memory, per partition."""
FETCHED_MAX = 1_000
"""Rows that an iteration holds at once."""
USER = b"user/"

_TABLES = """
CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
CREATE TABLE members (grp TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (grp, user)) WITHOUT ROWID;
CREATE TABLE staged (
    session TEXT NOT NULL, user TEXT NOT NULL, page INTEGER NOT NULL, request TEXT NOT NULL,
    PRIMARY KEY (session, user, page, request)
) WITHOUT ROWID;
CREATE TABLE position (next_offset INTEGER NOT NULL);
INSERT INTO position VALUES (0);
"""
# Values lie in the order in which they came, so that a million of them can be written fast; only the keys are sorted.
_PUT = "INSERT INTO rows (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Scratch:
    """One partition's memory. Not for several threads at once.

    A damaged file is made anew when it is opened; damage that shows later raises `sqlite3.DatabaseError`, and the
    partition has to be opened again.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError` where the folder cannot be written."""
        self._path = path
        self._connection = self._opened()

    @property
    def next_offset(self) -> int:
        """Where to read on in `streams.sent.<name>`; 0 where everything has to be read."""
        (offset,) = self._connection.execute("SELECT next_offset FROM position").fetchone()
        return int(offset)

    def get(self, key: bytes) -> bytes | None:
        row = self._connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def apply(self, rows: Iterable[tuple[bytes, bytes | None]], next_offset: int) -> None:
        """Rows in their order, None deletes, and the offset after them: both or neither."""
        with self._connection:
            for key, value in rows:
                if key.startswith(USER):
                    self._index(key, value)
                if value is None:
                    self._connection.execute("DELETE FROM rows WHERE key = ?", (key,))
                else:
                    self._connection.execute(_PUT, (key, value))
            self._connection.execute("UPDATE position SET next_offset = ?", (next_offset,))

    def members(self, group: str) -> Iterator[str]:
        """Users who are remembered to be in a group, each once, in the order of their ids' bytes."""
        yield from self._users("SELECT user FROM members WHERE grp = ? AND user > ? ORDER BY user LIMIT ?", group)

    def stage(self, session: str, members: Iterable[tuple[str, int, str]]) -> None:
        """Members of a copy: user, page, request."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO staged VALUES (?, ?, ?, ?)",
                ((session, user, page, request) for user, page, request in members),
            )

    def staged(self, session: str, versions: Mapping[int, str]) -> Iterator[str]:
        """Members of a copy by the version of each page that counts, in the order of their ids' bytes."""
        wanted = {(page, request) for page, request in versions.items()}
        last = None
        query = "SELECT user, page, request FROM staged WHERE session = ? ORDER BY session, user"
        for user, page, request in self._connection.execute(query, (session,)):
            if (page, request) in wanted and user != last:
                last = user
                yield user

    def unstage(self, session: str) -> None:
        """The copy has ended."""
        with self._connection:
            self._connection.execute("DELETE FROM staged WHERE session = ?", (session,))

    def unstage_all(self) -> None:
        """Before the connector's topic is read again for open copies."""
        with self._connection:
            self._connection.execute("DELETE FROM staged")

    def counts(self) -> tuple[int, int]:
        """Rows, and bytes on the disk."""
        (rows,) = self._connection.execute("SELECT COUNT(*) FROM rows").fetchone()
        return int(rows), sum(path.stat().st_size for path in self._files() if path.exists())

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _index(self, key: bytes, value: bytes | None) -> None:
        """Brings the groups of a user up to date."""
        before, after = member_groups(self.get(key)), member_groups(value)
        if before == after:
            return
        user = key.removeprefix(USER).decode()
        self._connection.executemany(
            "DELETE FROM members WHERE grp = ? AND user = ?", [(g, user) for g in before - after]
        )
        self._connection.executemany("INSERT OR IGNORE INTO members VALUES (?, ?)", [(g, user) for g in after - before])

    def _users(self, query: str, group: str) -> Iterator[str]:
        last = ""
        while rows := self._connection.execute(query, (group, last, FETCHED_MAX)).fetchall():
            for (user,) in rows:
                yield user
            last = rows[-1][0]

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._checked()
        except sqlite3.DatabaseError:
            for path in self._files():
                path.unlink(missing_ok=True)
        try:
            return self._checked()
        except sqlite3.DatabaseError as error:
            raise OSError(f"cannot use {self._path}: {error}") from None

    def _checked(self) -> sqlite3.Connection:
        """Raises `sqlite3.DatabaseError` for a file that is damaged or of another version."""
        connection = sqlite3.connect(self._path)
        try:
            # What the machine's own crash loses, Kafka still has: so nothing waits for the disk.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and not connection.execute("SELECT name FROM sqlite_master").fetchall():
                connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version != VERSION or connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged, or of another version")  # noqa: TRY301 one way out for both
        except BaseException:
            connection.close()
            raise
        return connection

    def _files(self) -> list[Path]:
        return [self._path, *(self._path.with_name(self._path.name + end) for end in ("-wal", "-shm", "-journal"))]
