"""A clock that a test moves."""

from __future__ import annotations


class MovableClock:
    """Stands still until `advance` moves it. Begins at 2026-11-24T12:00:00Z."""

    def __init__(self, epoch_ms: int = 1_795_521_600_000) -> None:
        self._epoch_ms = epoch_ms
        self._monotonic = 1_000.0

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._monotonic

    def epoch_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._epoch_ms

    def advance(self, seconds: float) -> None:
        """Move both forward."""
        assert seconds >= 0, "time goes forward"
        self._monotonic += seconds
        self._epoch_ms += round(seconds * 1000)
