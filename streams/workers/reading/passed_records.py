"""Records that no topic of ours takes, not even as dead letters: said in the audit, with their places."""

from __future__ import annotations

from collections.abc import Sequence

from streams.delivery.letter import Origin
from streams.state.audit import Passed

PLACES_MAX = 100
"""Places that a line of the audit names."""


def passed_line(who: str, connector: str, at_ms: int, passed: Sequence[tuple[Origin, str]]) -> Passed:
    """The audit's line on records that are in no topic of ours."""
    line = Passed(why=passed[0][1], count=len(passed), records=places_of([origin for origin, _ in passed]))
    return line.stamped(at_ms, who, connector)


def places_of(passed: Sequence[Origin]) -> tuple[str, ...]:
    """The places that a line of the audit names."""
    return tuple(origin.to_header().decode() for origin in passed[:PLACES_MAX])
