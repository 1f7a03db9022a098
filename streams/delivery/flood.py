"""The flood breaker: a connector that rejects much of what it sends is stopped before it empties itself."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

BUCKETS = 60
"""The window moves in sixtieths: 5 s of 5 minutes."""


@dataclass(frozen=True, slots=True)
class FloodRules:
    """Trips at more than `share` rejected of at least `records_min` records within `window_seconds`."""

    share: float = 0.2
    records_min: int = 1_000
    window_seconds: float = 300.0


class FloodBreaker:
    """Counts what was settled lately. Seconds are of the monotonic clock."""

    __slots__ = ("_buckets", "_rejected", "_rules", "_settled")

    def __init__(self, rules: FloodRules) -> None:
        self._rules = rules
        self._buckets: deque[list[float]] = deque()  # [began, settled, rejected]
        self._settled = 0
        self._rejected = 0

    def add(self, settled: int, rejected: int, now: float) -> None:
        """So many records were settled (delivered or rejected), so many of them rejected."""
        self._forget(now)
        length = self._rules.window_seconds / BUCKETS
        if not self._buckets or now - self._buckets[-1][0] >= length:
            self._buckets.append([now, 0, 0])
        self._buckets[-1][1] += settled
        self._buckets[-1][2] += rejected
        self._settled += settled
        self._rejected += rejected

    def is_tripped(self, now: float) -> bool:
        self._forget(now)
        return self._settled >= self._rules.records_min and self._rejected > self._rules.share * self._settled

    def reason(self) -> str:
        """What tripped it, in words."""
        minutes = self._rules.window_seconds / 60
        return f"{self._rejected:,} of {self._settled:,} records were rejected within {minutes:g} min"

    def reset(self) -> None:
        """Begin with an empty window."""
        self._buckets.clear()
        self._settled = self._rejected = 0

    def _forget(self, now: float) -> None:
        while self._buckets and now - self._buckets[0][0] >= self._rules.window_seconds:
            _, settled, rejected = self._buckets.popleft()
            self._settled -= int(settled)
            self._rejected -= int(rejected)
