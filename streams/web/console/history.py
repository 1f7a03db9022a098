"""Samples of each connector, kept in memory for charts: one each 10 s, in arrays of fixed size."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streams.config.console import SAMPLE_SECONDS

FIELDS = ("delivered", "parked", "waiting", "lag_seconds")
"""What a sample has. `delivered` is a total; the others are as they were at that moment."""


@dataclass(frozen=True, slots=True)
class Series:
    """One field over time: `values[i]` was seen at `times_ms[i]`, rising."""

    times_ms: Sequence[int]
    values: Sequence[float]

    def rates(self) -> Series:
        """Of a total: per second between one sample and the next. A total that became smaller counts as 0."""
        times, rates = [], []
        for index in range(1, len(self.times_ms)):
            seconds = (self.times_ms[index] - self.times_ms[index - 1]) / 1000
            if seconds > 0:
                times.append(self.times_ms[index])
                rates.append(max(0.0, self.values[index] - self.values[index - 1]) / seconds)
        return Series(times, rates)


class _Ring:
    """The newest samples of one connector."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._times = array("q")
        self._values = {name: array("d") for name in FIELDS}
        self._begin = 0

    def add(self, at_ms: int, sample: Mapping[str, float]) -> None:
        if len(self._times) < self._size:
            self._times.append(at_ms)
            for name, values in self._values.items():
                values.append(sample[name])
            return
        self._times[self._begin] = at_ms
        for name, values in self._values.items():
            values[self._begin] = sample[name]
        self._begin = (self._begin + 1) % self._size

    def series(self, field: str, since_ms: int) -> Series:
        """Only what is asked for is copied: an overview asks for one hour of a week, of every connector."""
        times, values, begin = self._times, self._values[field], self._begin
        older = bisect_left(times, since_ms, begin)
        newer = bisect_left(times, since_ms, 0, begin)
        return Series([*times[older:], *times[newer:begin]], [*values[older:], *values[newer:begin]])

    @property
    def newest_ms(self) -> int:
        return 0 if not self._times else self._times[self._begin - 1]


class History:
    """The samples of all connectors. One thread adds; pages may read a sample less while it does."""

    def __init__(self, seconds: float) -> None:
        self._size = max(2, round(seconds / SAMPLE_SECONDS))
        self._rings: dict[str, _Ring] = {}

    def is_due(self, name: str, at_ms: int) -> bool:
        ring = self._rings.get(name)
        return ring is None or at_ms - ring.newest_ms >= SAMPLE_SECONDS * 1000

    def add(self, name: str, at_ms: int, sample: Mapping[str, float]) -> None:
        """One sample with every field of `FIELDS`."""
        if name not in self._rings:
            self._rings[name] = _Ring(self._size)
        self._rings[name].add(at_ms, sample)

    def series(self, name: str, field: str, since_ms: int) -> Series:
        ring = self._rings.get(name)
        return Series((), ()) if ring is None else ring.series(field, since_ms)
