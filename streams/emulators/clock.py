"""An emulator's clock: the machine's time, with an offset if wanted, or a fixed time."""

from __future__ import annotations

import time


class Clock:
    """Milliseconds since 1970. A test may set a time; the clock then shows this time until it is set again."""

    __slots__ = ("_frozen_ms", "_offset_ms")

    def __init__(self) -> None:
        self._frozen_ms: int | None = None
        self._offset_ms = 0

    def now_ms(self) -> int:
        if self._frozen_ms is not None:
            return self._frozen_ms
        return time.time_ns() // 1_000_000 + self._offset_ms

    def freeze(self, now_ms: int) -> None:
        """Show `now_ms` from now on."""
        self._frozen_ms = now_ms

    def shift(self, offset_ms: int) -> None:
        """Follow the machine's clock, `offset_ms` ahead of it."""
        self._frozen_ms, self._offset_ms = None, offset_ms

    def is_frozen(self) -> bool:
        return self._frozen_ms is not None
