"""What holds a sink back: its keeper's decisions, and its own suspicions until the keeper has looked into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from streams.delivery.flood import FloodBreaker, FloodRules
from streams.delivery.gate import Gate, Invalid, Parking, Running, Stopped, Suspended, Valid
from streams.delivery.lane import Judged
from streams.ports.clock import Clock
from streams.state.records import ConnectorState, Suspect
from streams.state.standing import CONNECTOR_SCOPE
from streams.workers.sink.committer import SinkCommitter
from streams.workers.sink.state_view import Following

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Relief:
    """Scopes that may be sent to again: `at_once`, or `after_a_wait` where traffic was refused though a probe was not.

    False where there are none.
    """

    at_once: tuple[str, ...] = ()
    after_a_wait: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.at_once or self.after_a_wait)


class Restraint:
    """Moves the gates of the connector's scopes as the keeper decides; their lanes move them as answers come."""

    def __init__(
        self,
        connector: str,
        gates: Mapping[str, Gate],
        following: Following,
        committer: SinkCommitter,
        flood: FloodRules,
        clock: Clock,
    ) -> None:
        self.gates = gates
        self._following = following
        self._committer = committer
        self._clock = clock
        self._settled = FloodBreaker(flood)
        self._encoded = FloodBreaker(flood)
        self._is_judging = False
        committer.on_unsendable = self._unsendable
        self._suspicions: dict[str, Suspect] = {}
        self._obeyed_since = -1
        self._log = log.bind(connector=connector)

    @property
    def is_stopped(self) -> bool:
        """Whether the whole connector sends and parks nothing."""
        return any(isinstance(gate.state, Stopped) for gate in self.gates.values())

    @property
    def invalid(self) -> dict[str, Parking]:
        """Scopes whose records are parked, and what the destination said."""
        return {scope: gate.state for scope, gate in self.gates.items() if isinstance(gate.state, Parking)}

    def start(self) -> None:
        """Read the state to its end: nothing is sent before. Raises `KafkaUnreachable` and `StateError`."""
        self._following.start()
        self._obey()

    def look(self) -> Relief:
        """Take over what the keeper decided, as far as it has come."""
        return self._obey() if self._following.poll() else Relief()

    def catch_up(self) -> Relief:
        """Take over what the keeper decided until now. A round trip. Raises `KafkaUnreachable`."""
        return self._obey() if self._following.catch_up() else Relief()

    def suspect(self, scope: str, suspect: Suspect) -> None:
        """Have the keeper look into it; until it has, nothing is sent for the scope, and nothing parked."""
        if self._is_invalid(scope) or scope in self._suspicions or self._following.awaits(scope):
            return
        self._suspicions[scope] = suspect
        self._log.warning(
            f"{suspect.what} suspected", scope=scope, status=suspect.status, detail=suspect.detail, awaits="the keeper"
        )

    def stop(self, suspect: Suspect) -> None:
        """Send nothing any more, and have the keeper suspend the connector."""
        if self._following.standing.state.state != "SUSPENDED":
            self._suspend(suspect.detail or suspect.what)
            self.suspect(CONNECTOR_SCOPE, suspect)

    def _suspend(self, reason: str) -> None:
        for gate in self.gates.values():
            gate.take(Suspended(reason))

    def _is_invalid(self, scope: str) -> bool:
        return scope in self.gates and isinstance(self.gates[scope].standing, Parking)

    def tell(self) -> None:
        """Write what is suspected to the state; what cannot be written now is written at the next call."""
        if not self._suspicions:
            return
        now = self._clock.epoch_ms()
        said = {scope: one.model_copy(update={"at": now}) for scope, one in self._suspicions.items()}
        if self._committer.tell({self._following.suspicion_key(scope): one for scope, one in said.items()}):
            for scope in said:
                self._following.told(scope)
            self._suspicions.clear()

    def judged(self, judged: Judged) -> None:
        """An answer settled these: watch for a flood before the next answer is looked at."""
        if judged.records:
            self._watch_for_flood(judged.records, judged.rejected)

    def encoded(self, records: int, rejected: int) -> None:
        """So many records were read, so many of them rejected by the mapping."""
        now = self._clock.monotonic()
        self._encoded.add(records, rejected, now)
        self._is_judging |= rejected > 0 and self._encoded.is_tripped(now)

    def all_settled(self) -> None:
        """All that was read is settled and judged: what is read from now on is judged anew."""
        if self._is_judging:
            self._is_judging = False
            self._encoded.reset()

    @property
    def may_read(self) -> bool:
        """Not where the connector is stopped, nor while it is judged whether what was read is a flood."""
        return not self._is_judging and not self.is_stopped

    def _unsendable(self, records: int) -> None:
        """Rejections of the mapping count beside answers only now: all that was read before them has its answer."""
        self._watch_for_flood(records, records)

    def _watch_for_flood(self, records: int, rejected: int) -> None:
        now = self._clock.monotonic()
        self._settled.add(records, rejected, now)
        if rejected and not self.is_stopped and self._settled.is_tripped(now):
            self.stop(Suspect(what="flood", detail=self._settled.reason()))

    def _obey(self) -> Relief:
        standing = self._following.standing
        answered = self._following.take_answered()
        at_once: dict[str, None] = {}
        after_a_wait = []
        if standing.state.since != self._obeyed_since or CONNECTOR_SCOPE in answered:
            self._obeyed_since = standing.state.since
            if self._obey_connector(standing.state):
                at_once.update(dict.fromkeys(self.gates))
        for scope, gate in self.gates.items():
            state = standing.scope(scope)
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
        return Relief(tuple(at_once), tuple(after_a_wait))

    def _obey_connector(self, state: ConnectorState) -> bool:
        """Whether the connector is RUNNING again."""
        if state.state == "SUSPENDED":
            self._suspend(state.reason or f"suspended by {state.by}")
            self._log.warning("connector SUSPENDED: nothing is sent", by=state.by, reason=state.reason)
            return False
        if not self.is_stopped:
            return False
        for gate in self.gates.values():
            gate.take(Running())
        self._suspicions.clear()
        self._settled.reset()
        self._encoded.reset()
        self._is_judging = False
        self._log.info("connector RUNNING")
        return True
