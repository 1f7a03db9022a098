"""How much is remembered, and which full copies are open: of all partitions that this process has."""

from __future__ import annotations

from streams.ports.clock import Clock
from streams.ports.meters import Memorized, SinkMeter
from streams.workers.sink.composition.partitions import Partitions
from streams.workers.sink.requests import Current

MEASURE_SECONDS = 30.0
"""It asks the file system, and looks at each cohort of each partition: too much for every scrape."""


class MemoryReport:
    """Tells the meter."""

    def __init__(self, current: Current, partitions: Partitions, clock: Clock, meter: SinkMeter) -> None:
        self._current = current
        self._partitions = partitions
        self._clock = clock
        self._meter = meter
        self._at = 0.0

    def changed(self) -> None:
        """Partitions came or went: what was told is not true any more."""
        self._at = 0.0

    def step(self) -> None:
        """Measure, when it is time. A damaged memory counts again once it was opened."""
        now = self._clock.monotonic()
        if now < self._at:
            return
        self._at = now + MEASURE_SECONDS
        composer = self._current.destination.composer
        assert composer is not None, "a memory of a destination that composes nothing"
        rows = scratch_bytes = 0
        began: dict[str, int] = {}
        for number in self._partitions:
            remembered = self._partitions.find(number)
            if remembered is None:
                continue
            with self._partitions.guarded(number):
                rows += remembered.memory.rows()
                scratch_bytes += remembered.memory.bytes()
                for name, began_s in composer.open_copies(remembered).items():
                    began[name] = min(began_s, began.get(name, began_s))
        oldest = max(0, self._partitions.now_s - min(began.values())) if began else 0
        self._meter.remembers(Memorized(rows, scratch_bytes, len(began), oldest))
