"""Names of fields that a destination did not get as they came, kept on the state topic for `connectors show`.

A person who sees that values are dropped wants to know which ones. The counts by reason are exact, they are part of the
commits; these names are an aid. They are written every ten seconds at most, and what a killed process had not written
is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from streams.ports.clock import Clock
from streams.state.records import Record, key
from streams.state.worker_records import Dropped

TELL_SECONDS = 10.0
NAMES_MAX = 50
"""Of a partition: more than are shown, so that the sum over all partitions is right for those that are."""


class DroppedNames:
    """Of the partitions that this process has."""

    def __init__(
        self,
        connector: str,
        known: Callable[[], Mapping[str, Dropped]],
        tell: Callable[[Mapping[str, Record]], bool],
        clock: Clock,
    ) -> None:
        """`known` is what the state says, by partition: an owner goes on where the one before it stopped. `tell` writes
        records by key, and says whether it did."""
        self._connector = connector
        self._known = known
        self._tell = tell
        self._clock = clock
        self._counts: dict[int, Counter[str]] = {}
        self._untold: set[int] = set()
        self._tell_at = 0.0

    def add(self, number: int, names: Mapping[str, int]) -> None:
        """Names as `Composed.dropped` has them."""
        if not names:
            return
        counts = self._counts.get(number)
        if counts is None:
            before = self._known().get(str(number))
            counts = self._counts[number] = Counter(before.names if before is not None else {})
        counts.update(names)
        self._untold.add(number)

    def forget(self, number: int) -> None:
        """The partition is not ours any more."""
        self._counts.pop(number, None)
        self._untold.discard(number)

    def step(self) -> None:
        """Write what is new, when it is time. No transaction may be open."""
        if self._untold and self._clock.monotonic() >= self._tell_at:
            self.write()

    def write(self) -> None:
        """Write what is new now."""
        if not self._untold:
            return
        self._tell_at = self._clock.monotonic() + TELL_SECONDS
        records: dict[str, Record] = {}
        for number in self._untold:
            most = self._counts[number] = Counter(dict(self._counts[number].most_common(NAMES_MAX)))
            records[key("dropped", self._connector, number)] = Dropped(at=self._clock.epoch_ms(), names=most)
        if self._tell(records):
            self._untold.clear()
