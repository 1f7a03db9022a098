"""What Mixpanel stores after an import: raw rows, and the two views that its deduplication makes of them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from streams.emulators.mixpanel.options import DAY_MS, IdMode
from streams.emulators.mixpanel.rules import milliseconds, written
from streams.emulators.refused_records import RefusedRecords

TEXT_CHARACTERS_MAX = 255
"""Longer strings and names are cut, not refused."""

Row = dict[str, Any]


class Store:
    """Rows of all projects, the newest `rows_max` of them."""

    def __init__(self, rows_max: int) -> None:
        self._rows: deque[Row] = deque(maxlen=rows_max)
        self.refused_records = RefusedRecords()
        self.imported = 0
        self.ignored = 0
        self.refused = 0

    def add(self, project_id: str, id_mode: IdMode, event: dict[str, Any], now_ms: int) -> None:
        """Store an event that breaks no rule. An event with `$ignore` counts as imported, but is not stored."""
        self.imported += 1
        if "$ignore" in event["properties"]:
            self.ignored += 1
        else:
            self._rows.append(stored(project_id, id_mode, event, now_ms))

    def reset(self) -> None:
        self._rows.clear()
        self.refused_records = RefusedRecords()
        self.imported = self.ignored = self.refused = 0

    def totals(self) -> dict[str, int]:
        return {
            "imported": self.imported,
            "ignored": self.ignored,
            "refused": self.refused,
            "rows": len(self._rows),
        }

    def raw(self) -> list[Row]:
        """Every stored row, duplicates too, as raw export shows them."""
        return list(self._rows)

    def query(self) -> list[Row]:
        """Rows as reports show them at once: of rows with equal event, distinct_id, time and $insert_id the last
        counts."""
        return _last_of(self._rows, 1)

    def compacted(self) -> list[Row]:
        """Rows after compaction: of rows with equal event, distinct_id and $insert_id on one UTC day the last
        counts."""
        return _last_of(self._rows, DAY_MS)

    def sent_again(self) -> list[dict[str, str]]:
        """What was sent again after it had been refused by name."""
        return [{"project_id": owner, "insert_id": name} for owner, name in self.refused_records.sent_again]


def _last_of(rows: Iterable[Row], span_ms: int) -> list[Row]:
    """The last row of each identity, in the order in which identities came. Times within one `span_ms` are equal."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        properties = row["properties"]
        day = properties["time"] // span_ms
        kept[row["project_id"], row["event"], properties["distinct_id"], day, properties["$insert_id"]] = row
    return list(kept.values())


def stored(project_id: str, id_mode: IdMode, event: dict[str, Any], now_ms: int) -> Row:
    """The row that an event becomes."""
    given = event["properties"]
    properties = {
        (name if len(name) <= TEXT_CHARACTERS_MAX else name[:TEXT_CHARACTERS_MAX]): (
            value[:TEXT_CHARACTERS_MAX] if type(value) is str and len(value) > TEXT_CHARACTERS_MAX else value
        )
        for name, value in given.items()
    }
    properties["time"] = min(milliseconds(given["time"]), now_ms)
    properties["distinct_id"] = resolved(given, id_mode)
    properties["$insert_id"] = written(given["$insert_id"])
    properties["$import"] = True
    properties["$mp_api_endpoint"] = "api.mixpanel.com"
    properties["$mp_api_timestamp_ms"] = now_ms
    row: Row = {"project_id": project_id, "event": event["event"][:TEXT_CHARACTERS_MAX], "properties": properties}
    if properties.pop("ip", None) is None:
        row["geo_from_request"] = True
    return row


def resolved(properties: dict[str, Any], id_mode: IdMode) -> str:
    """Whose event it is. Simplified id merge: the user, else the device, else `distinct_id`. Original:
    `distinct_id`."""
    if id_mode == "original":
        return written(properties["distinct_id"])
    user, device = properties.get("$user_id"), properties.get("$device_id")
    if user:
        return written(user)
    if device:
        return "$device:" + written(device).removeprefix("$device:")
    return written(properties["distinct_id"])
