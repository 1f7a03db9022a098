"""Which letters after a cursor are settled: one bit per offset, in blocks. A million letters take 200 kB."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator

BLOCK_OFFSETS = 8_192
"""How many offsets one block has: 1 kB of bits, 1.4 kB as base64."""


class SettledLetters:
    """The settled letters of one partition, by offset."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def __contains__(self, offset: int) -> bool:
        block = self._blocks.get(offset // BLOCK_OFFSETS)
        place = offset % BLOCK_OFFSETS
        return block is not None and bool(block[place >> 3] & (1 << (place & 7)))

    def __iter__(self) -> Iterator[int]:
        """Settled offsets, rising."""
        for number, block in sorted(self._blocks.items()):
            for place in range(BLOCK_OFFSETS):
                if block[place >> 3] & (1 << (place & 7)):
                    yield number * BLOCK_OFFSETS + place

    def __len__(self) -> int:
        return sum(int.from_bytes(block, "little").bit_count() for block in self._blocks.values())

    def blocks(self) -> frozenset[int]:
        """Numbers of the blocks that hold a settled letter."""
        return frozenset(self._blocks)

    def with_added(self, offsets: Iterable[int]) -> dict[int, str]:
        """The blocks that these offsets change, in their written form. Changes nothing: call `put` after they are
        written."""
        changed: dict[int, bytearray] = {}
        for offset in offsets:
            number, place = divmod(offset, BLOCK_OFFSETS)
            block = changed.get(number)
            if block is None:
                block = changed[number] = bytearray(self._blocks.get(number, bytes(BLOCK_OFFSETS // 8)))
            block[place >> 3] |= 1 << (place & 7)
        return {number: base64.b64encode(block).decode() for number, block in changed.items()}

    def put(self, number: int, bits: str) -> None:
        """Take a block in its written form. Raises `ValueError`."""
        block = bytearray(base64.b64decode(bits, validate=True))
        if len(block) != BLOCK_OFFSETS // 8:
            raise ValueError(f"a block holds {BLOCK_OFFSETS // 8} bytes, not {len(block)}")
        self._blocks[number] = block

    def drop(self, number: int) -> None:
        """Forget a block that lies before the cursor."""
        self._blocks.pop(number, None)

    def blocks_before(self, cursor: int) -> list[int]:
        """Blocks that lie completely before the cursor."""
        return sorted(number for number in self._blocks if (number + 1) * BLOCK_OFFSETS <= cursor)
