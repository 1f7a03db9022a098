"""May a credential scope send now? Each scope has one state machine, and only it answers this question.

| event | open | backing off | held | parking |
|---|---|---|---|---|
| `Succeeded` | open | open, if it was sent after the wait began | held, failures forgotten | parking |
| `Failed` | backing off | a longer wait, if sent after the wait began; else `Retry-After` | held | parking |
| `CredentialsRefused` | held | held | held, by the newest refusal | parking |
| `Cleared` | backing off | a longer wait | backing off | parking |
| `Invalid` | parking | parking | parking | parking, by the first evidence |
| `Valid` | open | open | open | open |
| `Suspended` | stopped | stopped | stopped | stopped, and parking again after `Running` |
| `Running` | open | backing off | held | parking |

Stopped: the gate remembers its state of before. An event changes that state by the table; `Suspended` changes the
reason. `Running` ends it: a gate that was parking parks again, any other is open.

Open sends as many requests as its pace allows. Backing off sends one at a time, from `next_try` on. Held waits for the
keeper, and nothing is sent or parked. Parking parks what comes. Stopped sends and parks nothing.
Seconds are of the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import assert_never

from streams.delivery.backoff import asked_seconds, wait_seconds


@dataclass(frozen=True, slots=True)
class Open:
    """Nothing stands in the way."""


@dataclass(frozen=True, slots=True)
class BackingOff:
    """Failing since `since`; the newest answer is `status` (0: none came) and `detail`; this wait began at `began`."""

    failures: int
    since: float
    began: float
    next_try: float
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Held:
    """The keeper looks into a 401 or 403."""

    status: int
    detail: str
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Parking:
    """The scope's credentials are INVALID; this is the evidence."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The connector is suspended, or asks its keeper to be; `underlying` is what the scope's own state is."""

    reason: str
    underlying: Underlying


Underlying = Open | BackingOff | Held | Parking
"""States of the scope itself."""
State = Underlying | Stopped


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An answer that accounts for its records, to a request that was sent at `sent_at`."""

    sent_at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The destination is at fault. `failures` are those of the batch, which may have failed more often than others."""

    sent_at: float
    now: float
    status: int
    detail: str
    failures: int = 1
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class CredentialsRefused:
    """401 or 403."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """The keeper's probe was accepted though traffic was refused."""

    now: float


@dataclass(frozen=True, slots=True)
class Invalid:
    """The keeper's probe was refused too."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Valid:
    """The credentials are good again."""


@dataclass(frozen=True, slots=True)
class Suspended:
    """Nothing is sent for the whole connector."""

    reason: str


@dataclass(frozen=True, slots=True)
class Running:
    """The connector runs again."""


Event = Succeeded | Failed | CredentialsRefused | Cleared | Invalid | Valid | Suspended | Running


def moved(state: State, event: Event, base_seconds: float, random: Random) -> State:
    """The state after the event, by the table. Waits are spread by `random`, from `base_seconds` up."""
    if isinstance(event, Suspended):
        return Stopped(event.reason, state.underlying if isinstance(state, Stopped) else state)
    if isinstance(state, Stopped):
        if isinstance(event, Running):
            return state.underlying if isinstance(state.underlying, Parking) else Open()
        return replace(state, underlying=_moved(state.underlying, event, base_seconds, random))
    return _moved(state, event, base_seconds, random)


def _moved(state: Underlying, event: Event, base_seconds: float, random: Random) -> Underlying:
    match event:
        case Valid():
            return Open()
        case Running() | Suspended():
            return state
        case Invalid(status, detail):
            return state if isinstance(state, Parking) else Parking(status, detail)
    if isinstance(state, Parking):
        return state
    match event:
        case CredentialsRefused(status, detail):
            return Held(status, detail, _failures(state))
        case Succeeded():
            return _succeeded(state, event)
        case Failed():
            return _failed(state, event, base_seconds, random)
        case Cleared(now):
            failures = _failures(state) + 1
            wait = wait_seconds(base_seconds, failures, random)
            status, detail = (0, "") if isinstance(state, Open) else (state.status, state.detail)
            since = state.since if isinstance(state, BackingOff) else now
            return BackingOff(failures, since, now, now + wait, status, detail)
        case _:
            assert_never(event)


def _failures(state: Open | BackingOff | Held) -> int:
    return 0 if isinstance(state, Open) else state.failures


def _succeeded(state: Open | BackingOff | Held, event: Succeeded) -> Underlying:
    """A request that was in flight before the wait began tells nothing new."""
    if isinstance(state, BackingOff):
        return Open() if event.sent_at >= state.began else state
    return replace(state, failures=0) if isinstance(state, Held) else state


def _failed(state: Open | BackingOff | Held, event: Failed, base_seconds: float, random: Random) -> Underlying:
    """Requests that were in flight together fail together: only the first of them lengthens the wait."""
    if isinstance(state, Held):
        return state
    if isinstance(state, BackingOff) and event.sent_at < state.began:
        next_try = max(state.next_try, event.now + asked_seconds(event.retry_after))
        return replace(state, next_try=next_try, status=event.status, detail=event.detail)
    failures = _failures(state) + 1
    wait = wait_seconds(base_seconds, max(failures, event.failures), random, event.retry_after)
    since = state.since if isinstance(state, BackingOff) else event.now
    return BackingOff(failures, since, event.now, event.now + wait, event.status, event.detail)


class Gate:
    """One scope's state, moved by answers (its lane) and by the keeper's decisions (the sink's gates)."""

    __slots__ = ("_base_seconds", "_random", "state")

    def __init__(self, base_seconds: float, random: Random) -> None:
        self.state: State = Open()
        self._base_seconds = base_seconds
        self._random = random

    def take(self, event: Event) -> State:
        """Move by an event; gives the state after it."""
        self.state = moved(self.state, event, self._base_seconds, self._random)
        return self.state

    @property
    def underlying(self) -> Underlying:
        """The scope's own state, whether its connector is stopped or not."""
        return self.state.underlying if isinstance(self.state, Stopped) else self.state

    def requests_max(self, pace: int) -> int:
        """How many requests may be in flight, where the pace allows so many."""
        match self.state:
            case Open():
                return pace
            case BackingOff():
                return 1
            case Held() | Parking() | Stopped():
                return 0

    def closed_until(self) -> float:
        """When the wait is over, where time alone decides."""
        return self.state.next_try if isinstance(self.state, BackingOff) else 0.0

    def back_off(self) -> BackingOff | None:
        """The back-off that is under way, if any."""
        return self.state if isinstance(self.state, BackingOff) else None
