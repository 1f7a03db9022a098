"""The destination of the simulated world, and the line to it: answers are late, wrong, or lost on their way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.http import Answer
from streams.testing.clock import MovableClock
from tests.simulation.wires import JSON, PROBE, Wire

FaultKind = Literal["429", "500", "503", "lost", "unreachable", "401", "413", "garbage", "500 after"]
FAULTS: tuple[FaultKind, ...] = ("429", "500", "503", "lost", "unreachable", "401", "413", "garbage", "500 after")
TAKEN_UNHEARD: frozenset[FaultKind] = frozenset({"lost", "garbage", "500 after"})
"""The destination took the events, and nobody hears of it."""
REQUEST_SECONDS_MAX = 30.0
"""Then a request that was not answered counts as failed."""


class Broken(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, what: Callable[[], str] | str) -> None:
    if not holds:
        raise Broken(what if isinstance(what, str) else what())


@dataclass(slots=True)
class Vendor:
    """The destination, as far as a sink can tell."""

    clock: MovableClock
    wire: Wire
    dead: set[str] = field(default_factory=set)
    """Scopes whose key is refused."""
    probe_statuses: dict[str, int] = field(default_factory=dict)
    """What probes of a scope get, where it is not what the key deserves."""
    latency_seconds: float = 0.0
    faults: deque[FaultKind] = field(default_factory=deque)
    """What becomes of the next requests with events, one each."""
    taken: set[str] = field(default_factory=set)
    doubled: set[str] = field(default_factory=set)
    """Events of which there are several records, because a topic was made again."""
    disturbances: int = 0
    """Moments after which something may rightly be sent once more: a process was killed, a partition moved."""
    replays: int = 0
    """Orders of people that send refused letters once more."""
    faulted: int = 0
    heard: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """By sender, and event that an answer to it settled: the disturbances and replays at that time."""
    unheard: dict[str, set[str]] = field(default_factory=dict)
    """By sender: events whose last answer settled nothing, so it rightly sends them again."""
    partitions: dict[str, int] = field(default_factory=dict)
    """Where on the connector's topic the records of each event are."""
    taken_away: Counter[int] = field(default_factory=Counter)
    """How often each partition was taken away from its owner."""
    asked: dict[tuple[str, tuple[str, ...]], dict[str, int]] = field(default_factory=dict)
    """By sender and events of a request that may go again: how often the partition of each had been taken away when
    the request went for the first time."""
    refused: dict[str, list[list[int]]] = field(default_factory=dict)
    """By scope: from when to when (0: still) probes were refused."""

    def __post_init__(self) -> None:
        self.refused = {scope: [] for scope in self.wire.scopes}

    def set(self, scope: str, *, is_dead: bool | None = None, probe_status: int | None = None) -> None:
        """The key of a scope dies or is fixed; a probe's own status holds until it is set again."""
        if scope not in self.refused:
            return
        if is_dead is not None:
            (self.dead.add if is_dead else self.dead.discard)(scope)
        if probe_status is None:
            self.probe_statuses.pop(scope, None)
        else:
            self.probe_statuses[scope] = probe_status
        spans = self.refused[scope]
        would_refuse = self._probe_status(scope) in (401, 403)
        is_refusing = bool(spans) and not spans[-1][1]
        if would_refuse and not is_refusing:
            spans.append([self.clock.epoch_ms(), 0])
        elif is_refusing and not would_refuse:
            spans[-1][1] = self.clock.epoch_ms()

    def _probe_status(self, scope: str) -> int:
        return self.probe_statuses.get(scope, 401 if scope in self.dead else 200)

    def probed(self, request: Request) -> Response | NoResponse:
        """The answer to a keeper's probe."""
        require(set(self.wire.ids(request)) == {PROBE}, "a keeper sent events")
        status = self._probe_status(self.wire.scope(request))
        if not status:
            return NoResponse("no answer in time")
        return self.wire.judge([PROBE]).response if status == 200 else Response(status, JSON, b"{}")

    def sent(self, sender: str, request: Request) -> Response | NoResponse:
        """The answer to a sink's request."""
        ids, is_dead = self.wire.ids(request), self.wire.scope(request) in self.dead
        require(PROBE not in ids, "a sink sent a probe")
        is_late = self.latency_seconds >= REQUEST_SECONDS_MAX
        fault = self.faults.popleft() if self.faults else ("lost" if is_late else None)
        self.faulted += fault is not None
        own = self._own(sender, ids)
        self._require_due(sender, own)
        if is_dead and fault in TAKEN_UNHEARD:
            fault = "unreachable"
        if is_dead and fault is None:
            fault = "401"
        judgement = self.wire.judge(ids)
        if fault is not None or not judgement.is_final:
            self.unheard.setdefault(sender, set()).update(own)
        if fault in (None, "413") and not is_late:
            del self.asked[sender, tuple(ids)]  # settled, or taken apart: it does not go again
        match fault:
            case None:
                if judgement.is_final:
                    self.unheard.get(sender, set()).difference_update(own)
                    self.heard |= {(sender, one): (self.disturbances, self.replays) for one in own}
                self.taken.update(judgement.taken)
                return judgement.response
            case "lost" | "garbage" | "500 after":
                self.taken.update(judgement.taken)
                if fault == "garbage":
                    return self.wire.garbage()
                return NoResponse("no answer in time") if fault == "lost" else Response(500, JSON, b"{}")
            case "unreachable":
                return NoResponse("could not connect")
            case "401":
                return self._refusal()
            case "429" | "500" | "503" | "413":
                return Response(int(fault), JSON, b'{"error":"later"}')

    def _own(self, sender: str, ids: Sequence[str]) -> Set[str]:
        """The events of a request that its answer can settle.

        A request that failed is sent again with the same bytes while the sender has a partition of it still. For events
        of partitions that were taken away meanwhile its answer counts nowhere: who owns these reads them again, perhaps
        the same sender, before or after that answer.
        """
        now = {one: self.taken_away[self.partitions[one]] for one in ids}
        first = self.asked.get((sender, tuple(ids)), now)
        own = {one for one in ids if first[one] == now[one]}
        if own:
            self.asked[sender, tuple(ids)] = first
            return own
        # Of a request that lost all its partitions nothing is sent again: these events were read anew.
        self.asked[sender, tuple(ids)] = now
        return set(ids)

    def _require_due(self, sender: str, ids: Set[str]) -> None:
        """Nothing that an answer settled is sent again without a reason."""
        now = (self.disturbances, self.replays)
        for one in sorted(ids - self.unheard.get(sender, set()) - self.doubled):
            require(self.heard.get((sender, one)) != now, f"{one} was sent again though an answer had settled it")

    def _refusal(self) -> Response:
        return Response(401, JSON, b'{"error":"the key is refused"}')


class Line:
    """The transport of one process. Waiting for an answer takes time of the world."""

    def __init__(
        self,
        answer: Callable[[Request], Response | NoResponse],
        latency: Callable[[], float],
        clock: MovableClock,
    ) -> None:
        self._answer = answer
        self._latency = latency
        self._clock = clock
        self._coming: list[tuple[float, Answer]] = []

    def submit(self, ticket: int, request: Request) -> None:
        latency = self._latency()
        outcome = self._answer(request)
        if latency >= REQUEST_SECONDS_MAX:
            latency, outcome = REQUEST_SECONDS_MAX, NoResponse("no answer in time")
        self._coming.append((self._clock.monotonic() + latency, Answer(ticket, outcome, latency)))

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        found = self._take()
        if not found and timeout_seconds:
            self._clock.advance(timeout_seconds)
            found = self._take()
        return found

    def close(self) -> None:
        self._coming.clear()

    def _take(self) -> list[Answer]:
        now = self._clock.monotonic()
        found = [answer for at, answer in self._coming if at <= now]
        if found:
            self._coming = [(at, answer) for at, answer in self._coming if at > now]
        return found
