"""Times as people type them: a date and time in UTC, or how long ago."""

from __future__ import annotations

from datetime import UTC, datetime

from streams.cli.errors import CommandError, ExitCode
from streams.values import parse_duration


def parse_time(option: str, text: str, now_ms: int) -> int:
    """Milliseconds since 1970 of `2026-01-31T03:00Z`, of `2026-01-31`, or of `2h`, which is two hours ago.

    Without a zone it is UTC. Raises `CommandError`.
    """
    try:
        return now_ms - round(parse_duration(text.strip()) * 1000)
    except ValueError:
        pass  # not how long ago
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        mend = "must be a time in UTC, like 2026-01-31T03:00Z, or how long ago, like 2h"
        raise CommandError(f"{option} {text!r} {mend}", ExitCode.USAGE) from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(epoch_ms: int | None) -> str | None:
    """As we print times: ISO 8601 in UTC, to the second."""
    if epoch_ms is None:
        return None
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
