"""Orders about a cohort or audience: a plan of what they would write, and the order to the connector's keeper."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from streams.operations.audiences.overview import Group, groups
from streams.operations.errors import BadRequest, NothingMatched, PlanStale
from streams.operations.installation import Installation
from streams.operations.keeper_orders import carried_out

IDS_MAX = 1_000
"""Users in one request to Braze's cohort import."""

Action = Literal["clear", "resend"]


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What an order about one group would write: `users` are its members now, `writes` objects and ids in Braze."""

    connector: str
    action: Action
    group: Group
    users: int
    writes: int
    requests: int
    """The least: other records of the same time share requests."""

    @property
    def id(self) -> str:
        """The same as long as the order means the same."""
        group = self.group
        text = f"{self.connector}/{self.action}/{group.entry}/{group.group_id}/{self.users}/{self.writes}"
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "connector": self.connector,
            "plan": self.id,
            "action": self.action,
            "entry": self.group.entry,
            "id": self.group.group_id,
            "name": self.group.name,
            "users": self.users,
            "writes": self.writes,
            "requests": self.requests,
        }


def planned(
    installation: Installation,
    name: str,
    action: Action,
    group_id: str,
    *,
    entry: str | None = None,
    expected: str | None = None,
) -> GroupPlan:
    """The plan as of now. `expected` is the id that it must have.

    Raises `BadRequest`, `NothingMatched`, `PlanStale`, and what `groups` does.
    """
    known = installation.settings.entries.get(name, {})
    if entry is not None and known and entry not in known:
        raise BadRequest(f"{name} has no entry {entry}; its entries: {', '.join(sorted(known))}", field="entry")
    found = [
        group
        for group in groups(installation, name)
        if group.group_id == group_id and (entry is None or group.entry == entry)
    ]
    entries = sorted({group.entry for group in found})
    if len(entries) > 1:
        raise BadRequest(f"group {group_id} is in entries {' and '.join(entries)}: say which one", field="entry")
    if not any(group.members for group in found):
        raise NothingMatched(
            f"group {group_id} has no members here; `streams audiences list {name}` shows ids with members"
        )
    plan = _plan(installation, name, action, found)
    if expected is not None and plan.id != expected:
        raise PlanStale(
            f"plan {expected} is stale: members joined or left since; now it is plan {plan.id} with {plan.users:,} "
            "users"
        )
    return plan


def order(installation: Installation, plan: GroupPlan, *, who: str, reason: str) -> None:
    """Have the keeper write it to every partition. Raises `OrderRefused` and what `Keepers.ask` does."""
    arguments = {"entry": plan.group.entry, "group": plan.group.group_id, "name": plan.group.name}
    carried_out(installation, plan.connector, plan.action, arguments, who=who, reason=reason)


def _plan(installation: Installation, name: str, action: Action, found: list[Group]) -> GroupPlan:
    objects_max = int(getattr(installation.settings.connectors[name].settings, "objects_max", 1))
    requests = sum(-(-group.members // (objects_max if group.target == "attribute" else IDS_MAX)) for group in found)
    largest = max(found, key=lambda group: group.members)
    return GroupPlan(name, action, largest, largest.members, sum(group.members for group in found), requests)
