"""One partition: what is remembered of it, with what was delivered or heard since the last commit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from streams.delivery.composer import Change, Derived, Staged
from streams.delivery.sent_rows import FLIGHT, Seen, seen_row
from streams.ports.memory import PartitionMemory, Row
from streams.workers.sink.composition.places import Places


class Remembered:
    """The `Memory` of a partition. What is new is written with the next commit, all of it: also of records that this
    commit does not pass, for they were delivered, and who reads them again must know.
    """

    def __init__(self, memory: PartitionMemory) -> None:
        self.memory = memory
        self.places = Places()
        """Of the partition's records, as `Partitions` told them."""
        self.derived: Sequence[Derived] = ()
        """Records that the next commit appends to the partition."""
        self._rows: dict[bytes, bytes | None] = {}
        self._seen: dict[str, int] = {}
        self._ended: list[str] = []
        self._leaving: list[str] = []
        self._staging: list[Staged] = []
        self._changing: dict[str, frozenset[bytes]] = {}
        self._written: list[Row] = []
        self._written_events: dict[bytes, Seen] = {}

    # As the composer sees it.

    def get(self, key: bytes) -> bytes | None:
        return self._rows[key] if key in self._rows else self.memory.get(key)

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        rows: dict[bytes, bytes | None] = dict(self.memory.rows_under(prefix))
        rows.update((key, value) for key, value in self._rows.items() if key.startswith(prefix))
        return ((key, value) for key, value in sorted(rows.items()) if value is not None)

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        known = self.memory.seen_among(event_ids)
        if self._seen.keys().isdisjoint(event_ids):
            return known
        return (self._seen.keys() & event_ids).union(known)

    def members(self, group: str) -> Iterator[str]:
        return self.memory.members(group)

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:
        return self.memory.staged(copy, versions)

    def staged_users(self) -> Iterator[str]:
        return self.memory.staged_users()

    # What is new.

    def change(self, changes: Iterable[Change]) -> None:
        """These rows are so from now on."""
        for change in changes:
            self._rows[change.key] = change.value

    def forget(self, key: bytes) -> None:
        """This row is over."""
        self._rows[key] = None

    def deliver(self, events: Iterable[str], place: int) -> None:
        """Events of these ids were delivered; the last of them is the record at this place."""
        self._seen.update(dict.fromkeys(events, place))

    def stage(self, members: Iterable[Staged]) -> None:
        """Members of open copies: `flush` hands them on, many at once."""
        self._staging += members

    def unstage(self, copies: Iterable[str]) -> None:
        """These copies have ended: forgotten with the next commit."""
        self._ended += copies

    def unstage_users(self, users: Iterable[str]) -> None:
        """Open copies lose these members with the next commit."""
        self._leaving += users

    def flush(self) -> None:
        """Hand on what is staged. Before a commit, for it passes the records that were staged."""
        if self._staging:
            self.memory.stage(self._staging)
            self._staging = []

    # Requests on their way.

    def begin(self, scope: str, keys: Iterable[bytes]) -> None:
        """A request of this scope may change these rows."""
        self._changing[scope] = frozenset(keys)

    def end(self, scope: str) -> None:
        self._changing.pop(scope, None)

    def is_changing(self, keys: Collection[bytes], scope: str = "") -> bool:
        """Whether a request may change one of these rows; that of this scope aside."""
        return any(not others.isdisjoint(keys) for other, others in self._changing.items() if other != scope)

    # Commits.

    @property
    def is_new(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._rows or self._seen or self._ended or self._leaving or self.derived)

    def to_write(self, now_s: int) -> Sequence[Row]:
        """The rows of the next commit; `committed` once it was accepted."""
        self._written, self._written_events = list(self._rows.items()), {}
        if self._seen:
            key, events = seen_row(max(self._seen.values())), Seen(tuple(self._seen), now_s)
            self._written.append((key, events.to_bytes()))
            self._written_events[key] = events
        return self._written

    def committed(self) -> None:
        """What was to be written is. Nothing happens between the two."""
        rows, events, ended, leaving = self._written, self._written_events, self._ended, self._leaving
        self._rows, self._seen, self._ended, self._leaving, self.derived = {}, {}, [], [], ()
        self._written, self._written_events = [], {}
        self.memory.apply(rows, events)
        if ended:
            self.memory.unstage(ended)
        if leaving:
            self.memory.unstage_users(leaving)

    def drop_requests(self) -> None:
        """Nothing is on its way any more, and nothing is derived."""
        self._changing.clear()
        self.derived = ()
        for key, _ in list(self.rows_under(FLIGHT)):
            self.forget(key)

    def leave_out_largest(self) -> int:
        """Do not remember the largest row, which its topic does not take; its bytes, 0 where there is none."""
        if not self._rows:
            seen, self._seen = self._seen, {}
            return sum(map(len, seen))
        key = max(self._rows, key=lambda key: len(self._rows[key] or b""))
        value = self._rows.pop(key)
        return len(key) + len(value or b"")
