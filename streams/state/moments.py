"""Reads moments that people type (a time, a day, or how long ago). Writes times and durations for people."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from streams.values import parse_duration

SHAPES = "a time (2026-01-31T09:30:00Z), a day (2026-01-31, from midnight UTC) or how long ago (90s, 15m, 2h, 3d)"

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?", re.IGNORECASE)


def parse_moment(text: str, now_ms: int) -> int:
    """Milliseconds since 1970; a time without an offset is UTC. Raises `ValueError` that says what would be right."""
    text = text.strip()
    if _DAY.fullmatch(text) or _TIME.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError as error:
            raise ValueError(f"{text} is not a time ({error}); it must be {SHAPES}") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    try:
        return now_ms - round(parse_duration(text) * 1000)
    except ValueError:
        raise ValueError(f"{text or 'nothing'} is not a time; it must be {SHAPES}") from None


def iso(time_ms: int | None) -> str | None:
    """ISO 8601 in UTC, to the second; None for no time."""
    if not time_ms:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_time(time_ms: int, now_ms: int) -> str:
    """A time of today as `14:02` (UTC); a time of another day with its date."""
    moment, now = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (time_ms, now_ms))
    return moment.strftime("%H:%M" if moment.date() == now.date() else "%Y-%m-%d %H:%M")


_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def told(seconds: float) -> str:
    """A duration in its two largest units: `5 d 3 h`, `2 h 10 min`, `12 s`."""
    left = max(0, round(seconds))
    largest = next((index for index, (_, length) in enumerate(_UNITS) if left >= length), len(_UNITS) - 1)
    words: list[str] = []
    for unit, length in _UNITS[largest : largest + 2]:
        count, left = divmod(left, length)
        if count or not words:
            words.append(f"{count} {unit}")
    return " ".join(words)
