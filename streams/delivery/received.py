"""What a receiver took of a connector's senders, counted since its first request, beside the records themselves.

Each receiver keeps one row per connector on a compacted topic, written in the transaction of the records that it
counts. The sum over all rows of a connector is what its account calls received.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


class RowError(ValueError):
    """A row that this program did not write."""


@dataclass(slots=True)
class ReceivedCounts:
    """Records that were written to the connector's topic, and items that were not, by reason."""

    received: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def plus(self, other: ReceivedCounts) -> ReceivedCounts:
        return ReceivedCounts(self.received + other.received, self.skipped + other.skipped)

    def to_json(self) -> bytes:
        return orjson.dumps({"v": 1, "received": self.received, "skipped": self.skipped}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, value: bytes) -> ReceivedCounts:
        """Raises `RowError`."""
        try:
            content: Any = orjson.loads(value)
            skipped = {str(reason): int(count) for reason, count in content["skipped"].items()}
            return cls(int(content["received"]), Counter(skipped))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RowError(f"a row of received records cannot be read: {type(error).__name__}") from None


def row_key(connector: str, instance: str) -> bytes:
    """The key of one receiver's row. A connector's name has no slash."""
    return f"{connector}/{instance}".encode()


INLET_PREFIX = "currents:"
"""What the accounts of HTTP inlets begin with: no connector has a name with a colon."""


def inlet_letters(rows: Mapping[bytes, bytes]) -> int:
    """Dead letters that receivers wrote of what HTTP inlets could not read. Raises `RowError`."""
    found = [value for key, value in rows.items() if key.startswith(INLET_PREFIX.encode())]
    return sum(ReceivedCounts.from_json(value).skipped["undecodable"] for value in found)


def rows_of_instance(rows: Mapping[bytes, bytes], instance: str) -> dict[str, ReceivedCounts]:
    """What this receiver counted before, by connector. Raises `RowError`."""
    found = {}
    for key, value in rows.items():
        connector, _, name = key.decode(errors="replace").partition("/")
        if name == instance:
            found[connector] = ReceivedCounts.from_json(value)
    return found


def received_by(rows: Mapping[bytes, bytes], connectors: Iterable[str]) -> dict[str, ReceivedCounts]:
    """The sum of all receivers' rows of each connector. Raises `RowError`."""
    found = {name: ReceivedCounts() for name in connectors}
    for key, value in rows.items():
        connector = key.decode(errors="replace").partition("/")[0]
        if connector in found:
            found[connector] = found[connector].plus(ReceivedCounts.from_json(value))
    return found
