"""What workers report of their work: per batch, transaction or commit, never per record; and that their loops go round.

The ports are implemented in `streams.adapters`; `UNMEASURED` is for who does not want to know. A meter never raises
and never waits: what it is told has happened already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.delivery.account import RouterCounts
from streams.delivery.batch import Batch
from streams.delivery.contract import Verdict
from streams.delivery.ledger import Parking
from streams.keeping.records import ConnectorState, ScopeState
from streams.workers.ports import Answer, Clock, Message

STANDSTILL_SECONDS_MAX = 180.0
"""A loop that has not gone round for this long is stuck: longer than the calls to a Kafka that is away may take in one
round (60 s for the offsets of a transaction, 60 s for its end, 20 s for answers under way), and shorter than the 300 s
after which the group gives its partitions to others."""
START_SECONDS_MAX = 180.0
"""From the start of the process to the first round: Kafka is waited for twice for 60 s."""
JOIN_SECONDS_MAX = 30.0
"""A member that is spare (more processes than partitions) is told nothing by the group protocol `consumer`; this long
after its first round it counts as one. Kafka answered before that round, or there had been none."""

TRACEPARENT_HEADER = "traceparent"


class RouterMeter(Protocol):
    """Of the router's transactions, one at a time."""

    def began(self, messages: Sequence[Message]) -> bytes:
        """A transaction with these records. Gives the `traceparent` of what it writes; empty where nobody traces it."""
        ...

    def committed(self, counts: RouterCounts) -> None:
        """The transaction was committed; these records it counted."""
        ...

    def lost(self, records: int) -> None:
        """Retention deleted these before the group began."""
        ...

    def aborted(self) -> None:
        """Nothing is left of the transaction."""
        ...


class SinkMeter(Protocol):
    """Of one connector's requests and commits."""

    def sent(self, ticket: int, batch: Batch[Message]) -> None:
        """The batch's request went out."""
        ...

    def answered(self, batch: Batch[Message], answer: Answer, verdict: Verdict) -> None:
        """What came of the request."""
        ...

    def committed(self, skipped: Mapping[str, int], letters: Sequence[Parking[Message]]) -> None:
        """Records skipped, by reason, and letters parked by a commit that was accepted."""
        ...

    def truncated(self, strings: int) -> None:
        """Strings that were cut to the destination's limit."""
        ...

    def lost(self, records: int) -> None:
        """Retention deleted these before they were read."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """How a connector stands, as its keeper tells it. Times are milliseconds since 1970."""

    state: ConnectorState
    scopes: Mapping[str, ScopeState]
    deadlines: Mapping[str, int]
    """When the first letter of each INVALID scope may be purged."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a keeper did to dead letters, and whom it told, since it said so last."""

    redriven: int
    replayed: int
    purged: Mapping[str, int]
    """By reason: `deadline`, `ordered` by a person, `expired` by age."""
    alerts: Mapping[str, int]
    """By kind: `invalid`, `half`, `most`, `suspended`."""


class KeeperMeter(Protocol):
    """Of one connector's keeper, on its own thread."""

    def in_office(self, is_held: bool) -> None: ...

    def stands(self, kept: Kept) -> None: ...

    def moved(self, moved: Moved) -> None: ...


class Unmeasured:
    """Every meter, for who does not want to know."""

    def began(self, _messages: Sequence[Message]) -> bytes:
        return b""

    def aborted(self) -> None: ...
    def sent(self, _ticket: int, _batch: Batch[Message]) -> None: ...
    def answered(self, _batch: Batch[Message], _answer: Answer, _verdict: Verdict) -> None: ...
    def committed(self, *_what: object) -> None: ...
    def truncated(self, _strings: int) -> None: ...
    def lost(self, _records: int) -> None: ...
    def in_office(self, _is_held: bool) -> None: ...
    def stands(self, _kept: Kept) -> None: ...
    def moved(self, _moved: Moved) -> None: ...


UNMEASURED = Unmeasured()


class Pulse:
    """Whether a process is alive (its loops go round) and ready (a member of its group, and not about to stop).

    Never whether Kafka or a destination is well: starting the process again would mend neither. Loops beat it from
    their threads; whoever asks does so from another.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._first_beat_at: float | None = None
        self._beats: dict[str, float] = {}
        self._has_joined = False
        self._is_stopping: Callable[[], bool] = lambda: False

    def beat(self, loop: str) -> None:
        """This loop begins another round."""
        now = self._clock.monotonic()
        if self._first_beat_at is None:
            self._first_beat_at = now
        self._beats[loop] = now

    def joined(self) -> None:
        """The group gave this process partitions."""
        self._has_joined = True

    def stops_when(self, is_stopping: Callable[[], bool]) -> None:
        """From when this is true on, the process is not ready any more."""
        self._is_stopping = is_stopping

    def standstill(self) -> str:
        """Which loop stands still, as a sentence; empty while all go round."""
        now = self._clock.monotonic()
        if not self._beats and now - self._started_at > START_SECONDS_MAX:
            return f"nothing has begun {now - self._started_at:.0f} s after the start"
        for loop, beat_at in list(self._beats.items()):
            if now - beat_at > STANDSTILL_SECONDS_MAX:
                return f"the {loop} stands still for {now - beat_at:.0f} s"
        return ""

    def unready(self) -> str:
        """Why the process is not ready, as a sentence; empty where it is."""
        if self._is_stopping():
            return "stopping"
        began = self._first_beat_at
        if self._has_joined or (began is not None and self._clock.monotonic() - began > JOIN_SECONDS_MAX):
            return ""
        return "not a member of its group yet: is Kafka there?"


class _NoClock:
    def monotonic(self) -> float:
        return 0.0

    def epoch_ms(self) -> int:
        return 0


NO_PULSE = Pulse(_NoClock())
"""Nobody asks."""
