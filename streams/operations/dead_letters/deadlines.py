"""More time for the letters of a scope whose credentials are invalid."""

from __future__ import annotations

from streams.operations.dead_letters.topics import dead_letters
from streams.operations.errors import BadRequest, Refused
from streams.operations.installation import Installation
from streams.values import parse_duration

ANSWER_SECONDS = 20.0


def extend(installation: Installation, name: str, scope: str, by: str, *, who: str, reason: str) -> int:
    """Move the scope's deadline by a duration (`24h`); all extensions together, in ms.

    Raises `BadRequest`, `Refused`, and what `Keepers.ask` does.
    """
    dead_letters(installation.settings, name).letters_of(scope)
    try:
        by_ms = round(parse_duration(by) * 1000)
    except ValueError as error:
        raise BadRequest(f"{by} {error}", field="by") from None
    if by_ms <= 0:
        raise BadRequest("must be longer than nothing", field="by")
    if not reason.strip():
        raise BadRequest("say why; it is written to the audit topic", field="reason")
    answer = installation.keepers.ask(
        name, "extend", {"scope": scope, "by_ms": by_ms}, who=who, reason=reason, wait_seconds=ANSWER_SECONDS
    )
    if answer.outcome != "done":
        raise Refused(f"the keeper of {name} refuses: {answer.detail}")
    return int(answer.content.get("extended_ms", by_ms))
