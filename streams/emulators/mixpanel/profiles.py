"""Updates of profiles, as Mixpanel's `/engage` and `/groups` take them: checked and kept, not applied. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

ProfileKind = Literal["user", "group"]

OWNER: dict[ProfileKind, tuple[str, ...]] = {"user": ("$distinct_id",), "group": ("$group_key", "$group_id")}
"""What says whose profile it is."""
OPERATIONS = ("$set", "$set_once", "$add", "$append", "$union", "$remove", "$unset", "$delete")


class ProfileUpdates:
    """The newest `rows_max` updates."""

    def __init__(self, rows_max: int) -> None:
        self._updates: deque[dict[str, Any]] = deque(maxlen=rows_max)

    def add(self, project_id: str, kind: ProfileKind, update: dict[str, Any]) -> None:
        """Keep an update that breaks no rule. Its token is left out."""
        kept = {name: value for name, value in update.items() if name != "$token"}
        self._updates.append({"project_id": project_id, "kind": kind, "update": kept})

    def all(self) -> list[dict[str, Any]]:
        """In the order in which they came."""
        return list(self._updates)

    def reset(self) -> None:
        self._updates.clear()


def update_problem(kind: ProfileKind, update: dict[str, Any]) -> str:
    """Which rule the update breaks; empty if none."""
    for name in OWNER[kind]:
        value = update.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            return f"{name}, missing or empty"
    named = [name for name in OPERATIONS if name in update]
    if not named:
        return f"no operation: one of {', '.join(OPERATIONS)} is needed"
    for name in named:
        if name == "$unset" and not isinstance(update[name], list):
            return f"{name} must be a list of property names"
        if name not in ("$unset", "$delete") and not isinstance(update[name], dict):
            return f"{name} must be an object"
    return ""
