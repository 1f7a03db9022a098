"""What happens in the world of the way back only: vendors send, Kafka is away, scratch files are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.simulation import acts
from tests.simulation.acts import Act

GroupName = Literal["cohorts/7", "cohorts/8", "cohorts/9", "both/7"]


@dataclass(frozen=True, slots=True)
class Batch:
    """mParticle: a user's attributes (None deletes one), and events by their numbers."""

    user: int
    attributes: tuple[tuple[str, str | None], ...] = ()
    events: tuple[int, ...] = ()
    has_email: bool = False
    """One that Braze refuses, though it may be merged with what it takes."""


@dataclass(frozen=True, slots=True)
class Broken:
    """mParticle: an item that no retry makes whole."""

    number: int


@dataclass(frozen=True, slots=True)
class Copied:
    """Mixpanel: a page of a full copy of a cohort."""

    group: GroupName
    session: int
    page: int
    pages: int
    users: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Mixpanel: users joined a cohort, or left it."""

    group: GroupName
    session: int
    change: Literal["add_members", "remove_members"]
    users: tuple[int, ...]


Asked = Batch | Broken | Copied | Moved


@dataclass(frozen=True, slots=True)
class Send:
    """Vendors have these requests to send, each vendor its own in this order."""

    requests: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The next commits of a receiver get no answer from Kafka; each had its effect, or had not."""

    process: str
    has_effect: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """How the world is made. `in_files`: sinks remember in scratch files; in memory, where no act says so.
    `parks_in_doubt`: events whose answer is lost become letters; they are sent again, where no act says so."""

    in_files: bool = False
    parks_in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class LoseScratch:
    """The process finds none of its scratch files when it starts the next time, or damaged ones."""

    process: str
    is_damaged: bool = False


WayAct = Act | Send | Unreachable | Begin | LoseScratch

FAULTS: tuple[Any, ...] = (*acts.FAULTS, Unreachable, LoseScratch)
