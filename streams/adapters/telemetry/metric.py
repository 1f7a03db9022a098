"""What is said of one metric: name, labels, who reports it, what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reporter = Literal["every process", "router", "sink", "keeper", "receiver", "inlet"]

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds; a request is given up after 30."""
BODY_BUCKETS = (1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 2e6, 4e6, 8e6, 16e6)
"""Bytes; a body has 4 MB at most by default, and 16 MB where more is allowed."""
RECORDS_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0, 128.0, 256.0, 512.0, 1024.0, 2000.0)
"""Powers of two, and what a full request of the shipped destinations holds: 100 or 2,000."""
FRESHNESS_BUCKETS = (
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0, 172800.0, 432000.0,
)  # fmt: skip
"""Seconds: half a second to the 5 days of the longest grace."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in `_total`; a histogram has `buckets`; anything else is a gauge."""

    name: str
    labels: tuple[str, ...]
    by: Reporter
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge", "histogram"]:
        if self.buckets:
            return "histogram"
        return "counter" if self.name.endswith("_total") else "gauge"
