"""When a sink's rejections are a flood: asked of what is settled, after each answer.

Records are rejected in two places. The destination rejects in its answers. Our own mapping rejects at once, while a
record is encoded, when the records before it may still wait for their answers. So a flood of the mapping's rejections
is only suspected at first. Then nothing more is read until all that was read is settled, and the settled records say
whether it is one.
"""

from __future__ import annotations

from streams.delivery.flood import FloodBreaker, FloodRules
from streams.ports.clock import Clock


class FloodWatch:
    """One connector's flood breaker, in this process."""

    def __init__(self, rules: FloodRules, clock: Clock) -> None:
        self._clock = clock
        self._of_settled = FloodBreaker(rules)
        self._of_encoded = FloodBreaker(rules)
        self._is_suspected = False

    @property
    def may_read(self) -> bool:
        """Not while a flood is suspected, for what was read before is not settled yet."""
        return not self._is_suspected

    def encoded(self, records: int, rejected: int) -> None:
        """So many records were read, so many of them rejected by the mapping."""
        now = self._clock.monotonic()
        self._of_encoded.add(records, rejected, now)
        self._is_suspected |= rejected > 0 and self._of_encoded.is_tripped(now)

    def settled(self, records: int, rejected: int) -> str:
        """So many records were settled, so many of them rejected. Returns why this is a flood; empty if it is none."""
        now = self._clock.monotonic()
        self._of_settled.add(records, rejected, now)
        return self._of_settled.reason() if rejected and self._of_settled.is_tripped(now) else ""

    def all_settled(self) -> None:
        """All that was read is settled, and was no flood: a suspicion is over, and counting begins at zero."""
        if self._is_suspected:
            self._is_suspected = False
            self._of_encoded.reset()

    def reset(self) -> None:
        """The connector is RUNNING again: what was rejected before counts no more."""
        self._of_settled.reset()
        self._of_encoded.reset()
        self._is_suspected = False
