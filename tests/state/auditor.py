"""Judges a connector's purges and alerts by its audit alone, as a reader of the audit would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Spans = Sequence[Sequence[int]]
"""Begins and ends in milliseconds; an end of 0 is still to come."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one purge says of itself: which letters, how many, in which ranges of offsets (from, to exclusive)."""

    letters: str
    count: int
    offsets: Mapping[int, Sequence[tuple[int, int]]]
    is_by_deadline: bool

    def holds(self, partition: int, offset: int) -> bool:
        return any(first <= offset < end for first, end in self.offsets.get(partition, ()))


class Auditor:
    """Walks the lines in order; knows from them who is SUSPENDED and INVALID since when, and what was extended."""

    def __init__(self, connector: str, grace_ms: int, refused: Mapping[str, Spans]) -> None:
        """`refused` is when the destination refused each scope's key."""
        self.clock_error_ms = 0
        """By how much the clocks that wrote the audit may differ from the destination's, and jump."""
        self._connector = connector
        self._grace_ms = grace_ms
        self._refused = refused
        self._invalid_since: dict[str, int] = {}
        self._was_invalid_since: dict[str, int] = {}
        self._extended: dict[str, int] = {}
        self._suspensions: list[list[int]] = []
        self._alerts: set[tuple[str, int, str]] = set()

    def receipts(
        self, lines: Sequence[Mapping[str, Any]], parked_at: Mapping[tuple[str, int, int], int]
    ) -> list[Receipt]:
        """Every receipt; `parked_at` is by letters, partition and offset.

        Raises `AssertionError` where a purge came early, or without cause, name or reason, or an alert twice.
        """
        found = []
        for line in lines:
            match line["what"]:
                case "credentials INVALID":
                    self._invalid_since[line["scope"]] = line["invalid_since"]
                    self._extended[line["scope"]] = 0
                case "credentials VALID":
                    self._was_invalid_since[line["scope"]] = self._invalid_since.pop(line["scope"])
                case "extend" if line["outcome"] == "done":
                    self._extended[line["arguments"]["scope"]] += line["arguments"]["by_ms"]
                case "suspend" if line["outcome"] == "done":
                    self._suspensions.append([line["at"], 0])
                case "SUSPENDED":
                    self._suspensions.append([line["at"], 0])
                case "resume" if line["outcome"] == "done":
                    self._suspensions[-1][1] = line["at"]
                case "alerted" if line["scope"] != "-" and line["alert"] != "refused":  # that is of no INVALID episode
                    self._take_alert(line)
                case "purged":
                    found.append(self._receipt(line, parked_at))
                case _:
                    pass
        return found

    def _take_alert(self, line: Mapping[str, Any]) -> None:
        episodes = self._was_invalid_since if line["alert"] == "recovered" else self._invalid_since
        alert = (line["scope"], episodes[line["scope"]], line["alert"])
        assert alert not in self._alerts, f"{self._connector}: alert {alert} was told twice"
        self._alerts.add(alert)

    def _receipt(self, line: Mapping[str, Any], parked_at: Mapping[tuple[str, int, int], int]) -> Receipt:
        is_by_deadline = "scope" in line
        offsets = {int(number): [(first, end) for first, end in ranges] for number, ranges in line["offsets"].items()}
        letters = f"credentials.{line['scope']}" if is_by_deadline else line["from"]
        receipt = Receipt(letters, line["letters"], offsets, is_by_deadline)
        times = [
            time
            for (letters, number, offset), time in parked_at.items()
            if letters == receipt.letters and receipt.holds(number, offset)
        ]
        assert len(times) == receipt.count, f"a receipt of {receipt.count} letters spans {len(times)}: {line}"
        assert sum(line["event_types"].values()) == receipt.count
        if is_by_deadline:
            self._require_due(line, times)
        else:
            assert line["who"], f"a person's purge without a name: {line}"
            assert line["why"], f"a person's purge without a reason: {line}"
        return receipt

    def _require_due(self, line: Mapping[str, Any], times: Sequence[int]) -> None:
        scope, at = line["scope"], line["at"]
        assert scope in self._invalid_since, f"{self._connector}: {scope} was purged while VALID"
        assert all(end for _, end in self._suspensions), f"{self._connector} was purged while SUSPENDED"
        for time in times:
            deadline = self._deadline(scope, time, line["probe_began"])
            is_due = deadline <= line["probe_began"] <= at + 2 * self.clock_error_ms
            assert is_due, f"purged early: parked at {time}, due {deadline}: {line}"
            error = self.clock_error_ms
            spans = self._refused.get(scope, ())
            assert any(begin - error <= at and (not end or end + error >= deadline) for begin, end in spans), (
                f"{self._connector}: {scope} was purged at {at} though its key was good since before {deadline}"
            )

    def _deadline(self, scope: str, parked_at: int, now: int) -> int:
        begin = max(parked_at, self._invalid_since[scope])
        suspended = sum(max(0, min(end or now, now) - max(start, begin)) for start, end in self._suspensions)
        return begin + self._grace_ms + self._extended[scope] + suspended
