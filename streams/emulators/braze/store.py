"""What Braze stores: users with attributes, events, purchases and cohorts; and every object in the order it was
applied.

As in Braze, nothing is deduplicated: an event that is sent twice is stored twice. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streams.emulators.braze.options import Limits
from streams.emulators.braze.rules import OWN, cut, data_points
from streams.emulators.refused_records import RefusedRecords

EVENTS_MAX = 10_000
"""How many events and purchases of one user are kept."""

Row = dict[str, Any]


@dataclass(slots=True)
class _User:
    attributes: dict[str, Any] = field(default_factory=dict)
    events: deque[Row] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    purchases: deque[Row] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))


@dataclass(slots=True)
class _Cohort:
    name: str = ""
    members: set[str] = field(default_factory=set)


class Store:
    """Users of one workspace, and the newest `rows_max` objects."""

    def __init__(self, rows_max: int, limits: Limits, users: Iterable[str]) -> None:
        self._limits = limits
        self._rows: deque[Row] = deque(maxlen=rows_max)
        self._users: dict[str, _User] = {user: _User() for user in users}
        self._cohorts: dict[str, _Cohort] = {}
        self._times: dict[str, int] = {}
        self._times_max = rows_max
        self.refused_records = RefusedRecords()
        self.counts = {"attributes": 0, "events": 0, "purchases": 0, "refused": 0, "ignored": 0}
        self.data_points = 0

    def apply(self, array: str, item: Mapping[str, Any], object_id: str, now_ms: int, *, is_kept: bool) -> None:
        """Apply an object that breaks no rule. An object that may only update creates no user."""
        self.counts[array] += 1
        name = _name(item)
        is_ignored = item.get("_update_existing_only") is True and name not in self._users
        losses: list[str] = []
        if is_ignored:
            self.counts["ignored"] += 1
        else:
            self.data_points += data_points(array, item)
            self._change(array, item, self._users.setdefault(name, _User()), losses)
            if array != "attributes" and is_kept:
                self._times[object_id] = self._times.get(object_id, 0) + 1
                while len(self._times) > self._times_max:
                    del self._times[next(iter(self._times))]
        if is_kept:
            row = {"kind": array, "id": object_id, "user": name, "ignored": is_ignored, "losses": losses}
            self._rows.append({**row, "received_at_ms": now_ms, "object": dict(item)})

    def _change(self, array: str, item: Mapping[str, Any], user: _User, losses: list[str]) -> None:
        match array:
            case "attributes":
                for attribute, value in item.items():
                    if attribute not in OWN:
                        self._set(user.attributes, attribute, value, losses)
            case "events":
                user.events.append(cut(dict(item), self._limits, losses, "event"))
            case _:
                user.purchases.append(cut(dict(item), self._limits, losses, "purchase"))

    def _set(self, attributes: dict[str, Any], name: str, value: Any, losses: list[str]) -> None:
        """Null deletes; `{"add": […]}` and `{"remove": […]}` change an array."""
        if value is None:
            attributes.pop(name, None)
            return
        change = value if isinstance(value, dict) and value and value.keys() <= {"add", "remove"} else None
        if change is None or not all(isinstance(items, list) for items in change.values()):
            attributes[name] = cut(value, self._limits, losses, name)
            return
        present = attributes.get(name)
        kept = list(present) if isinstance(present, list) else []
        kept += [item for item in change.get("add", []) if item not in kept]
        kept = [item for item in kept if item not in change.get("remove", [])]
        attributes[name] = cut(kept, self._limits, losses, name)

    def name_cohort(self, cohort_id: str, name: str) -> None:
        self._cohorts.setdefault(cohort_id, _Cohort()).name = name

    def change_cohort(self, cohort_id: str, user_ids: Iterable[str], *, is_removal: bool) -> None:
        """Users that Braze does not have are skipped: the import never creates one."""
        cohort = self._cohorts.setdefault(cohort_id, _Cohort())
        for user_id in user_ids:
            if is_removal:
                cohort.members.discard(user_id)
            elif user_id in self._users:
                cohort.members.add(user_id)

    def rows(self) -> list[Row]:
        """Every object, in the order it was applied."""
        return list(self._rows)

    def users(self) -> list[Row]:
        """Every user, as Braze's dashboard shows it."""
        cohorts: dict[str, list[str]] = {}
        for cohort_id, cohort in self._cohorts.items():
            for member in cohort.members:
                cohorts.setdefault(member, []).append(cohort_id)
        return [
            {
                "external_id": name,
                "attributes": user.attributes,
                "events": list(user.events),
                "purchases": list(user.purchases),
                "cohorts": sorted(cohorts.get(name, ())),
            }
            for name, user in self._users.items()
        ]

    def cohorts(self) -> list[Row]:
        return [
            {"cohort_id": cohort_id, "name": cohort.name, "members": sorted(cohort.members)}
            for cohort_id, cohort in self._cohorts.items()
        ]

    def repeated(self) -> list[Row]:
        """Every event and purchase that was applied more than once, byte for byte the same."""
        return [{"id": object_id, "count": count} for object_id, count in self._times.items() if count > 1]

    def sent_again(self) -> list[dict[str, str]]:
        """What was sent again after it had been refused by name."""
        return [{"id": name} for _, name in self.refused_records.sent_again]

    def totals(self) -> dict[str, int]:
        return {**self.counts, "users": len(self._users), "rows": len(self._rows), "data_points": self.data_points}


def _name(item: Mapping[str, Any]) -> str:
    """The user that an object is about: the external id, or the kind of another identifier and its value."""
    if "external_id" in item:
        return str(item["external_id"])
    for kind in ("braze_id", "user_alias", "email", "phone"):
        if kind in item:
            return f"{kind}:{item[kind]}"
    raise AssertionError("an object without a user broke a rule")
