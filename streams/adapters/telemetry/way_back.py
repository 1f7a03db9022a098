"""What sinks of a connector to Braze counted in their commits, as counters of its keeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import Counter

from streams.delivery.account import SinkCounts
from streams.delivery.composer import UNACCOUNTED

BY_KIND = {"data_points": "streams_braze_data_points_total", "dropped_values": "streams_braze_dropped_values_total"}
"""Tallies of several kinds, `<name>.<kind>`, and their metrics."""
ALONE = {
    UNACCOUNTED: "streams_braze_unaccounted_total",
    "sessions_dropped": "streams_sessions_dropped_total",
    "segments_cut": "streams_segments_cut_total",
}
MAYBE_DOUBLED = "streams_braze_maybe_doubled_total"

Series = tuple[str, ...]
"""A metric's name, and the values of its labels."""


class WayBackCounters:
    """Follow what is committed, so they are exact over restarts; they are shown by the keeper alone."""

    def __init__(self, connector: str, counter: Callable[..., Counter], forget: Callable[..., None]) -> None:
        """`counter` gives a series by the metric's name and labels, `forget` takes it away."""
        self._connector = connector
        self._counter = counter
        self._forget = forget
        self._last: dict[Series, int] = {}

    def follow(self, counts: SinkCounts) -> None:
        """As they are committed now."""
        for series, count in self._series(counts).items():
            self._counter(*series).inc(max(0, count - self._last.get(series, 0)))
            self._last[series] = max(count, self._last.get(series, 0))

    def forget(self) -> None:
        """The next keeper shows them."""
        for series in self._last:
            self._forget(*series)
        self._last.clear()

    def _series(self, counts: SinkCounts) -> Mapping[Series, int]:
        found: dict[Series, int] = {(MAYBE_DOUBLED, self._connector): counts.maybe_doubled}
        for name, count in counts.tallies.items():
            what, _, kind = name.partition(".")
            if what in BY_KIND and kind:
                found[BY_KIND[what], self._connector, kind] = count
            elif name in ALONE:
                found[ALONE[name], self._connector] = count
        return found
