"""What becomes of one letter that a job takes, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streams.delivery.account import RouterSkip, SourceCause
from streams.workers.keeper.lease import Outgoing

Targets = tuple[tuple[str, str], ...]
"""Connectors with their topics."""
LeftOut = Literal["replays"] | SourceCause
"""Why a letter that was meant stays where it is."""


@dataclass(frozen=True, slots=True)
class Leaves:
    """The letter is settled by these records, perhaps by none. `routed` and `skipped` count as the router does."""

    records: Sequence[Outgoing] = ()
    routed: Mapping[str, int] = field(default_factory=dict)
    skipped: RouterSkip | None = None


@dataclass(frozen=True, slots=True)
class Stays:
    """The letter stays a letter."""

    reason: LeftOut
