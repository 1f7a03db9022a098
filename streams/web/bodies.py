"""Reads the body of a request within limits: of its size as received and as inflated, and of all bodies together."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

STEP_BYTES = 65_536
"""Inflated at a time: a small body may stand for gigabytes."""
COMPRESSION = 20
"""JSON of people and events shrinks to a tenth, seldom to less than a twentieth."""
_GZIP = zlib.MAX_WBITS | 16


class TooLarge(Exception):
    """The body is over its limit, as received or as inflated."""


class NoRoom(Exception):
    """Bodies that are held now leave no room for this one."""


class Broken(Exception):
    """The body is not gzip, or ends too early."""


class Budget:
    """Bytes of bodies that may be held at once. One loop uses it."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max

    def take(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class Hold:
    """What one body holds of the budget, from its first byte to its answer.

    It reserves its length before it is read: so bodies that come together do not all fail half-way. A compressed one
    reserves twenty times its length. A body that turns out larger, or tells no length, takes more piece by piece.
    """

    def __init__(self, budget: Budget, bytes_max: int, length: int | None, is_gzip: bool) -> None:
        """Raises `TooLarge` and `NoRoom`."""
        if length is not None and length > bytes_max:
            raise TooLarge
        self._budget = budget
        self._held = 0
        self.bytes_max = bytes_max
        self.grow_to(min(bytes_max, (length or 0) * (COMPRESSION if is_gzip else 1)))

    def grow_to(self, size: int) -> None:
        """Raises `TooLarge` and `NoRoom`; then nothing was taken."""
        if size > self.bytes_max:
            raise TooLarge
        if size > self._held:
            if not self._budget.take(size - self._held):
                raise NoRoom
            self._held = size

    def shrink_to(self, size: int) -> None:
        if size < self._held:
            self._budget.give_back(self._held - size)
            self._held = size

    def release(self) -> None:
        self.shrink_to(0)


async def read(chunks: AsyncIterator[bytes], hold: Hold, is_gzip: bool) -> bytes:
    """The whole body, inflated. Raises `TooLarge`, `NoRoom` and `Broken`."""
    found: list[bytes] = []
    size = received = 0
    inflater = _Inflater() if is_gzip else None
    async for chunk in chunks:
        received += len(chunk)
        if received > hold.bytes_max:
            raise TooLarge
        for piece in (chunk,) if inflater is None else inflater.pieces(chunk):
            size += len(piece)
            hold.grow_to(size)
            found.append(piece)
    if inflater is not None and not inflater.is_whole:
        raise Broken
    hold.shrink_to(size)
    return b"".join(found)


class _Inflater:
    """Gzip, inflated step by step. Several members, one behind the other, are one body."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    @property
    def is_whole(self) -> bool:
        return self._member.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """At most `STEP_BYTES` each. Raises `Broken`."""
        rest = chunk
        while True:
            if self._member.eof:
                if not rest:
                    return
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(rest, STEP_BYTES)
            except zlib.error:
                raise Broken from None
            yield piece
            if self._member.eof:
                rest = self._member.unused_data
                continue
            rest = self._member.unconsumed_tail
            if not rest and len(piece) < STEP_BYTES:
                return
