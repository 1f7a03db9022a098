"""Records that no topic of ours takes, not even as dead letters: said in the audit, with their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.delivery.letter import Origin

PASSED = "records passed that Kafka does not take"
PLACES_MAX = 100
"""Places that a line of the audit names."""


def passed_line(who: str, at_ms: int, passed: Sequence[tuple[Origin, str]]) -> dict[str, Any]:
    """The audit's line on records that are in no topic of ours."""
    return {
        "v": 1,
        "at": at_ms,
        "who": who,
        "what": PASSED,
        "why": passed[0][1],
        "count": len(passed),
        "records": places_of([origin for origin, _ in passed]),
    }


def places_of(passed: Sequence[Origin]) -> list[str]:
    """The places that a line of the audit names."""
    return [origin.to_header().decode() for origin in passed[:PLACES_MAX]]
