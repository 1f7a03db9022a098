"""Which dead letters a person selects. Plans on the command line and the keeper's jobs use the same filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from streams.delivery.letter import (
    CAUSE_HEADER,
    FINGERPRINT_HEADER,
    AnyHeaders,
    Verdict,
    header_of,
    verdict_of,
)
from streams.state.records import REJECTED

REPLAYS_MAX = 3
"""A letter that failed this many replays is not replayed again: a person must look at it."""


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """The facts that a selection needs. `event_type` and `event_id` are empty if the value does not tell them."""

    cause: str
    fingerprint: str
    verdict: Verdict
    event_type: str = ""
    event_id: str = ""

    @classmethod
    def of(cls, headers: AnyHeaders, event_type: str = "", event_id: str = "") -> LetterFacts:
        """The facts of a letter, from its headers and from what was decoded of its value."""
        return cls(
            (header_of(headers, CAUSE_HEADER) or b"").decode("ascii", "replace"),
            (header_of(headers, FINGERPRINT_HEADER) or b"").decode("ascii", "replace"),
            verdict_of(headers) or Verdict(),
            event_type,
            event_id,
        )


class Selection(BaseModel):
    """Filters. A letter must match all that are given. Times are of parking, in milliseconds since 1970; `until` is
    exclusive.

    `letters` is `rejected` or `credentials.<scope>`. The latter are selected only by `until`, because only the oldest
    of them may leave. `again` also selects letters that are settled already.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    letters: str = REJECTED
    causes: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    event_types: tuple[str, ...] = ()
    """Event types or globs."""
    fingerprints: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    limit: Annotated[int | None, Field(ge=1)] = None
    again: bool = False

    @property
    def needs_event_type(self) -> bool:
        """Whether the event type of the value is needed."""
        return bool(self.event_types)

    @property
    def needs_event_id(self) -> bool:
        """Whether the event id is needed: then the value must be decoded."""
        return bool(self.event_ids)

    def takes(self, facts: LetterFacts) -> bool:
        """Whether these filters select this letter. The caller handles the limit, and letters that are settled."""
        parked_at = facts.verdict.parked_at_ms
        return (
            (not self.causes or facts.cause in self.causes)
            and (self.since is None or parked_at >= self.since)
            and (self.until is None or parked_at < self.until)
            and (not self.fingerprints or facts.fingerprint in self.fingerprints)
            and (not self.event_types or any(fnmatchcase(facts.event_type, glob) for glob in self.event_types))
            and (not self.event_ids or facts.event_id in self.event_ids)
        )

    def to_arguments(self) -> Mapping[str, object]:
        """The form in a request or a job."""
        return self.model_dump(mode="json", exclude_defaults=True)
