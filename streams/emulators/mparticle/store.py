"""What mParticle stores: batches, each `source_request_id` once per key; and what it dropped. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

from streams.emulators.refused_records import RefusedRecords

DROPPED_MAX = 100_000
"""How many dropped batches are remembered."""

Row = dict[str, Any]


class Store:
    """Batches of all inputs, the newest `rows_max` of them."""

    def __init__(self, rows_max: int, dedup_ms: int) -> None:
        self._rows_max = rows_max
        self._dedup_ms = dedup_ms
        self._rows: deque[Row] = deque(maxlen=rows_max)
        self._dropped: deque[Row] = deque(maxlen=DROPPED_MAX)
        self._seen_at_ms: dict[tuple[str, str], int] = {}
        self._event_names: dict[str, set[str]] = {}
        self._message_counts: dict[str, int] = {}
        self.refused_records = RefusedRecords()
        self.accepted = self.duplicates = self.dropped = self.events = 0

    def is_duplicate(self, key: str, request_id: str, now_ms: int) -> bool:
        """Whether this key sent this `source_request_id` before, within the time that ids are remembered. Remembers
        it."""
        if not request_id:
            return False
        at_ms = self._seen_at_ms.get((key, request_id))
        if at_ms is not None and now_ms - at_ms < self._dedup_ms:
            return True
        self._seen_at_ms.pop((key, request_id), None)
        self._seen_at_ms[key, request_id] = now_ms
        if len(self._seen_at_ms) > self._rows_max:
            del self._seen_at_ms[next(iter(self._seen_at_ms))]
        return False

    def add(self, row: Row, *, is_kept: bool) -> None:
        """Take a batch; `row` says whether it is a duplicate."""
        if row["duplicate"]:
            self.duplicates += 1
        else:
            self.accepted += 1
            self.events += len(row["batch"].get("events") or ())
        if not is_kept:
            return
        self._rows.append(row)
        if not row["duplicate"]:
            for event in row["batch"].get("events") or ():
                message_id = event["data"].get("source_message_id")
                if message_id:
                    self._message_counts[message_id] = self._message_counts.get(message_id, 0) + 1
            while len(self._message_counts) > self._rows_max:
                del self._message_counts[next(iter(self._message_counts))]

    def drop(self, feed: str, request_id: str, reason: str) -> None:
        """Remember a batch that was dropped although the answer was 202."""
        self.dropped += 1
        self._dropped.append({"feed": feed, "source_request_id": request_id, "reason": reason})

    def has_room_for(self, workspace: str, event_name: str, names_max: int) -> bool:
        """Whether the workspace has this name, or has room for it. Remembers the name."""
        names = self._event_names.setdefault(workspace, set())
        if event_name not in names and len(names) >= names_max:
            return False
        names.add(event_name)
        return True

    def totals(self) -> dict[str, int]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "dropped": self.dropped,
            "events": self.events,
            "rows": len(self._rows),
        }

    def raw(self) -> list[Row]:
        """Every batch that was accepted, duplicates too."""
        return list(self._rows)

    def query(self) -> list[Row]:
        """Batches after deduplication."""
        return [row for row in self._rows if not row["duplicate"]]

    def dropped_batches(self) -> list[Row]:
        return list(self._dropped)

    def repeated_messages(self) -> list[dict[str, Any]]:
        """Every `source_message_id` that was stored more than once: mParticle does not deduplicate by it."""
        return [
            {"source_message_id": name, "count": count} for name, count in self._message_counts.items() if count > 1
        ]

    def sent_again(self) -> list[dict[str, str]]:
        """What was sent again after it had been refused by name."""
        return [{"source_request_id": name} for _, name in self.refused_records.sent_again]
