"""What a destination adds to the contract when its requests depend on order and on what was sent before.

    record --encoder--> Encoded: an item to send  --compose--> Composed: a request, or reasons to send none
    record --encoder--> Remark: never sent        --hear-----> Heard: what is remembered, what is derived

The sink keeps one request in flight per partition and scope, with items of that partition only, in their order. It
remembers what a composer asks for only with the commit that settles the records behind it. Data and pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, overload

from streams.delivery.contract import Request

InDoubt = Literal["resend", "park"]
UNACCOUNTED = "unaccounted"
"""The tally of `Delivered.unaccounted`."""


class Item(NamedTuple):
    """One record of a partition, as its encoder made it.

    `offset` is where it stands now; `place` is the offset at which the partition first had it: a letter that came back
    keeps its place. `again` names the job that replays it though it was delivered; empty for all others.
    """

    body: bytes
    offset: int
    place: int
    again: str = ""


class Items(Sequence[Item]):
    """Items of one partition that wait, in their order. `bodies` are theirs: most can be sent by their bodies alone."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self.bodies: list[bytes] = [item.body for item in items]

    def __len__(self) -> int:
        return len(self.bodies)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self._items[index]

    def came_back(self, first: int, end: int) -> bool:
        """Whether one of the items from `first` to `end` (exclusive) may have been here before: its place is not its
        offset, or a job sends it again."""
        return any(item.place != item.offset or item.again for item in self._items[first:end])


class Memory(Protocol):
    """What is remembered of one partition, with what was delivered and is not committed yet. Read only.

    `members`, `staged` and `staged_users` know of commits only: they are for remarks that wait, and before these all is
    committed.
    """

    def get(self, key: bytes) -> bytes | None:
        """The row under a key."""
        ...

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys that begin so, with their rows, in the order of the keys. For a few rows (groups), not for users."""
        ...

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:
        """Those of these ids of which an event was delivered within the last 24 hours."""
        ...

    def members(self, group: str) -> Iterator[str]:
        """Users who are remembered to be in a group, each once, in the order of their ids' bytes."""
        ...

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:
        """Members of an open full copy by the version of each page that counts, ordered like `members`."""
        ...

    def staged_users(self) -> Iterator[str]:
        """Members of all open full copies; one may come more than once."""
        ...


class _Nothing(Memory):
    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002 - as `Memory` has it; so below
        return None

    def rows_under(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:  # noqa: ARG002
        return iter(())

    def seen_among(self, event_ids: Sequence[str]) -> Collection[str]:  # noqa: ARG002
        return ()

    def members(self, group: str) -> Iterator[str]:  # noqa: ARG002
        return iter(())

    def staged(self, copy: str, versions: Mapping[int, str]) -> Iterator[str]:  # noqa: ARG002
        return iter(())

    def staged_users(self) -> Iterator[str]:
        return iter(())


NOTHING: Memory = _Nothing()
"""The memory of a partition of which nothing was sent."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row to remember, None to forget it, once every item at the positions `of` is delivered or skipped.

    While a request that may change a row is on its way, no other scope's request that changes it goes out.
    """

    key: bytes
    value: bytes | None
    of: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Composed:
    """What becomes of the first `taken` items (at least one). A position is an item's place among these, from 0; so
    are the positions in the request's layout, and those that a verdict on it names.

    Those in `skipped` are not sent, for that reason. The request holds the others; None: nothing is left to send.
    `changes` are in the order in which they are to be applied. An item that is skipped and shares a change with one
    that is sent is decided with it: where the change is dropped, it is composed again.
    `events` are ids by position of items that the destination would count twice if they were sent twice: the sink
    writes down that they are on their way before the request goes out, and remembers the ids once they are delivered.
    `tally` is counted once the request is delivered, whole or in part, or is needless; by names that the destination's
    `Composer.tallies` lists.
    `dropped` is counted with the tally: values that are not sent as they came, by why and name: `type/colour`.
    `doubts` are remembered instead of `changes` where some of their items are parked or composed again though an
    earlier sending may have been processed: what was last sent is unknown then.
    `before` is sent before `request` and for the same items: `request` follows once it is delivered, and any other
    verdict on it is the verdict on the items.
    """

    request: Request | None
    taken: int
    skipped: Mapping[int, str] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    events: Mapping[int, str] = field(default_factory=dict)
    tally: Mapping[str, int] = field(default_factory=dict)
    before: Request | None = None
    doubts: Sequence[Change] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Staged:
    """A member of an open full copy. `request` tells a page that comes again from its first version."""

    copy: str
    user: str
    page: int
    request: str


@dataclass(frozen=True, slots=True)
class Derived:
    """A record to append to the same partition; it counts as first read at `place`."""

    key: bytes
    value: bytes
    place: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a remark does. It settles as skipped for `reason`, after everything that it derives is written.

    Only a remark that waits derives. A crash before the last derived record is written derives all of them again.
    With `rejected` it is parked instead, with this detail. `unstage` comes last: what is derived is read from what is
    staged. `unstage_users` are members who leave every open copy.
    """

    reason: str
    stage: Sequence[Staged] = ()
    unstage: Sequence[str] = ()
    changes: Sequence[Change] = ()
    derived: Iterable[Derived] = ()
    tally: Mapping[str, int] = field(default_factory=dict)
    rejected: str = ""
    unstage_users: Sequence[str] = ()


class Composer(Protocol):
    """Makes requests from items and memory. The same items and memory give the same bytes."""

    @property
    def in_doubt(self) -> InDoubt:
        """What becomes of items in `Composed.events` after an answer that leaves open whether they were processed:
        sent again and counted as maybe doubled, or parked as `gave-up`."""
        ...

    @property
    def tallies(self) -> Sequence[str]:
        """Every name that a tally may have, for the account and the metrics: `name` or `name.kind`."""
        ...

    def compose(self, scope: str, items: Sequence[Item], memory: Memory, now_s: int) -> Composed:
        """A request of one scope. Items that are left over come first in the next call. Seconds since 1970."""
        ...

    def hear(self, item: Item, memory: Memory, now_s: int) -> Heard:
        """What a remark does. Seconds since 1970."""
        ...

    def reread_from(self, memory: Memory) -> int | None:
        """The first offset from which a new owner of the partition reads open full copies again; None: none is open."""
        ...

    def open_copies(self, memory: Memory) -> Mapping[str, int]:
        """Open full copies of the partition: when each began, in seconds since 1970. Every partition that takes part
        in a copy has it under the same name."""
        ...

    def gone(self, memory: Memory, before: int, now_s: int) -> Heard | None:
        """Records before this offset, among which `reread_from` is, were deleted: open copies that began there end.

        Derives nothing. Seconds since 1970.
        """
        ...

    def expired(self, memory: Memory, now_s: int) -> Heard | None:
        """What is forgotten by time alone; asked every minute. None: nothing. Derives nothing.

        Seconds since 1970.
        """
        ...
