"""What closes and opens a sink's gates: its keeper's decisions, and its own suspicions until the keeper has looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from streams.delivery.flood import FloodRules
from streams.delivery.gate import Gate, Invalid, Parking, Running, Stopped, Suspended, Valid
from streams.delivery.lane import Judged
from streams.ports.clock import Clock
from streams.state.records import ConnectorState
from streams.state.state_view import CONNECTOR_SCOPE, StateView
from streams.state.worker_records import Suspect
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.flood_watch import FloodWatch
from streams.workers.sink.state_follower import StateFollower

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reopened:
    """Scopes that may be sent to again: `at_once`, or `after_a_wait` where traffic was refused though a probe was not.

    False where there are none.
    """

    at_once: tuple[str, ...] = ()
    after_a_wait: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.at_once or self.after_a_wait)


class Gates:
    """The gates of a connector's scopes: moved here as the keeper decides, and by their lanes as answers come."""

    def __init__(
        self,
        connector: str,
        by_scope: Mapping[str, Gate],
        follower: StateFollower,
        committer: SinkCommitter,
        flood: FloodRules,
        clock: Clock,
    ) -> None:
        self.by_scope = by_scope
        self._follower = follower
        self._committer = committer
        self._clock = clock
        self.flood = FloodWatch(flood, clock)
        committer.on_unsendable = self._unsendable
        self._suspicions: dict[str, Suspect] = {}
        self._obeyed_since = -1
        self._log = log.bind(connector=connector)

    @property
    def view(self) -> StateView:
        """The connector as the keeper's state has it, as far as it was read."""
        return self._follower.view

    @property
    def state_mark(self) -> str:
        """Stands for the state topic, once a keeper wrote to it; empty before."""
        return self._follower.mark

    @property
    def is_stopped(self) -> bool:
        """Whether the whole connector sends and parks nothing."""
        return any(isinstance(gate.state, Stopped) for gate in self.by_scope.values())

    @property
    def invalid(self) -> dict[str, Parking]:
        """Scopes whose records are parked, and what the destination said."""
        return {scope: gate.state for scope, gate in self.by_scope.items() if isinstance(gate.state, Parking)}

    def start(self) -> None:
        """Read the state to its end: nothing is sent before. Raises `KafkaUnreachable` and `StateError`."""
        self._follower.start()
        self._obey()

    def look(self) -> Reopened:
        """Take over what the keeper decided, as far as it has come."""
        return self._obey() if self._follower.poll() else Reopened()

    def catch_up(self) -> Reopened:
        """Take over what the keeper decided until now. A round trip. Raises `KafkaUnreachable`."""
        return self._obey() if self._follower.catch_up() else Reopened()

    def suspect(self, scope: str, suspect: Suspect) -> None:
        """Have the keeper look into it; until it has, nothing is sent for the scope, and nothing parked."""
        if self._is_invalid(scope) or scope in self._suspicions or self._follower.awaits(scope):
            return
        self._suspicions[scope] = suspect
        self._log.warning(
            f"{suspect.what} suspected", scope=scope, status=suspect.status, detail=suspect.detail, awaits="the keeper"
        )

    def stop(self, suspect: Suspect) -> None:
        """Send nothing any more, and have the keeper suspend the connector."""
        if self._follower.view.state.state != "SUSPENDED":
            self._suspend(suspect.detail or suspect.what)
            self.suspect(CONNECTOR_SCOPE, suspect)

    def _suspend(self, reason: str) -> None:
        for gate in self.by_scope.values():
            gate.take(Suspended(reason))

    def _is_invalid(self, scope: str) -> bool:
        return scope in self.by_scope and isinstance(self.by_scope[scope].underlying, Parking)

    def tell(self) -> None:
        """Write what is suspected to the state; what cannot be written now is written at the next call."""
        if not self._suspicions:
            return
        now = self._clock.epoch_ms()
        said = {scope: one.model_copy(update={"at": now}) for scope, one in self._suspicions.items()}
        if self._committer.tell({self._follower.suspicion_key(scope): one for scope, one in said.items()}):
            for scope in said:
                self._follower.told(scope)
            self._suspicions.clear()

    def judged(self, judged: Judged) -> None:
        """An answer settled these: watch for a flood before the next answer is looked at."""
        if judged.records:
            self._stop_a_flood(judged.records, judged.rejected)

    @property
    def may_read(self) -> bool:
        """Not where the connector is stopped, nor while a flood is suspected."""
        return self.flood.may_read and not self.is_stopped

    def _unsendable(self, records: int) -> None:
        """Rejections of the mapping count beside answers only now: all that was read before them has its answer."""
        self._stop_a_flood(records, records)

    def _stop_a_flood(self, records: int, rejected: int) -> None:
        """So many records were settled: where that is a flood, the connector is stopped."""
        reason = self.flood.settled(records, rejected)
        if reason and not self.is_stopped:
            self.stop(Suspect(what="flood", detail=reason))

    def _obey(self) -> Reopened:
        view = self._follower.view
        answered = self._follower.take_answered()
        at_once: dict[str, None] = {}
        after_a_wait = []
        if view.state.since != self._obeyed_since or CONNECTOR_SCOPE in answered:
            self._obeyed_since = view.state.since
            if self._obey_connector(view.state):
                at_once.update(dict.fromkeys(self.by_scope))
        for scope, gate in self.by_scope.items():
            state = view.scope(scope)
            if state.state == "INVALID":
                at_once.pop(scope, None)
                if not self._is_invalid(scope):
                    evidence = state.evidence
                    gate.take(Invalid(evidence.status, evidence.detail) if evidence else Invalid(401, ""))
                    self._log.error("credentials INVALID: records are parked", scope=scope)
            elif self._is_invalid(scope):
                gate.take(Valid())
                at_once[scope] = None
                self._log.info("credentials VALID: records are delivered", scope=scope)
            elif scope in answered and scope not in at_once:
                after_a_wait.append(scope)
        return Reopened(tuple(at_once), tuple(after_a_wait))

    def _obey_connector(self, state: ConnectorState) -> bool:
        """Whether the connector is RUNNING again."""
        if state.state == "SUSPENDED":
            self._suspend(state.reason or f"suspended by {state.by}")
            self._log.warning("connector SUSPENDED: nothing is sent", by=state.by, reason=state.reason)
            return False
        if not self.is_stopped:
            return False
        for gate in self.by_scope.values():
            gate.take(Running())
        self._suspicions.clear()
        self.flood.reset()
        self._log.info("connector RUNNING")
        return True
