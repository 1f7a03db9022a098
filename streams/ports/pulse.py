"""Whether a process is alive and ready: its loops tell, its HTTP port asks."""

from __future__ import annotations

from collections.abc import Callable

from streams.ports.clock import Clock

STANDSTILL_SECONDS_MAX = 180.0
"""A loop that made no round for this long is stuck. It is longer than one round can take while Kafka does not answer
(60 s for the offsets of a transaction, 60 s for its end, 20 s for answers under way), and shorter than the 300 s after
which the group gives its partitions to others."""
START_SECONDS_MAX = 180.0
"""From the start of the process to the first round: it waits for Kafka twice, 60 s each."""
JOIN_SECONDS_MAX = 30.0
"""A member that is spare (more processes than partitions) is told nothing by the group protocol `consumer`; this long
after its first round it counts as one. Kafka answered before that round, or there had been none."""


class Pulse:
    """Whether a process is alive (its loops go round) and ready (a member of its group, and not about to stop).

    Never whether Kafka or a destination is well: starting the process again would fix neither. Loops beat it from
    their threads; the HTTP port asks from another.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._first_beat_at: float | None = None
        self._beats: dict[str, float] = {}
        self._has_joined = False
        self._is_stopping: Callable[[], bool] = lambda: False

    def beat(self, loop: str) -> None:
        """This loop begins another round."""
        now = self._clock.monotonic()
        if self._first_beat_at is None:
            self._first_beat_at = now
        self._beats[loop] = now

    def joined(self) -> None:
        """The group gave this process partitions."""
        self._has_joined = True

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
        return ""

    def unready(self) -> str:
        """Why the process is not ready, as a sentence; empty where it is."""
        if self._is_stopping():
            return "stopping"
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
