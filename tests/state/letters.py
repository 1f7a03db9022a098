"""Dead letters as sinks park them, for tests of everything that reads some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.delivery.letter import AnyHeaders, Origin, Reason, letter_headers

NOW_MS = 1_790_000_000_000


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter in memory."""

    _offset: int
    _headers: tuple[tuple[str, bytes | None], ...]

    def offset(self) -> int:
        return self._offset

    def headers(self) -> Any:
        return list(self._headers) or None


def headers_of(
    detail: str = "bad time",
    *,
    cause: str = "rejected",
    status: int = 400,
    event_type: str = "users.messages.email.Open",
    scope: str = "default",
    parked_at_ms: int = NOW_MS,
    before: AnyHeaders = (("streams-origin", b"currents.x/0/7"),),
) -> list[tuple[str, bytes | None]]:
    """Headers of a letter with this reason."""
    reason = Reason(cause, status, detail, scope, event_type, 1, parked_at_ms)
    return letter_headers(before, Origin("currents.x", 0, 7), reason)


def letter(offset: int, detail: str = "bad time", **reason: Any) -> Letter:
    """A letter at this offset."""
    return Letter(offset, tuple(headers_of(detail, **reason)))
