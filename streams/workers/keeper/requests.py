"""Requests to the keeper: orders of people, and suspicions of sinks that concern the connector as a whole."""

from __future__ import annotations

from typing import Any

import structlog

from streams.state.audit import Answered, Stopped
from streams.state.credentials import Outcome, outcome_of, resumed, suspended
from streams.state.records import Answer, Record, Request, ScopeState, key
from streams.state.standing import CONNECTOR_SCOPE
from streams.workers.keeper.jobs.jobs import Jobs
from streams.workers.keeper.office import Office
from streams.workers.keeper.probes import Probes

log = structlog.get_logger(__name__)

ANSWER_MS_MAX = 3_600_000
"""Answers are removed after an hour: the one that asked has read them, or stopped waiting."""
PROBE_MS_MAX = 35_000
"""A destination that has not answered a probe by then says nothing."""

Changes = dict[str, Record | None]


class Asking:
    """Answers requests in the order of the log, each in one transaction with what it changes."""

    def __init__(self, probes: Probes | None, jobs: Jobs) -> None:
        self._probes = probes
        self._jobs = jobs
        self._probing_since: dict[str, int] = {}
        """Requests for a probe, and when this keeper saw them, by its own clock."""

    def begin(self) -> None:
        """A probe that was asked for is asked again: its request stands without an answer."""
        self._probing_since.clear()

    def step(self, office: Office) -> bool:
        return self._suspend(office) or self._answer(office) or self._forget(office)

    def _suspend(self, office: Office) -> bool:
        """A sink found the configuration at fault, or too many records refused."""
        whole = {place: one for place, one in office.standing.suspects.items() if place[0] == CONNECTOR_SCOPE}
        if not whole:
            return False
        suspect = min(whole.values(), key=lambda one: one.at)
        before = office.standing.state
        after = suspended(before, suspect.what, suspect.detail, "sink", office.now())
        changes: Changes = {key("suspect", office.connector, *place): None for place in whole}
        changes[key("connector", office.connector)] = after
        line = Stopped(by=suspect.what, why=suspect.detail)
        office.commit(changes, audit=[line] if after is not before else [])
        if after is not before:
            log.error(
                "connector SUSPENDED",
                connector=office.connector,
                by=suspect.what,
                reason=suspect.detail,
                next_step=f"fix it, then: streams connectors resume {office.connector}",
            )
        return True

    def _answer(self, office: Office) -> bool:
        for request_id, request in office.standing.requests.items():
            decision = self._decide(office, request_id, request)
            if decision is None:
                continue  # a probe that is under way
            changes, answer = decision
            changes[key("answer", office.connector, request_id)] = answer
            changes[key("request", office.connector, request_id)] = None
            line = Answered(
                what=request.what,
                who=request.who,
                why=request.reason,
                arguments=dict(request.arguments),
                outcome=answer.outcome,
                detail=answer.detail,
            )
            office.commit(changes, audit=[line])
            log.info(
                "request answered",
                connector=office.connector,
                what=request.what,
                who=request.who,
                outcome=answer.outcome,
                detail=answer.detail,
            )
            return True
        return False

    def _decide(self, office: Office, request_id: str, request: Request) -> tuple[Changes, Answer] | None:
        if office.now() > request.expires and request_id not in self._probing_since:
            return {}, Answer(outcome="refused", detail="the request expired before a keeper saw it; are clocks right?")
        match request.what:
            case "suspend" | "resume" | "extend" | "probe" if self._probes is None:
                return {}, Answer(outcome="refused", detail=f"{office.connector} has no destination to {request.what}")
            case "suspend":
                return self._suspended(office, request)
            case "resume":
                return self._resumed(office, request)
            case "extend":
                return self._extended(office, request)
            case "probe":
                return self._probed(office, request_id, request)
            case _:
                return self._jobs.accept(office, request_id, request)

    def _suspended(self, office: Office, request: Request) -> tuple[Changes, Answer]:
        state = office.standing.state
        if state.state == "SUSPENDED":
            return {}, Answer(outcome="refused", detail=f"is SUSPENDED already, by {state.by}: {state.reason}")
        after = suspended(state, "operator", request.reason, request.who, office.now())
        return {key("connector", office.connector): after}, Answer(outcome="done")

    def _resumed(self, office: Office, request: Request) -> tuple[Changes, Answer]:
        state = office.standing.state
        if state.state == "RUNNING":
            return {}, Answer(outcome="refused", detail="is RUNNING already")
        invalid = [scope.since for scope in office.standing.scopes.values() if scope.state == "INVALID"]
        keep_since = min(invalid, default=office.now())
        after = resumed(state, request.who, request.reason, office.now(), keep_since)
        changes: Changes = {key("suspect", office.connector, *place): None for place in office.standing.suspects}
        return {**changes, key("connector", office.connector): after}, Answer(outcome="done")

    def _extended(self, office: Office, request: Request) -> tuple[Changes, Answer]:
        scope, by_ms = request.arguments.get("scope"), request.arguments.get("by_ms")
        if not isinstance(scope, str) or not isinstance(by_ms, int) or by_ms <= 0:
            return {}, Answer(outcome="refused", detail="extend needs a scope, and a duration longer than nothing")
        state = office.standing.scope(scope)
        if state.state != "INVALID":
            return {}, Answer(outcome="refused", detail=f"scope {scope} is not INVALID: no deadline runs")
        after = state.model_copy(update={"extended_ms": state.extended_ms + by_ms, "overdue": ""})
        return {key("scope", office.connector, scope): after}, Answer(
            outcome="done", content={"extended_ms": after.extended_ms}
        )

    def _probed(self, office: Office, request_id: str, request: Request) -> tuple[Changes, Answer] | None:
        """Wait until every scope was probed after the request; a destination that does not answer says nothing."""
        assert self._probes is not None
        scopes = self._scopes(request)
        unknown = [scope for scope in scopes if scope not in self._probes.scopes]
        if unknown:
            there_are = ", ".join(self._probes.scopes)
            return {}, Answer(outcome="refused", detail=f"there is no scope {unknown[0]}; there are {there_are}")
        if request_id not in self._probing_since:
            self._probing_since[request_id] = office.now()
            self._probes.force(scopes)
        since = self._probing_since[request_id]
        is_missing = any(office.standing.scope(scope).probe_began < since for scope in scopes)
        if is_missing and office.now() <= since + PROBE_MS_MAX:
            return None
        del self._probing_since[request_id]
        said = {scope: _said(office.standing.scope(scope), since) for scope in scopes}
        return {}, Answer(outcome="done", content=said)

    def _scopes(self, request: Request) -> list[str]:
        assert self._probes is not None
        named = request.arguments.get("scopes")
        return [str(scope) for scope in named] if isinstance(named, list) and named else list(self._probes.scopes)

    def _forget(self, office: Office) -> bool:
        old = [name for name, answer in office.standing.answers.items() if office.now() - answer.at > ANSWER_MS_MAX]
        if old:
            office.commit({key("answer", office.connector, name): None for name in old})
        return bool(old)


def _said(scope: ScopeState, asked_at: int) -> dict[str, Any]:
    if scope.probe is None or scope.probe_began < asked_at:
        return {"outcome": Outcome.SILENT.value, "status": 0, "detail": "no answer in time"}
    outcome = outcome_of(scope.probe.status)
    return {"outcome": outcome.value, "status": scope.probe.status, "detail": scope.probe.detail}
