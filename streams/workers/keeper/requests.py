"""Requests to the keeper: orders of people, and suspicions of sinks that concern the connector as a whole."""

from __future__ import annotations

from typing import Any

import structlog

from streams.state.audit import Answered, Stopped
from streams.state.credentials import Outcome, outcome_of, resumed, suspended
from streams.state.records import GROUP_ORDERS, Answer, Record, Request, ScopeState, key
from streams.state.state_view import CONNECTOR_SCOPE
from streams.workers.keeper.forget_job import Forgetting
from streams.workers.keeper.group_orders import GroupOrders, Ordered
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.lease import Lease
from streams.workers.keeper.probes import Probes

log = structlog.get_logger(__name__)

ANSWER_MS_MAX = 3_600_000
"""Answers are removed after an hour: the one that asked has read them, or stopped waiting."""
PROBE_MS_MAX = 35_000
"""A destination that has not answered a probe by then says nothing."""

Changes = dict[str, Record | None]


class Requests:
    """Answers requests in the order of the log, each in one transaction with what it changes."""

    def __init__(
        self, probes: Probes | None, jobs: Jobs, groups: GroupOrders, forgetting: Forgetting | None = None
    ) -> None:
        self._probes = probes
        self._jobs = jobs
        self._groups = groups
        self._forgetting = forgetting
        self._probing_since: dict[str, int] = {}
        """Requests for a probe, and when this keeper saw them, by its own clock."""

    def begin(self) -> None:
        """A probe that was asked for is asked again: its request stands without an answer."""
        self._probing_since.clear()

    def step(self, lease: Lease) -> bool:
        return self._suspend(lease) or self._answer(lease) or self._forget(lease)

    def _suspend(self, lease: Lease) -> bool:
        """A sink found the configuration at fault, or too many records refused."""
        whole = {place: one for place, one in lease.view.suspects.items() if place[0] == CONNECTOR_SCOPE}
        if not whole:
            return False
        suspect = min(whole.values(), key=lambda one: one.at)
        before = lease.view.state
        after = suspended(before, suspect.what, suspect.detail, "sink", lease.now())
        changes: Changes = {key("suspect", lease.connector, *place): None for place in whole}
        changes[key("connector", lease.connector)] = after
        line = Stopped(by=suspect.what, why=suspect.detail)
        lease.commit(changes, audit=[line] if after is not before else [])
        if after is not before:
            log.error(
                "connector SUSPENDED",
                connector=lease.connector,
                by=suspect.what,
                reason=suspect.detail,
                next_step=f"fix it, then: streams connectors resume {lease.connector}",
            )
        return True

    def _answer(self, lease: Lease) -> bool:
        for request_id, request in lease.view.requests.items():
            decision = self._decide(lease, request_id, request)
            if decision is None:
                continue  # a probe that is under way
            changes, answer, records = decision
            changes[key("answer", lease.connector, request_id)] = answer
            changes[key("request", lease.connector, request_id)] = None
            line = Answered(
                what=request.what,
                who=request.who,
                why=request.reason,
                arguments={name: value for name, value in request.arguments.items() if name != "salt"},
                outcome=answer.outcome,
                detail=answer.detail,
            )
            lease.commit(changes, records=records, audit=[line])
            log.info(
                "request answered",
                connector=lease.connector,
                what=request.what,
                who=request.who,
                outcome=answer.outcome,
                detail=answer.detail,
            )
            return True
        return False

    def _decide(self, lease: Lease, request_id: str, request: Request) -> Ordered | None:
        if request.what in GROUP_ORDERS and lease.now() <= request.expires:
            return self._groups.order(lease, request_id, request)
        if request.what == "forget" and self._forgetting is not None and lease.now() <= request.expires:
            return self._forgetting.order(lease, request_id, request)
        found = self._changed(lease, request_id, request)
        return None if found is None else (*found, ())

    def _changed(self, lease: Lease, request_id: str, request: Request) -> tuple[Changes, Answer] | None:
        if lease.now() > request.expires and request_id not in self._probing_since:
            return {}, Answer(outcome="refused", detail="the request expired before a keeper saw it; are clocks right?")
        match request.what:
            case "suspend" | "resume" | "extend" | "probe" if self._probes is None:
                return {}, Answer(outcome="refused", detail=f"{lease.connector} has no destination to {request.what}")
            case "suspend":
                return self._suspended(lease, request)
            case "resume":
                return self._resumed(lease, request)
            case "extend":
                return self._extended(lease, request)
            case "probe":
                return self._probed(lease, request_id, request)
            case _:
                return self._jobs.accept(lease, request_id, request)

    def _suspended(self, lease: Lease, request: Request) -> tuple[Changes, Answer]:
        state = lease.view.state
        if state.state == "SUSPENDED":
            return {}, Answer(
                outcome="refused", detail=f"{lease.connector} is SUSPENDED already, by {state.by}: {state.reason}"
            )
        after = suspended(state, "operator", request.reason, request.who, lease.now())
        return {key("connector", lease.connector): after}, Answer(outcome="done")

    def _resumed(self, lease: Lease, request: Request) -> tuple[Changes, Answer]:
        state = lease.view.state
        if state.state == "RUNNING":
            return {}, Answer(outcome="refused", detail=f"{lease.connector} is RUNNING already")
        invalid = [scope.since for scope in lease.view.scopes.values() if scope.state == "INVALID"]
        keep_since = min(invalid, default=lease.now())
        after = resumed(state, request.who, request.reason, lease.now(), keep_since)
        changes: Changes = {key("suspect", lease.connector, *place): None for place in lease.view.suspects}
        return {**changes, key("connector", lease.connector): after}, Answer(outcome="done")

    def _extended(self, lease: Lease, request: Request) -> tuple[Changes, Answer]:
        scope, by_ms = request.arguments.get("scope"), request.arguments.get("by_ms")
        if not isinstance(scope, str) or not isinstance(by_ms, int) or by_ms <= 0:
            return {}, Answer(outcome="refused", detail="extend needs a scope, and a duration of more than 0")
        state = lease.view.scope(scope)
        if state.state != "INVALID":
            return {}, Answer(outcome="refused", detail=f"scope {scope} is not INVALID: no deadline runs")
        after = state.model_copy(update={"extended_ms": state.extended_ms + by_ms, "overdue": ""})
        return {key("scope", lease.connector, scope): after}, Answer(
            outcome="done", content={"extended_ms": after.extended_ms}
        )

    def _probed(self, lease: Lease, request_id: str, request: Request) -> tuple[Changes, Answer] | None:
        """Wait until every scope was probed after the request; a destination that does not answer says nothing."""
        assert self._probes is not None
        scopes = self._scopes(request)
        unknown = [scope for scope in scopes if scope not in self._probes.scopes]
        if unknown:
            there_are = ", ".join(self._probes.scopes)
            return {}, Answer(outcome="refused", detail=f"there is no scope {unknown[0]}; there are {there_are}")
        if request_id not in self._probing_since:
            self._probing_since[request_id] = lease.now()
            self._probes.force(scopes)
        since = self._probing_since[request_id]
        is_missing = any(lease.view.scope(scope).probe_began < since for scope in scopes)
        if is_missing and lease.now() <= since + PROBE_MS_MAX:
            return None
        del self._probing_since[request_id]
        said = {scope: _said(lease.view.scope(scope), since) for scope in scopes}
        return {}, Answer(outcome="done", content=said)

    def _scopes(self, request: Request) -> list[str]:
        assert self._probes is not None
        named = request.arguments.get("scopes")
        return [str(scope) for scope in named] if isinstance(named, list) and named else list(self._probes.scopes)

    def _forget(self, lease: Lease) -> bool:
        old = [name for name, answer in lease.view.answers.items() if lease.now() - answer.at > ANSWER_MS_MAX]
        if old:
            lease.commit({key("answer", lease.connector, name): None for name in old})
        return bool(old)


def _said(scope: ScopeState, asked_at: int) -> dict[str, Any]:
    if scope.probe is None or scope.probe_began < asked_at:
        return {"outcome": Outcome.SILENT.value, "status": 0, "detail": "no answer in time"}
    outcome = outcome_of(scope.probe.status)
    return {"outcome": outcome.value, "status": scope.probe.status, "detail": scope.probe.detail}
