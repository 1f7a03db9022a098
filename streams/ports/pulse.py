"""Whether a process is alive and ready: its loops tell, its HTTP port asks."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from streams.ports.clock import Clock

log = structlog.get_logger(__name__)

STANDSTILL_SECONDS_MAX = 180.0
"""A loop that made no round for this long is stuck. It is longer than one round can take while Kafka does not answer
(60 s for the offsets of a transaction, 60 s for its end, 20 s for answers under way), and shorter than the 300 s after
which the group gives its partitions to others."""
START_SECONDS_MAX = 180.0
"""From the start of the process to the first round: it waits for Kafka twice, 60 s each."""
JOIN_SECONDS_MAX = 30.0
"""A router waits for the first Currents topic before it joins; and Kafka need not say who is a member. This long after
its first round a process counts as ready then. Kafka answered before that round, or there had been none."""


UNKNOWN_SECONDS_MAX = 180.0
"""A group that does not know the process for this long, though Kafka answers, will not know it later either. A client
joins within seconds, and waits for a rebalance as a member that the group knows."""


class Pulse:
    """Whether a process is alive (its loops go round, and its group does not forget it) and ready (a member of its
    group, and not about to stop).

    Never whether Kafka or a destination is well: starting the process again would fix neither. Loops beat it from
    their threads; the HTTP port asks from another.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._first_beat_at: float | None = None
        self._beats: dict[str, float] = {}
        self._has_joined = False
        self._unknown_since: float | None = None
        """Since when the group, asked, does not know this process."""
        self._is_stopping: Callable[[], bool] = lambda: False

    def beat(self, loop: str) -> None:
        """This loop begins another round."""
        now = self._clock.monotonic()
        if self._first_beat_at is None:
            self._first_beat_at = now
        self._beats[loop] = now

    def joined(self) -> None:
        """The group gave this process partitions."""
        self._has_joined, self._unknown_since = True, None

    def known_to_group(self, is_known: bool | None) -> None:
        """Kafka says whether the group knows this process, with partitions or without. None: Kafka does not say, so
        what it said before is not counted as time."""
        if is_known:
            self.joined()
        elif is_known is False and self._unknown_since is None:
            self._unknown_since = self._clock.monotonic()
            if self._has_joined:  # at its start every process is unknown for a moment
                log.warning("this process is no longer a member of its group")
        elif is_known is None and self._unknown_since is not None:
            self._unknown_since = self._clock.monotonic()

    def stops_when(self, is_stopping: Callable[[], bool]) -> None:
        """From when this is true on, the process is not ready any more."""
        self._is_stopping = is_stopping

    def standstill(self) -> str:
        """Which loop stands still, as a sentence; empty while all go round."""
        now = self._clock.monotonic()
        if not self._beats and now - self._started_at > START_SECONDS_MAX:
            return f"nothing has begun {now - self._started_at:.0f} s after the start"
        for loop, beat_at in list(self._beats.items()):
            if now - beat_at > STANDSTILL_SECONDS_MAX:
                return f"the {loop} stands still for {now - beat_at:.0f} s"
        unknown = self._unknown_since
        if unknown is not None and now - unknown > UNKNOWN_SECONDS_MAX:
            return f"the group does not know this process for {now - unknown:.0f} s, though Kafka answers"
        return ""

    def unready(self) -> str:
        """Why the process is not ready, as a sentence; empty where it is."""
        if self._is_stopping():
            return "stopping"
        if self._unknown_since is not None:
            return "the group does not know this process"
        began = self._first_beat_at
        if self._has_joined or (began is not None and self._clock.monotonic() - began > JOIN_SECONDS_MAX):
            return ""
        return "not a member of its group yet: is Kafka there?"


class _NoClock:
    def monotonic(self) -> float:
        return 0.0

    def epoch_ms(self) -> int:
        return 0


NO_PULSE = Pulse(_NoClock())
"""Beats that no one reads."""
