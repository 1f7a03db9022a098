"""Whether a soak found a leak: how much each quantity grew, and how much it may grow.

A quantity of a process is judged over the longest time in which it was one process, without the warm-up after its
start. Its growth is that of the straight line through all readings (least squares): one busy minute says little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression

from tests.soak.readings import Reading

READINGS_MIN = 3
"""Fewer say nothing."""
MINUTES_AN_HOUR = 60.0


@dataclass(frozen=True, slots=True)
class Bound:
    """A leak is a growth of more than `growth_max` in an hour. In a shorter time it is as much: caches fill, and memory
    is given back in pieces."""

    growth_max: float
    unit: str


PROCESS_BOUNDS = {
    "rss_mib": Bound(16.0, "MiB"),
    "descriptors": Bound(8.0, ""),
    "threads": Bound(3.0, ""),
}
TOPIC_BOUNDS = {
    # Answers to people's requests are kept for some minutes, jobs until newer ones came.
    "state_rows": Bound(100.0, ""),
    "state_bytes": Bound(200_000.0, "B"),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One quantity: its first and last reading after the warm-up, its peak, how much it grew by the line."""

    subject: str
    quantity: str
    minutes: float
    first: float
    last: float
    peak: float
    growth: float
    growth_max: float

    @property
    def is_leak(self) -> bool:
        return self.growth > self.growth_max


Points = Sequence[tuple[float, float]]
"""Minutes since the start, and the quantity then."""


def judged(readings: Sequence[Reading], warm_up_minutes: float) -> list[Judgement]:
    """Every quantity that has enough readings after its warm-up."""
    found = []
    for name in sorted({name for reading in readings for name in reading.processes}):
        whole = _longest_life(readings, name)
        for quantity, bound in PROCESS_BOUNDS.items():
            points = [(one.minute, float(getattr(one.processes[name], quantity))) for one in whole]
            found += _judged(name, quantity, points, bound, warm_up_minutes)
    for quantity, bound in TOPIC_BOUNDS.items():
        points = [(one.minute, float(getattr(one, quantity))) for one in readings]
        found += _judged("state topic", quantity, points, bound, warm_up_minutes)
    return found


def _longest_life(readings: Sequence[Reading], name: str) -> list[Reading]:
    """The readings of the process of this name that lived longest."""
    lives: dict[int, list[Reading]] = {}
    for reading in readings:
        if name in reading.processes:
            lives.setdefault(reading.processes[name].pid, []).append(reading)
    return max(lives.values(), key=len)


def _judged(subject: str, quantity: str, points: Points, bound: Bound, warm_up_minutes: float) -> list[Judgement]:
    begin = points[0][0] + warm_up_minutes
    points = [point for point in points if point[0] >= begin]
    if len(points) < READINGS_MIN:
        return []
    minutes = points[-1][0] - points[0][0]
    slope = linear_regression([minute for minute, _ in points], [value for _, value in points]).slope
    values = [value for _, value in points]
    growth_max = bound.growth_max * max(1.0, minutes / MINUTES_AN_HOUR)
    return [Judgement(subject, quantity, minutes, values[0], values[-1], max(values), slope * minutes, growth_max)]
