"""More time for the letters of a scope whose credentials are invalid."""

from __future__ import annotations

from streams.operations.dead_letters.topics import dead_letters
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.operations.keeper_orders import carried_out
from streams.values import parse_duration


def extend(installation: Installation, name: str, scope: str, by: str, *, who: str, reason: str) -> int:
    """Move the scope's deadline by a duration (`24h`). Returns the sum of all extensions, in ms.

    Raises `BadRequest`, `OrderRefused`, and what `Keepers.ask` does.
    """
    dead_letters(installation.settings, name).letters_of(scope)
    try:
        by_ms = round(parse_duration(by) * 1000)
    except ValueError as error:
        raise BadRequest(f"{by} {error}", field="by") from None
    if by_ms <= 0:
        raise BadRequest("must be more than 0", field="by")
    if not reason.strip():
        raise BadRequest("say why; it is written to the audit topic", field="reason")
    answer = carried_out(installation, name, "extend", {"scope": scope, "by_ms": by_ms}, who=who, reason=reason)
    return int(answer.content.get("extended_ms", by_ms))
