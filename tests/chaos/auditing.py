"""Judges a connector's purges and alerts by its audit alone, as a reader of the audit would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one purge says of itself: which letters, how many, which offsets (from, to exclusive) per partition."""

    letters: str
    count: int
    offsets: Mapping[int, tuple[int, int]]

    def holds(self, partition: int, offset: int) -> bool:
        first, end = self.offsets.get(partition, (0, 0))
        return first <= offset < end


class Auditor:
    """Walks the lines in order; knows from them who is SUSPENDED and INVALID since when, and what was extended."""

    def __init__(
        self, connector: str, grace_ms: int, revoked: Mapping[tuple[str, str], Sequence[Sequence[int]]]
    ) -> None:
        """`revoked` is when each (connector, scope)'s key was revoked, and until when (0: still), in ms."""
        self._connector = connector
        self._grace_ms = grace_ms
        self._revoked = revoked
        self._invalid_since: dict[str, int] = {}
        self._extended: dict[str, int] = {}
        self._suspensions: list[list[int]] = []
        self._alerts: set[tuple[str, int, str]] = set()

    def receipts(
        self, lines: Sequence[Mapping[str, Any]], parked_at: Mapping[tuple[str, int, int], int]
    ) -> list[Receipt]:
        """Every receipt. Raises `AssertionError` where a purge came early or without cause, or an alert twice."""
        found = []
        for line in lines:
            match line["what"]:
                case "credentials INVALID":
                    self._invalid_since[line["scope"]] = line["invalid_since"]
                    self._extended[line["scope"]] = 0
                case "credentials VALID":
                    del self._invalid_since[line["scope"]]
                case "extend" if line["outcome"] == "done":
                    self._extended[line["arguments"]["scope"]] += line["arguments"]["by_ms"]
                case "suspend" if line["outcome"] == "done":
                    self._suspensions.append([line["at"], 0])
                case "SUSPENDED":
                    self._suspensions.append([line["at"], 0])
                case "resume" if line["outcome"] == "done":
                    self._suspensions[-1][1] = line["at"]
                case "alerted" if line["scope"] != "-":
                    self._take_alert(line)
                case "purged":
                    found.append(self._receipt(line, parked_at))
                case _:
                    pass
        return found

    def _take_alert(self, line: Mapping[str, Any]) -> None:
        alert = (line["scope"], self._invalid_since[line["scope"]], line["alert"])
        assert alert not in self._alerts, f"{self._connector}: alert {alert} was told twice"
        self._alerts.add(alert)

    def _receipt(self, line: Mapping[str, Any], parked_at: Mapping[tuple[str, int, int], int]) -> Receipt:
        scope, at = line["scope"], line["at"]
        assert scope in self._invalid_since, f"{self._connector}: {scope} was purged while VALID"
        assert all(end for _, end in self._suspensions), f"{self._connector} was purged while SUSPENDED"
        offsets = {int(number): (first, end) for number, (first, end) in line["offsets"].items()}
        receipt = Receipt(f"credentials.{scope}", line["letters"], offsets)
        times = [
            time
            for (letters, number, offset), time in parked_at.items()
            if letters == receipt.letters and receipt.holds(number, offset)
        ]
        assert len(times) == receipt.count, f"a receipt of {receipt.count} letters spans {len(times)}: {line}"
        assert sum(line["event_types"].values()) == receipt.count
        for time in times:
            deadline = self._deadline(scope, time, line["probe_began"])
            assert deadline <= line["probe_began"] <= at, f"purged early: parked at {time}, due {deadline}: {line}"
            self._require_dead_key(scope, deadline, at)
        return receipt

    def _deadline(self, scope: str, parked_at: int, now: int) -> int:
        begin = max(parked_at, self._invalid_since[scope])
        suspended = sum(
            max(0, min(end or now, now) - max(start, begin)) for start, end in self._suspensions if (end or now) > begin
        )
        return begin + self._grace_ms + self._extended[scope] + suspended

    def _require_dead_key(self, scope: str, deadline: int, at: int) -> None:
        """A fix that came before the deadline, and stayed, loses nothing."""
        spans = self._revoked.get((self._connector, scope), ())
        assert any(start <= at and (not end or end >= deadline) for start, end in spans), (
            f"{self._connector}: {scope} was purged at {at} though its key was good at the deadline, {deadline}"
        )
