"""What is listed when. Names are never trusted: each hour is listed again as long as a file may come late.

| pass | how often | what |
|---|---|---|
| `recent` | every poll | each event type from two hours back; other layouts whole |
| `lookback` | every 15 minutes, and first of all after taking over | each event type from the look-back on |
| `everything` | once a day | every object; old ones count only if they were modified since |
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from streams.inlets.layout import hour_of

RECENT_MS = 2 * 3_600_000
LOOKBACK_SECONDS = 15 * 60.0
EVERYTHING_MS = 24 * 3_600_000


class Pass(StrEnum):
    """One way to list."""

    RECENT = "recent"
    LOOKBACK = "lookback"
    EVERYTHING = "everything"


class Schedule:
    """Says which pass is due. Times are of a monotonic clock in seconds, but for `everything_ms`, which is kept."""

    def __init__(self, poll_seconds: float, lookback_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._lookback_ms = int(lookback_seconds * 1000)
        self._recent_at = float("-inf")
        self._lookback_at = float("-inf")
        self._is_cut = dict[Pass, bool]()
        self._woken = set[Pass]()

    def due(self, now: float, now_ms: int, everything_ms: int, is_idle: Callable[[Pass], bool]) -> Pass | None:
        """The pass to begin now. `is_idle` says whether everything that such a pass found has been taken.

        A pass that was cut short for want of room goes on as soon as what it found is taken.
        """
        if now - self._lookback_at >= LOOKBACK_SECONDS or self._is_wanted(Pass.LOOKBACK, is_idle):
            self._woken.clear()
            return Pass.LOOKBACK
        if now - self._recent_at >= self._poll_seconds or self._is_wanted(Pass.RECENT, is_idle):
            self._woken.discard(Pass.RECENT)
            return Pass.RECENT
        is_old = now_ms - everything_ms >= EVERYTHING_MS
        if is_idle(Pass.EVERYTHING) and (is_old or self._is_cut.get(Pass.EVERYTHING, False)):
            return Pass.EVERYTHING
        return None

    def done(self, made: Pass, now: float, *, is_cut: bool) -> None:
        """The pass was made; `is_cut` if there was more than could be remembered."""
        self._is_cut[made] = is_cut
        if made in (Pass.LOOKBACK, Pass.EVERYTHING):
            self._lookback_at = now
        self._recent_at = now

    def wake(self, what: Pass = Pass.RECENT) -> None:
        """Begin such a pass as soon as none runs: the one that runs may have passed the place already."""
        self._woken.add(what)

    def wake_for(self, hour: str, now_ms: int) -> None:
        """Wake the smallest pass that lists objects of this hour; an empty one is that of another layout. What is older
        than the look-back has to wait for its day."""
        self.wake(Pass.LOOKBACK if hour and hour < self.from_hour(Pass.RECENT, now_ms) else Pass.RECENT)

    def begin_again(self) -> None:
        """This process took over: the look-back first."""
        self._lookback_at = self._recent_at = float("-inf")
        self._is_cut.clear()
        self._woken.clear()

    def from_hour(self, what: Pass, now_ms: int) -> str:
        """The first hour that a pass lists; empty for all."""
        if what is Pass.EVERYTHING:
            return ""
        return hour_of(now_ms - (RECENT_MS if what is Pass.RECENT else self._lookback_ms))

    def _is_wanted(self, what: Pass, is_idle: Callable[[Pass], bool]) -> bool:
        """Whether it is woken, or was cut short and what it found is taken."""
        return what in self._woken or (self._is_cut.get(what, False) and is_idle(what))
