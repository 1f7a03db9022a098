"""Rates as vendors count them: a rolling window, and a token bucket. Pure."""

from __future__ import annotations

from collections import deque


class RollingWindow:
    """Sums of amounts over the last `seconds`."""

    __slots__ = ("_entries", "_sums", "_window_ms")

    def __init__(self, seconds: float) -> None:
        self._window_ms = round(seconds * 1000)
        self._entries: deque[tuple[int, int, int]] = deque()
        self._sums = (0, 0)

    def sums(self, now_ms: int) -> tuple[int, int]:
        """Bytes and events that were added in the window that ends now."""
        size, events = self._sums
        while self._entries and self._entries[0][0] <= now_ms - self._window_ms:
            _, old_size, old_events = self._entries.popleft()
            size, events = size - old_size, events - old_events
        self._sums = (size, events)
        return self._sums

    def add(self, now_ms: int, size: int, events: int) -> None:
        self._entries.append((now_ms, size, events))
        self._sums = (self._sums[0] + size, self._sums[1] + events)


class Bucket:
    """A token bucket: `rate` tokens come each second, and it holds at most those of one second. It may go into debt."""

    __slots__ = ("_at_ms", "_rate", "_tokens")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at_ms: int | None = None

    def tokens(self, now_ms: int) -> float:
        if self._at_ms is not None and now_ms > self._at_ms:
            self._tokens = min(self._rate, self._tokens + (now_ms - self._at_ms) / 1000 * self._rate)
        self._at_ms = now_ms if self._at_ms is None else max(self._at_ms, now_ms)
        return self._tokens

    def take(self, amount: int, now_ms: int) -> None:
        self._tokens = self.tokens(now_ms) - amount

    def seconds_until_one(self, now_ms: int) -> float:
        """Seconds until there is one token; 0 if there is one now."""
        return max(0.0, (1 - self.tokens(now_ms)) / self._rate)

    def percentage_used(self, now_ms: int) -> int:
        used = 100 * (self._rate - self.tokens(now_ms)) / self._rate
        return min(100, max(0, round(used)))
