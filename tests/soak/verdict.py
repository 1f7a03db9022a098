"""Whether a soak found a leak: how much each quantity grew while all was calm, how much by outages of the broker, and
how much it may grow.

A quantity of a process is judged over the longest time in which it was one process with the same roles: who takes over
a keeper needs more from then on. The warm-up after its start, and after each new role, is left out. Outages cut the
rest into calm stretches:

- growth while calm is that of one straight line (least squares) through the readings of all stretches, each stretch
  from its own level: one busy minute says little. It is at most that of a line through the readings as they are:
  stretches are short, and a leak is seen from one to the next, too;
- growth by outages is that of a line through the levels of the stretches (medians) in the later half of them, without
  what grows while calm: what fills up and stays full after some outages is no leak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression, median

from tests.soak.readings import ProcessReading, Reading

SETTLE_MINUTES = 2.0
"""So long after an outage what waited is worked off: readings of this time say little."""
READINGS_MIN = 3
"""Fewer say nothing, of a process and of a calm stretch."""
LEVELS_MIN = 3
"""So many calm stretches must be in the later half: fewer do not show whether something levels off."""
MINUTES_AN_HOUR = 60.0


@dataclass(frozen=True, slots=True)
class Bound:
    """A leak is a growth of more than this in an hour while calm, or in ten outages. In a shorter time, or in fewer
    outages, it is as much: caches fill, and memory is given back in pieces."""

    an_hour: float
    ten_outages: float


PROCESS_BOUNDS = {
    "rss_mib": Bound(16.0, 8.0),
    "descriptors": Bound(8.0, 16.0),
    # One client that hangs has five threads, and ends after ten minutes.
    "threads": Bound(3.0, 8.0),
}
TOPIC_BOUNDS = {
    # Answers to people's requests are kept for some minutes, jobs until newer ones came.
    "state_rows": Bound(100.0, 100.0),
    "state_bytes": Bound(200_000.0, 200_000.0),
}


@dataclass(frozen=True, slots=True)
class Growth:
    """How much it grew over so many minutes or outages, and how much it may."""

    over: float
    growth: float
    growth_max: float

    @property
    def is_leak(self) -> bool:
        return self.growth > self.growth_max


@dataclass(frozen=True, slots=True)
class Judgement:
    """One quantity: its level in the first and the last calm stretch, its peak, and how much it grew.

    `by_outages` is None after fewer than four outages.
    """

    subject: str
    quantity: str
    first: float
    last: float
    peak: float
    calm: Growth
    by_outages: Growth | None

    @property
    def leaks(self) -> str:
        """When it leaks; empty where it does not."""
        found = ["while calm"] * self.calm.is_leak
        found += ["by outages"] * (self.by_outages is not None and self.by_outages.is_leak)
        return " and ".join(found)


@dataclass(frozen=True, slots=True)
class Point:
    """One quantity at one moment, after so many outages."""

    minute: float
    outages: int
    value: float


def judged(readings: Sequence[Reading], warm_up_minutes: float) -> list[Judgement]:
    """Every quantity that has enough readings after its warm-up."""
    found: list[Judgement | None] = []
    for name in sorted({name for reading in readings for name in reading.processes}):
        life = max(_lives(readings, name), key=len)
        for quantity, bound in PROCESS_BOUNDS.items():
            points = [Point(one.minute, one.outages, float(getattr(held, quantity))) for one, held in life]
            found.append(_judged(name, quantity, points, bound, warm_up_minutes))
    for quantity, bound in TOPIC_BOUNDS.items():
        points = [Point(one.minute, one.outages, float(getattr(one, quantity))) for one in readings]
        found.append(_judged("state topic", quantity, points, bound, warm_up_minutes))
    return [one for one in found if one is not None]


def _lives(readings: Sequence[Reading], name: str) -> list[list[tuple[Reading, ProcessReading]]]:
    """The readings of this name, cut where another process follows, and where the process got a role that it never had
    before. To lose a role, or to get it back, begins nothing new: that may leak."""
    lives: dict[tuple[int, int], list[tuple[Reading, ProcessReading]]] = {}
    roles: dict[int, set[str]] = {}
    for reading in readings:
        if (held := reading.processes.get(name)) is not None:
            ever = roles.setdefault(held.pid, set())
            ever.update(held.roles)
            lives.setdefault((held.pid, len(ever)), []).append((reading, held))
    return list(lives.values())


def _judged(
    subject: str, quantity: str, points: Sequence[Point], bound: Bound, warm_up_minutes: float
) -> Judgement | None:
    stretches = _stretches(points, warm_up_minutes)
    if sum(map(len, stretches.values())) < READINGS_MIN:
        return None
    levels = {outages: median(point.value for point in stretch) for outages, stretch in stretches.items()}
    first, *_, last = [*levels.values()] * 2  # the same one where there is one only
    slope = _slope_while_calm([*stretches.values()])
    minutes = sum(stretch[-1].minute - stretch[0].minute for stretch in stretches.values())
    hours = max(1.0, minutes / MINUTES_AN_HOUR)
    return Judgement(
        subject,
        quantity,
        first,
        last,
        max(point.value for point in points),
        Growth(minutes, slope * minutes, bound.an_hour * hours),
        _by_outages(stretches, levels, max(0.0, slope), bound),
    )


def _stretches(points: Sequence[Point], warm_up_minutes: float) -> Mapping[int, Sequence[Point]]:
    """The calm ones, by the number of outages before, without the warm-up and the minutes after each outage."""
    began = {point.outages: point.minute for point in reversed(points)}
    stretches: dict[int, list[Point]] = {}
    for point in points:
        is_warm = point.minute >= points[0].minute + warm_up_minutes
        if is_warm and (point.outages == points[0].outages or point.minute >= began[point.outages] + SETTLE_MINUTES):
            stretches.setdefault(point.outages, []).append(point)
    return stretches


def _slope_while_calm(stretches: Sequence[Sequence[Point]]) -> float:
    """Per minute; 0 where no stretch has two readings."""
    whole = [(point.minute, point.value) for stretch in stretches for point in stretch]
    apart = list[tuple[float, float]]()
    for stretch in stretches:
        minute, value = fmean(point.minute for point in stretch), fmean(point.value for point in stretch)
        apart += [(point.minute - minute, point.value - value) for point in stretch]
    return min(_slope(apart), _slope(whole))


def _slope(points: Sequence[tuple[float, float]]) -> float:
    minutes, values = zip(*points, strict=True)
    return float(linear_regression(minutes, values).slope) if len({*minutes}) > 1 else 0.0


def _by_outages(
    stretches: Mapping[int, Sequence[Point]], levels: Mapping[int, float], slope: float, bound: Bound
) -> Growth | None:
    known = [outages for outages, stretch in stretches.items() if len(stretch) >= READINGS_MIN]
    later = known[len(known) // 2 :]
    if len(later) < LEVELS_MIN:
        return None
    rest = [(one, levels[one] - slope * fmean(point.minute for point in stretches[one])) for one in later]
    outages = later[-1] - later[0]
    return Growth(outages, _slope(rest) * outages, bound.ten_outages * max(1.0, outages / 10))
