"""What a connector to Braze shows beside the others: where vendors send to, what was not taken, what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.config import Settings
from streams.delivery.account import SinkCounts
from streams.delivery.received import ReceivedCounts
from streams.state.worker_records import Dropped

DROPPED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class WayBack:
    """The addresses of the entries; items that receivers left out, by reason; what sinks counted of their requests.

    `maybe_doubled` are events that Braze may have counted once too often. `dropped` are the fields that were most often
    dropped or cut: why, name, and how many values.
    """

    urls: Mapping[str, str]
    not_taken: Mapping[str, int]
    maybe_doubled: int
    counts: Mapping[str, int]
    dropped: Sequence[tuple[str, str, int]] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "urls": dict(self.urls),
            "not_taken": dict(sorted(self.not_taken.items())),
            "maybe_doubled": self.maybe_doubled,
            "counts": dict(sorted(self.counts.items())),
            "dropped": [{"name": name, "why": why, "values": values} for why, name, values in self.dropped],
        }


def way_back(
    settings: Settings, name: str, received: ReceivedCounts, sinks: SinkCounts, dropped: Iterable[Dropped]
) -> WayBack | None:
    """None for a connector that receives nothing."""
    entries = settings.entries.get(name)
    if not entries:
        return None
    urls = {entry: settings.receiver.address(name, entry) for entry in entries}
    return WayBack(urls, received.skipped, sinks.maybe_doubled, sinks.tallies, _most(dropped))


def _most(dropped: Iterable[Dropped]) -> tuple[tuple[str, str, int], ...]:
    """Over all partitions."""
    counts: Counter[str] = Counter()
    for one in dropped:
        counts.update(one.names)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:DROPPED_SHOWN]
    return tuple((loss.partition("/")[0], loss.partition("/")[2], values) for loss, values in ordered)
