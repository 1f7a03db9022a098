"""The ledger of requests: who sent what, when, and what was answered. It holds no secret."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

REQUESTS_MAX = 10_000
"""How many requests the ledger remembers. The oldest are forgotten first."""
RECORD_IDS_MAX = 1_000_000
"""How many record ids all of them hold together, at about 100 bytes each: 500 full Mixpanel batches."""
HEADERS_SHOWN = ("content-type", "content-encoding", "content-length", "user-agent")
"""Headers that a test may ask for. `Authorization` is not among them."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it."""

    number: int
    received_at_ms: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    credential: str
    """The name of the configured credential that was used; empty if it is none of them."""
    bytes: int
    bytes_decompressed: int
    sha256: str
    """The hash of the body on the wire. The same bytes have the same hash when they are sent again."""
    record_ids: tuple[str, ...]
    status: int | None
    """The status of the answer; None if the connection was reset."""
    fault: str | None
    """`before` or `after`, if a fault of the script was applied."""


class Ledger:
    """The newest exchanges, and the totals of all exchanges."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()
        self._record_ids = 0
        self.resets = 0
        """How often everything was forgotten: a request that began before that is nobody's any more."""
        self.requests = 0
        self.bytes = 0
        self.statuses: dict[str, int] = {}

    def count(self, size: int, status: int | None) -> int:
        """Count a request. Returns its number, from 1."""
        self.requests += 1
        self.bytes += size
        name = "reset" if status is None else str(status)
        self.statuses[name] = self.statuses.get(name, 0) + 1
        return self.requests

    def add(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)
        self._record_ids += len(exchange.record_ids)
        while len(self._exchanges) > REQUESTS_MAX or self._record_ids > RECORD_IDS_MAX:
            self._record_ids -= len(self._exchanges.popleft().record_ids)

    def reset(self) -> None:
        self.resets += 1
        self._exchanges.clear()
        self._record_ids = 0
        self.requests = self.bytes = 0
        self.statuses.clear()

    def to_json(self) -> dict[str, Any]:
        return {
            "totals": {"requests": self.requests, "bytes": self.bytes, "statuses": dict(self.statuses)},
            "requests": [asdict(exchange) for exchange in self._exchanges],
        }
