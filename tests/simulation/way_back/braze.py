"""Braze of the simulated world, the emulated one, and the line to it: answers are late, wrong, or lost on their way."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import orjson

from streams.delivery.contract import NoResponse, Request, Response
from streams.emulators.braze.options import BrazeOptions, Limits
from streams.emulators.braze.server import BrazeServer
from streams.emulators.call import Call
from streams.testing.clock import MovableClock
from tests.simulation.vendor import REQUEST_SECONDS_MAX, TAKEN_UNHEARD, FaultKind, require
from tests.simulation.way_back import names
from tests.simulation.wires import JSON

IN_DOUBT: frozenset[FaultKind] = frozenset({"500", "503", "lost", "unreachable", "garbage", "500 after"})
"""Nobody knows by these answers whether Braze took what was sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, as Braze sees it."""

    scope: str
    users: frozenset[str]
    events: tuple[str, ...]
    objects: int

    @classmethod
    def of(cls, request: Request) -> Sent:
        content: Any = orjson.loads(request.body)
        if request.url.endswith("/users/track"):
            arrays = [content.get(array, ()) for array in ("attributes", "events", "purchases")]
            users = frozenset(each["external_id"] for items in arrays for each in items)
            return cls("default", users, tuple(each["name"] for each in arrays[1]), sum(map(len, arrays)))
        changes = content.get("cohort_changes", ())
        users = frozenset(user for change in changes for user in change["user_ids"])
        return cls("cohorts", users, (), len(users))


class Braze:
    """What a sink and its keeper can tell of Braze."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._server = BrazeServer(BrazeOptions(limits=Limits(requests_per_window=10**9), users=names.USERS))
        self.dead: set[str] = set()
        """Scopes whose key is refused."""
        self.probe_statuses: dict[str, int] = {}
        """What probes of a scope get, where it is not what the key deserves."""
        self.latency_seconds = 0.0
        self.faults: deque[FaultKind] = deque()
        """What becomes of the next requests, one each."""
        self.faulted = 0
        self.events: Counter[str] = Counter()
        """By name, how often Braze has it."""
        self.doubled: Counter[str] = Counter()
        """By name, how often Braze has an event too often."""
        self.in_doubt = 0
        """Events in requests whose answer leaves it open whether Braze took them."""

    def set(self, scope: str, *, is_dead: bool | None = None, probe_status: int | None = None) -> None:
        """The key of a scope dies or is fixed; a probe's own status holds until it is set again."""
        if is_dead is not None:
            (self.dead.add if is_dead else self.dead.discard)(scope)
        if probe_status is None:
            self.probe_statuses.pop(scope, None)
        else:
            self.probe_statuses[scope] = probe_status

    def probed(self, request: Request) -> Response | NoResponse:
        """The answer to a keeper's probe."""
        sent = Sent.of(request)
        require(sent.users <= {names.SETTINGS.probe_user}, "a keeper sent what is no probe")
        status = self.probe_statuses.get(sent.scope, 401 if sent.scope in self.dead else 200)
        if not status:
            return NoResponse("no answer in time")
        return self._answer(request) if status == 200 else _refusal(status)

    def sent(self, request: Request, sent: Sent) -> Response | NoResponse:
        """The answer to a sink's request."""
        is_late = self.latency_seconds >= REQUEST_SECONDS_MAX
        fault: FaultKind | None = self.faults.popleft() if self.faults else ("lost" if is_late else None)
        if fault == "413" and sent.objects < 2:
            fault = None  # what is too large alone is refused for good
        self.faulted += fault is not None
        if sent.scope in self.dead:
            fault = "unreachable" if fault in TAKEN_UNHEARD else fault or "401"
        if fault in IN_DOUBT or is_late:
            self.in_doubt += len(sent.events)
        match fault:
            case None:
                return self._take(request, sent)
            case "lost" | "garbage" | "500 after":
                answer = self._take(request, sent)
                if fault == "garbage":
                    return Response(answer.status, answer.headers, answer.body[: len(answer.body) // 2])
                return NoResponse("no answer in time") if fault == "lost" else _refusal(500)
            case "unreachable":
                return NoResponse("could not connect")
            case _:
                return _refusal(int(fault))

    def users(self) -> dict[str, Any]:
        """By external id, what Braze has of each user."""
        view = self._server.view("query")
        assert view is not None
        return {row["external_id"]: row for row in view["rows"]}

    def _take(self, request: Request, sent: Sent) -> Response:
        answer = self._answer(request)
        if 200 <= answer.status < 300:
            for event in sent.events:
                self.doubled[event] += self.events[event] > 0
                self.events[event] += 1
        return answer

    def _answer(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = request.url.removeprefix(names.BASE_URL)
        answer = self._server.receive(Call("POST", path, {}, headers, request.body, "", None), self._clock.epoch_ms())
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


def _refusal(status: int) -> Response:
    return Response(status, JSON, b'{"message":"not now"}')
