"""Time as an argument."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        ...
