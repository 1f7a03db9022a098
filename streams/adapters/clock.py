"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """Seconds that only go forward, and milliseconds since 1970."""

    def monotonic(self) -> float:
        return time.monotonic()

    def epoch_ms(self) -> int:
        return time.time_ns() // 1_000_000
