"""What can happen in the simulated world. An act holds all that it needs, so that a plan without some of its acts is a
plan, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.simulation.vendor import FaultKind
from tests.simulation.wires import DestinationName

EventKind = Literal["good", "bad", "no-user", "not-selected", "no-mapping", "undecodable", "large", "web"]
"""`bad` is refused by the destination by name; `large` is good, and larger than a topic takes while it is limited;
`web` is good, and has no feed at mParticle."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Which kind of destination the world has; Mixpanel, where no act says so."""

    destination: DestinationName


@dataclass(frozen=True, slots=True)
class Write:
    """Records on the Currents topic: kind and user of each. `first` is the number of the first, in the whole plan."""

    first: int
    events: tuple[tuple[EventKind, int], ...]
    partition: int


@dataclass(frozen=True, slots=True)
class Work:
    """A process takes so many steps of its worker, or of its keeper."""

    process: str
    steps: int
    keeper: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """All processes work in turn for so many seconds."""

    seconds: float
    step_seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class Pass:
    """Time goes by, and nobody works."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The process dies at the n-th call of a port from now on, before or after the call has its effect."""

    process: str
    calls: int
    is_after: bool


@dataclass(frozen=True, slots=True)
class Start:
    """Start the process, if it is not there."""

    process: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The process stops in the normal way."""

    process: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Another process takes the name of this one, which does not know it: a zombie."""

    process: str


@dataclass(frozen=True, slots=True)
class Wake:
    """The oldest zombie takes so many steps."""

    steps: int


@dataclass(frozen=True, slots=True)
class Expel:
    """The group goes on without this process, which was away for too long."""

    process: str


@dataclass(frozen=True, slots=True)
class RefuseCommits:
    """The group refuses so many commits."""

    group: str
    count: int


@dataclass(frozen=True, slots=True)
class Key:
    """A scope's key dies at the destination, or is fixed."""

    is_dead: bool
    scope: str = "default"


@dataclass(frozen=True, slots=True)
class Probes:
    """What probes get from now on; None: what the key deserves, 0: no answer."""

    status: int | None
    scope: str = "default"


@dataclass(frozen=True, slots=True)
class Faults:
    """What becomes of the next requests."""

    kinds: tuple[FaultKind, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take from now on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retain:
    """Retention deletes all records of a partition but the newest: so many offsets are kept."""

    topic: str
    partition: int
    keep: int


@dataclass(frozen=True, slots=True)
class Limit:
    """A topic takes no `large` records from now on, or takes them again."""

    topic: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class MakeAgain:
    """Somebody deletes a topic with all that is on it, and makes it again."""

    topic: str


@dataclass(frozen=True, slots=True)
class SetClock:
    """The clock of a process jumps: from now on it is before the world's by so many seconds, or behind it."""

    process: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """A person's order to the keeper. A job takes the letters that are there now."""

    what: Literal["suspend", "resume", "probe", "extend", "replay", "purge", "cancel"]
    scope: str = ""
    by_ms: int = 0
    letters: str = ""
    limit: int = 0

    @property
    def is_job(self) -> bool:
        return self.what in ("replay", "purge")


Act = (
    Connect
    | Write
    | Work
    | Run
    | Pass
    | Kill
    | Start
    | Leave
    | Replace
    | Wake
    | Expel
    | RefuseCommits
    | Key
    | Probes
    | Faults
    | Latency
    | Retain
    | Limit
    | MakeAgain
    | SetClock
    | Ask
)

FAULTS: tuple[Any, ...] = (
    Kill,
    Leave,
    Replace,
    Expel,
    RefuseCommits,
    Key,
    Probes,
    Faults,
    Latency,
    Retain,
    Limit,
    MakeAgain,
    SetClock,
    Ask,
)
"""Acts that are counted as faults; those on the line count once for each request."""
