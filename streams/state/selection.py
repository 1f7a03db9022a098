"""Which dead letters a person means: the same filter for plans on the command line and for the keeper's jobs."""

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
"""A letter that failed so many replays is left for a person."""


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """What a selection looks at. `event_type` and `event_id` are empty where the value does not tell them."""

    cause: str
    fingerprint: str
    verdict: Verdict
    event_type: str = ""
    event_id: str = ""

    @classmethod
    def of(cls, headers: AnyHeaders, event_type: str = "", event_id: str = "") -> LetterFacts:
        """From a letter's headers, and what was decoded of its value."""
        return cls(
            (header_of(headers, CAUSE_HEADER) or b"").decode("ascii", "replace"),
            (header_of(headers, FINGERPRINT_HEADER) or b"").decode("ascii", "replace"),
            verdict_of(headers) or Verdict(),
            event_type,
            event_id,
        )


class Selection(BaseModel):
    """Filters; all that are given must hold. Times are milliseconds since 1970, of parking, `until` exclusive.

    `letters` is `rejected` or `credentials.<scope>`: the latter are selected by `until` alone, for only a prefix of
    them may leave. `again` takes letters that are settled already, too.
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
        """Whether the value must be looked at for its event type."""
        return bool(self.event_types)

    @property
    def needs_event_id(self) -> bool:
        """Whether the value must be decoded for its event id."""
        return bool(self.event_ids)

    def takes(self, facts: LetterFacts) -> bool:
        """Whether these filters mean this letter; the limit, and what is settled, are the caller's affair."""
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
        """As a request or a job carries it."""
        return self.model_dump(mode="json", exclude_defaults=True)
