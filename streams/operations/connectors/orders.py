"""A person's orders to a connector's keeper: suspend, resume, probe. Who orders it and why goes to the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from streams.config import Connector
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.operations.keeper_orders import carried_out

PROBE_SECONDS = 45.0
"""If a destination does not answer, the keeper gives up after 35 s."""

State = Literal["RUNNING", "SUSPENDED"]


@dataclass(frozen=True, slots=True)
class Probed:
    """What the destination said of one scope's credentials: `good`, `bad`, or `silent` (nothing of them)."""

    scope: str
    outcome: str
    status: int
    detail: str


def suspend(installation: Installation, name: str, *, who: str, reason: str) -> State:
    """Send nothing until it is resumed. Raises `OrderRefused` and what `Keepers.ask` does."""
    carried_out(installation, name, "suspend", {}, who=who, reason=reason)
    return "SUSPENDED"


def resume(installation: Installation, name: str, *, who: str, reason: str) -> State:
    """Let a suspended connector deliver again. Raises `OrderRefused` and what `Keepers.ask` does."""
    carried_out(installation, name, "resume", {}, who=who, reason=reason)
    return "RUNNING"


def probe(installation: Installation, name: str, scopes: Sequence[str], *, who: str) -> tuple[Probed, ...]:
    """Have the keeper read the secrets again and ask the destination now; without scopes, for each one.

    Raises `BadRequest` for an unknown scope, `OrderRefused`, and what `Keepers.ask` does.
    """
    _require_scopes(installation.settings.connectors[name], scopes)
    arguments = {"scopes": list(scopes)} if scopes else {}
    answer = carried_out(installation, name, "probe", arguments, who=who, reason="", wait_seconds=PROBE_SECONDS)
    return tuple(
        Probed(scope, said["outcome"], said["status"], said["detail"]) for scope, said in answer.content.items()
    )


def _require_scopes(connector: Connector, scopes: Sequence[str]) -> None:
    there_are = connector.scopes
    for scope in scopes:
        if scope not in there_are:
            raise BadRequest(f"{connector.name} has no credential scope {scope}. Scopes: {', '.join(there_are)}")
