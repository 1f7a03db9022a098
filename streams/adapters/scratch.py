"""What a sink of Braze remembers of one partition, in SQLite on a scratch folder: a copy of rows that Kafka keeps.

The rows are those of `streams.sent.<name>`, applied after the commit that wrote them, together with the offset reached
there. So the file is never ahead of Kafka: the process that opens it continues at its offset, and a file that is
missing, damaged or of another version is created again and filled from the first offset. Nothing is lost with it.

Staged members of full copies are next to the rows. They are in no topic of their own: a new owner reads them again from
the connector's topic.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import orjson

from streams.adapters.seen_filter import SeenFilter, hash_of, hashes_of
from streams.delivery.sent_rows import SEEN, SEEN_SECONDS, Seen, seen
from streams.ports.memory import NO_EVENTS
from streams.wayback.memory import member_groups
from streams.wayback.rows import user_of

VERSION = 3
CACHE_KILOBYTES = 8_000
"""Pages that SQLite keeps in memory, per partition."""
FETCHED_MAX = 1_000
"""Rows that an iteration holds at once."""

_TABLES = """
CREATE TABLE rows (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL);
CREATE TABLE members (grp TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (grp, user)) WITHOUT ROWID;
CREATE TABLE seen (id INTEGER PRIMARY KEY, at_s INTEGER NOT NULL);
CREATE TABLE seen_rows (at_s INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (at_s, key)) WITHOUT ROWID;
CREATE TABLE staged (
    session TEXT NOT NULL, user TEXT NOT NULL, page INTEGER NOT NULL, request TEXT NOT NULL,
    PRIMARY KEY (session, user, page, request)
) WITHOUT ROWID;
CREATE TABLE position (next_offset INTEGER NOT NULL, topic TEXT NOT NULL, fresh_s INTEGER NOT NULL);
INSERT INTO position VALUES (0, '', 0);
"""
# Values lie in the order in which they came, so that a million of them can be written fast; only the keys are sorted.
_PUT: Final = "INSERT INTO rows (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
# All ids of one second in one statement, as a JSON array: a statement for each id costs more than twice as much. `WHERE
# true` parts the conflict from a join, as SQLite's page on UPSERT says.
_PUT_IDS: Final = (
    "INSERT INTO seen SELECT value, ? FROM json_each(?) WHERE true "
    "ON CONFLICT (id) DO UPDATE SET at_s = MAX(at_s, excluded.at_s)"
)
_FROM = "SELECT key, value FROM rows WHERE key >= ? ORDER BY key LIMIT ?"
_AFTER = "SELECT key, value FROM rows WHERE key > ? ORDER BY key LIMIT ?"
_MEMBERS = "SELECT user FROM members WHERE grp = ? AND user > ? ORDER BY user LIMIT ?"
_STAGED = (
    "SELECT user, page, request FROM staged WHERE session = ? AND (user, page, request) > (?, ?, ?) "
    "ORDER BY user, page, request LIMIT ?"
)
_STAGED_USERS = (
    "SELECT DISTINCT session, user FROM staged WHERE (session, user) > (?, ?) ORDER BY session, user LIMIT ?"
)


class Position(NamedTuple):
    """Where to read on in the topic of this id, and when (seconds since 1970) the rows before it were all there."""

    next_offset: int = 0
    topic: str = ""
    fresh_s: int = 0


class Scratch:
    """One partition's memory. Not for several threads at once.

    A damaged file is made again when it is opened; damage that shows later raises `sqlite3.DatabaseError`, and the
    partition has to be opened again.
    """

    def __init__(self, path: Path) -> None:
        """Raises `OSError` where the folder cannot be written."""
        self._path = path
        self._connection = self._opened()
        try:
            self.maybe_seen = self._filter()
            """Of every event that a row holds."""
        except ValueError:  # what was written is not what is read: the file is damaged
            self.clear()
        (count,) = self._connection.execute("SELECT COUNT(*) FROM rows").fetchone()
        self._rows = int(count)
        self._new_ids: dict[int, list[int]] = {}
        """Of the rows that are being applied, by the second in which they were written."""

    @property
    def position(self) -> Position:
        return Position(*self._connection.execute("SELECT next_offset, topic, fresh_s FROM position").fetchone())

    def get(self, key: bytes) -> bytes | None:
        row = self._connection.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin so, with their rows, in the order of the keys."""
        last, is_first = prefix, True
        while found := self._connection.execute(_FROM if is_first else _AFTER, (last, FETCHED_MAX)).fetchall():
            for key, value in found:
                if not key.startswith(prefix):
                    return
                yield key, value
            last, is_first = found[-1][0], False

    def apply(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        position: Position | None = None,
        events: Mapping[bytes, Seen] = NO_EVENTS,
    ) -> None:
        """Rows in their order, None deletes, and the position, where it is known: all or nothing.

        `events`: what rows `seen/…` among them hold, by their keys, where `maybe_seen` has taken it in; others are
        read. Raises `ValueError` for a row that cannot be read.
        """
        count = self._rows
        self._new_ids.clear()
        with self._connection:
            for key, value in rows:
                count += self._put(key, value, events)
            self._put_ids()
            if position is not None:
                self._connection.execute("UPDATE position SET next_offset = ?, topic = ?, fresh_s = ?", position)
        self._rows = count

    def members(self, group: str) -> Iterator[str]:
        """Users who are remembered to be in a group, each once, in the order of their ids' bytes."""
        last = ""
        while rows := self._connection.execute(_MEMBERS, (group, last, FETCHED_MAX)).fetchall():
            for (user,) in rows:
                yield user
            last = rows[-1][0]

    def seen_at(self, event_ids: Sequence[str]) -> dict[str, int]:
        """When the newest row that holds an id was written, in seconds since 1970, of those ids that a row holds."""
        found: dict[str, int] = {}
        for event_id in event_ids:
            row = self._connection.execute("SELECT at_s FROM seen WHERE id = ?", (hash_of(event_id),)).fetchone()
            if row is not None:
                found[event_id] = int(row[0])
        return found

    def seen_over(self, now_s: int) -> list[bytes]:
        """Keys of rows `seen/…` that are over, oldest first, not all at once."""
        query = "SELECT key FROM seen_rows WHERE at_s <= ? ORDER BY at_s LIMIT ?"
        return [bytes(key) for (key,) in self._connection.execute(query, (now_s - SEEN_SECONDS, FETCHED_MAX))]

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
        last, told = ("", -1, ""), None
        while found := self._connection.execute(_STAGED, (session, *last, FETCHED_MAX)).fetchall():
            for user, page, request in found:
                if (page, request) in wanted and user != told:
                    told = user
                    yield user
            last = found[-1]

    def staged_users(self) -> Iterator[str]:
        """Members of all copies, each once a copy."""
        last = ("", "")
        while found := self._connection.execute(_STAGED_USERS, (*last, FETCHED_MAX)).fetchall():
            for _, user in found:
                yield user
            last = found[-1]

    def unstage_users(self, users: Iterable[str]) -> None:
        """Every copy loses these members."""
        with self._connection:
            sessions = self._connection.execute("SELECT DISTINCT session FROM staged").fetchall()
            self._connection.executemany(
                "DELETE FROM staged WHERE session = ? AND user = ?",
                ((session, user) for user in users for (session,) in sessions),
            )

    def unstage(self, session: str) -> None:
        """The copy has ended."""
        with self._connection:
            self._connection.execute("DELETE FROM staged WHERE session = ?", (session,))

    def unstage_all(self) -> None:
        """Before the connector's topic is read again for open copies."""
        with self._connection:
            self._connection.execute("DELETE FROM staged")

    def rows(self) -> int:
        return self._rows

    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self._files() if path.exists())

    def clear(self) -> None:
        """Make the file again. Raises `OSError`."""
        self._connection.close()
        self._remove()
        self._connection = self._opened()
        self.maybe_seen = SeenFilter()
        self._rows = 0

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Write without a journal meanwhile, at half the cost. A process that dies in between leaves a file that is
        good for nothing: only the last thing that it writes may be a position that tells when the file was fresh."""
        self._connection.execute("PRAGMA journal_mode = OFF")
        yield
        self._connection.execute("PRAGMA journal_mode = WAL")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, key: bytes, value: bytes | None, events: Mapping[bytes, Seen]) -> int:
        """Set or delete a row, with what is indexed of it. How many rows there are more."""
        before = self.get(key)
        user = user_of(key)
        if user is not None:
            self._index_user(user, before, value)
        elif key.startswith(SEEN):
            self._index_seen(key, before, value, events.get(key))
        if value is not None:
            self._connection.execute(_PUT, (key, value))
        elif before is not None:
            self._connection.execute("DELETE FROM rows WHERE key = ?", (key,))
        return (value is not None) - (before is not None)

    def _index_user(self, user: str, before: bytes | None, value: bytes | None) -> None:
        """Brings the groups of a user up to date."""
        had, has = member_groups(before), member_groups(value)
        if had == has:
            return
        for group in had - has:
            self._connection.execute("DELETE FROM members WHERE grp = ? AND user = ?", (group, user))
        for group in has - had:
            self._connection.execute("INSERT OR IGNORE INTO members VALUES (?, ?)", (group, user))

    def _index_seen(self, key: bytes, before: bytes | None, value: bytes | None, new: Seen | None) -> None:
        if before is not None:
            self._put_ids()
            old = seen(before)
            # A row that came later may hold the same id: that is told by its time.
            ids = [(each, old.at_s) for each in hashes_of(old.ids)]
            self._connection.executemany("DELETE FROM seen WHERE id = ? AND at_s = ?", ids)
            self._connection.execute("DELETE FROM seen_rows WHERE at_s = ? AND key = ?", (old.at_s, key))
        if value is not None:
            if new is None:
                new = seen(value)
                self.maybe_seen.add(new.ids)
            self._new_ids.setdefault(new.at_s, []).extend(hashes_of(new.ids))
            self._connection.execute("INSERT INTO seen_rows VALUES (?, ?)", (new.at_s, key))

    def _put_ids(self) -> None:
        """Ids in their order: those that share a page are written with it once."""
        for at_s, ids in self._new_ids.items():
            ids.sort()
            self._connection.execute(_PUT_IDS, (at_s, orjson.dumps(ids).decode()))
        self._new_ids.clear()

    def _filter(self) -> SeenFilter:
        """Of the ids that the file holds."""
        found = SeenFilter()
        for _, row in self.rows_under(SEEN):
            if found.is_full:
                break
            found.add(seen(row).ids)
        return found

    def _opened(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._checked()
        except sqlite3.DatabaseError:
            self._remove()
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
        except BaseException:  # Ctrl-C, too: a file that stays open cannot be made again
            connection.close()
            raise
        return connection

    def _remove(self) -> None:
        for path in self._files():
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return [self._path, *(self._path.with_name(self._path.name + end) for end in ("-wal", "-shm", "-journal"))]
