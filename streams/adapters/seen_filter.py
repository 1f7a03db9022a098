"""A filter in front of the event ids that a scratch file holds: most events are new, and then no query is needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from struct import unpack
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64  # compiled, such a number is one of the machine; else it is an int

ID_BYTES: Final = 8
"""Of an event id's hash. Of a million events of a day in one partition two share one once in 100,000 years; the second
would count as a duplicate."""
BITS: Final = 23
"""A table of 2^23 bits, 1 MiB."""
IDS_MAX: Final = 1_000_000
"""Of ids in the table. With these an eighth of new ids are queried for nothing; with more the filter is not used."""

_MASK: Final = (1 << BITS) - 1
_EMPTY_HASH: Final = blake2b(digest_size=ID_BYTES)


class SeenFilter:
    """Tells of an id that it was never added, or that it may have been. Ids are never taken out.

    It lives as long as its process, so Python's own hash of a text is good enough. Files need `hash_of`.
    """

    __slots__ = ("_bits", "_count")

    def __init__(self) -> None:
        self._bits = bytearray((_MASK + 1) // 8)
        self._count = 0

    @property
    def is_full(self) -> bool:
        """Whether it was given too many ids: it says of each that it may have been added."""
        return self._count > IDS_MAX

    def add(self, event_ids: Collection[str]) -> None:
        """Ids of events. Once there are too many, more are not looked at."""
        self._count += len(event_ids)
        if self.is_full:
            return
        bits = self._bits
        for event_id in event_ids:
            hashed: i64 = hash(event_id)
            place = hashed & _MASK
            bits[place >> 3] |= 1 << (place & 7)

    def held(self, event_ids: Collection[str]) -> list[str]:
        """Those ids that may have been added; the others never were."""
        if self.is_full:
            return list(event_ids)
        bits = self._bits
        found: list[str] = []
        for event_id in event_ids:
            hashed: i64 = hash(event_id)
            place = hashed & _MASK
            if bits[place >> 3] >> (place & 7) & 1:
                found.append(event_id)
        return found


def hash_of(event_id: str) -> int:
    """The hash of an event's id, a signed number of 64 bits."""
    return hashes_of((event_id,))[0]


def hashes_of(event_ids: Sequence[str]) -> list[int]:
    """The hash of each id, as `hash_of` gives it."""
    digests: list[bytes] = []
    for event_id in event_ids:
        hashed = _EMPTY_HASH.copy()  # a third faster than a new one: `blake2b` looks at 14 arguments
        hashed.update(event_id.encode())
        digests.append(hashed.digest())
    return list(unpack(f">{len(digests)}q", b"".join(digests)))
