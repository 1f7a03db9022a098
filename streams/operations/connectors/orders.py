"""What a person asks of a connector's keeper: suspend, resume, probe. Who asks and why goes to the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streams.config import Connector
from streams.operations.errors import BadRequest, Refused
from streams.operations.installation import Installation

ANSWER_SECONDS = 20.0
PROBE_SECONDS = 45.0
"""A destination that does not answer is given up by the keeper after 35 s."""

State = Literal["RUNNING", "SUSPENDED"]


@dataclass(frozen=True, slots=True)
class Probed:
    """What the destination said of one scope's credentials: `good`, `bad`, or `silent` (nothing of them)."""

    scope: str
    outcome: str
    status: int
    detail: str


def suspend(installation: Installation, name: str, *, who: str, reason: str) -> State:
    """Send nothing until it is resumed. Raises `Refused` and what `Keepers.ask` does."""
    return _order(installation, name, "suspend", who, reason)


def resume(installation: Installation, name: str, *, who: str, reason: str) -> State:
    """Let a suspended connector deliver again. Raises `Refused` and what `Keepers.ask` does."""
    return _order(installation, name, "resume", who, reason)


def probe(installation: Installation, name: str, scopes: Sequence[str], *, who: str) -> tuple[Probed, ...]:
    """Have the keeper read the secrets again and ask the destination now; without scopes, for each one.

    Raises `BadRequest` for a scope that there is not, `Refused`, and what `Keepers.ask` does.
    """
    _require_scopes(installation.settings.connectors[name], scopes)
    arguments = {"scopes": list(scopes)} if scopes else {}
    answer = installation.keepers.ask(name, "probe", arguments, who=who, reason="", wait_seconds=PROBE_SECONDS)
    if answer.outcome != "done":
        raise Refused(f"{name}: {answer.detail}")
    return tuple(
        Probed(scope, said["outcome"], said["status"], said["detail"]) for scope, said in answer.content.items()
    )


def _order(installation: Installation, name: str, what: Literal["suspend", "resume"], who: str, reason: str) -> State:
    answer = installation.keepers.ask(name, what, {}, who=who, reason=reason, wait_seconds=ANSWER_SECONDS)
    if answer.outcome != "done":
        raise Refused(f"{name} {answer.detail}")
    return "SUSPENDED" if what == "suspend" else "RUNNING"


def _require_scopes(connector: Connector, scopes: Sequence[str]) -> None:
    there_are = connector.scopes
    for scope in scopes:
        if scope not in there_are:
            raise BadRequest(f"{connector.name} has no credential scope {scope}; it has {', '.join(there_are)}")
