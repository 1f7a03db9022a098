"""What Mixpanel refuses about one event: the first rule that it breaks, in Mixpanel's words if they are known.

Rules and their sources: `docs/emulators.md`. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from streams.emulators.mixpanel.options import DAY_MS, IdMode, Limits

MILLISECONDS_FROM = 9_999_999_999
"""A larger `time` is in milliseconds, a smaller one in seconds. Mixpanel does not publish its rule; other loaders use
this."""
FIRST_SECOND = 31_536_000
"""1971-01-01: earlier times are refused."""
AHEAD_MS_MAX = 3_600_000
"""A time may be this far ahead of the server's. It is then replaced by the server's time."""
INSERT_ID_BYTES_MAX = 36

NIL_UUID = "00000000-0000-0000-0000-000000000000"
BLOCKED_IDS = frozenset(
    {NIL_UUID, "anon", "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "<nil>"}
    | {"0", "-1", "true", "false", "[]", "{}"}
)
"""Values that Mixpanel does not accept as an id. They are compared without blanks at the ends and in lower case."""
IDENTITY_EVENTS = frozenset({"$identify", "$create_alias", "$merge"})

_INSERT_ID = re.compile(r"[A-Za-z0-9-]+")
_NOT_UTF8 = re.compile("[\ud800-\udfff]")

Failure = tuple[str, str]
"""Field and message."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one project."""

    limits: Limits
    id_mode: IdMode
    retention_days: int
    lax_insert_id: bool

    def failure(self, event: object, now_ms: int) -> Failure | None:
        """The first rule that this event breaks, or None."""
        name = event.get("event") if isinstance(event, dict) else None
        if not isinstance(name, str) or not name.strip():
            return "event", "'event' must not be missing or blank"
        assert isinstance(event, dict)
        properties = event.get("properties")
        if not isinstance(properties, dict):
            return "properties", "'properties' is invalid: must not be missing"
        return (
            self._time_failure(properties, now_ms)
            or self._distinct_id_failure(properties)
            or self._insert_id_failure(properties)
            or self._shape_failure(name, properties)
        )

    def size_failure(self, event: dict[str, Any]) -> Failure | None:
        """Whether an event that breaks no other rule is too large. A step of its own: it must be serialised to be
        measured."""
        size = len(orjson.dumps({"event": event["event"], "properties": event["properties"]}))
        if size < self.limits.event_bytes_max:
            return None
        return "properties", f"'properties' is invalid: event must be smaller than {self.limits.event_bytes_max} bytes"

    def _time_failure(self, properties: dict[str, Any], now_ms: int) -> Failure | None:
        field = "properties.time"
        time = properties.get("time")
        if time is None:
            return field, "'properties.time' is invalid: must not be missing"
        if isinstance(time, bool) or not isinstance(time, (int, float)):
            return field, "'properties.time' is invalid: must be specified as seconds since epoch"
        at_ms = milliseconds(time)
        if at_ms < FIRST_SECOND * 1000:
            return field, "'properties.time' is invalid: must be specified as seconds since epoch"
        if at_ms > now_ms + AHEAD_MS_MAX:
            return field, "'properties.time' is invalid: must not be in the future"
        if at_ms < now_ms - self.retention_days * DAY_MS:
            return field, "'properties.time' is invalid: must be within the data retention period of the project"
        return None

    def _distinct_id_failure(self, properties: dict[str, Any]) -> Failure | None:
        field = "properties.distinct_id"
        distinct_id = properties.get("distinct_id")
        if distinct_id is None:
            if self.id_mode == "simplified" and (properties.get("$user_id") or properties.get("$device_id")):
                return None
            return field, "'properties.distinct_id' is invalid: must not be missing"
        text = written(distinct_id)
        if text.strip().lower() in BLOCKED_IDS:
            return field, f"'properties.distinct_id' is invalid: {text} not allowed"
        return None

    def _insert_id_failure(self, properties: dict[str, Any]) -> Failure | None:
        field = "$insert_id"
        insert_id = properties.get("$insert_id")
        if insert_id is None or insert_id == "":
            return field, "'$insert_id' is invalid: must not be missing"
        text = written(insert_id)
        if not self.lax_insert_id:
            if len(text.encode(errors="surrogatepass")) > INSERT_ID_BYTES_MAX:
                return field, f"'$insert_id' is invalid: must be at most {INSERT_ID_BYTES_MAX} bytes"
            if not _INSERT_ID.fullmatch(text) and text.strip().lower() not in BLOCKED_IDS:
                return field, "'$insert_id' is invalid: must only contain alphanumeric or hyphen '-' characters"
        if text.strip().lower() in BLOCKED_IDS:
            return field, f"'$insert_id' is invalid: {text} not allowed"
        return None

    def _shape_failure(self, name: str, properties: dict[str, Any]) -> Failure | None:
        if not name.isascii() and _NOT_UTF8.search(name):
            return "event", "event is invalid: string should be valid utf8"
        entries_max = self.limits.entries_max
        if len(properties) >= entries_max:
            return "properties", f"'properties' is invalid: must have fewer than {entries_max} properties"
        for key, value in properties.items():
            if type(value) is str:
                if value.isascii() and key.isascii():
                    continue
            elif not isinstance(value, (dict, list)) and key.isascii():
                continue
            failure = self._value_failure(f"properties.{key}", key, value, 0)
            if failure is not None:
                return failure
        return None

    def _value_failure(self, path: str, key: str, value: object, depth: int) -> Failure | None:
        if _NOT_UTF8.search(key) or (isinstance(value, str) and _NOT_UTF8.search(value)):
            shown = _NOT_UTF8.sub("\ufffd", path)
            return shown, f"{shown} is invalid: string should be valid utf8"
        entries_max = self.limits.entries_max
        if isinstance(value, dict):
            if len(value) >= entries_max:
                return path, f"{path} is invalid: object must have fewer than {entries_max} keys"
            if depth >= self.limits.depth_max:
                return path, f"{path} is invalid: must not be nested deeper than {self.limits.depth_max} levels"
            nested = ((f"{path}.{name}", name, inner, depth + 1) for name, inner in value.items())
        elif isinstance(value, list):
            if len(value) >= entries_max:
                return path, f"{path} is invalid: array must have fewer than {entries_max} elements"
            nested = ((f"{path}[{place}]", "", inner, depth) for place, inner in enumerate(value))
        else:
            return None
        return _first(self._value_failure, nested)


def _first(check: Callable[[str, str, object, int], Failure | None], nested: Any) -> Failure | None:
    for each in nested:
        failure = check(*each)
        if failure is not None:
            return failure
    return None


def milliseconds(time: float) -> int:
    """A `time` in milliseconds; it may come in seconds."""
    return int(time) if abs(time) > MILLISECONDS_FROM else int(time * 1000)


def written(identity: object) -> str:
    """An identity as text: numbers and other JSON values as they are written."""
    return identity if isinstance(identity, str) else json.dumps(identity, separators=(",", ":"))


def insert_id(event: object) -> str:
    """The event's `$insert_id` as text, or empty."""
    properties = event.get("properties") if isinstance(event, dict) else None
    given = properties.get("$insert_id") if isinstance(properties, dict) else None
    return "" if given is None else written(given)
