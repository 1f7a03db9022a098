"""What vendors send of some groups and users, as one partition's log, and what is true after it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from streams.wayback.records import Attributes, Event, Membership, Page, Record

USERS = [f"user-{number}" for number in range(6)]
GROUPS = {
    "cohorts/7": "VIP", "cohorts/8": "VIP", "cohorts/9": "New", "both/7": "Both",
    "audiences/1": "Cats", "audiences/2": "Dogs",
}  # fmt: skip
"""Names by entry and id."""
TARGETS: dict[str, tuple[Any, ...]] = {"both": ("attribute", "cohort")}
TIME_MS = 1_790_000_000_000


def _common(group: str, user: str = "") -> dict[str, Any]:
    return {"id": f"{group}/{user}", "entry": group.partition("/")[0], "external_user_id": user} | dict.fromkeys(
        ("time_ms", "received_ms"), TIME_MS
    )


def _group(group: str) -> dict[str, Any]:
    return {"group_id": group.partition("/")[2], "group_name": GROUPS[group]}


def _targets(group: str) -> tuple[Any, ...]:
    return TARGETS.get(group.partition("/")[0], ("attribute",))


@dataclass
class VendorLog:
    """The log, as the receiver writes it. Records of one request stay together."""

    random: Random
    log: list[Record] = field(default_factory=list)

    def write(self, steps: int) -> None:
        waiting: list[list[Record]] = []
        opened = dict.fromkeys(GROUPS, 0)
        for step in range(steps):
            group, chance = self.random.choice(list(GROUPS)), self.random.random()
            if chance < 0.15 and opened[group] < 4:
                opened[group] += 1
                waiting += self._copy(group, f"s{step}")
            elif chance < 0.35:
                self.log.append(self._about_a_user(step))
            elif waiting and self.random.random() < 0.6:
                self.log += waiting.pop(self.random.randrange(len(waiting)))
            else:
                user, change = self.random.choice(USERS), self.random.choice(("add", "add", "remove"))
                self.log += self._memberships(group, user, change)
        self.random.shuffle(waiting)
        for block in waiting:
            if self.random.random() < 0.8:  # others never come: their copies stay open
                self.log += block

    def _about_a_user(self, step: int) -> Record:
        user = self.random.choice(USERS)
        if self.random.random() < 0.4:
            return Event(**(_common("data", user) | {"id": f"event-{step}"}), name=f"event-{step}")
        names = self.random.sample(["plan", "visits", "city"], self.random.randint(1, 2))
        changes = {name: self.random.choice(["a", "b", "c", None]) for name in names}
        return Attributes(**_common("data", user), changes=json.dumps(changes))

    def _memberships(self, group: str, user: str, change: Any, **session: Any) -> list[Record]:
        common = _common(group, user) | _group(group) | session
        return [Membership(**common, change=change, target=target) for target in _targets(group)]

    def _copy(self, group: str, session: str) -> list[list[Record]]:
        members = [user for user in USERS if self.random.random() < 0.5]
        pages = self.random.randint(1, 3)
        blocks = []
        for page in range(1, pages + 1):
            for attempt in range(self.random.choice((1, 1, 2))):
                place: dict[str, Any] = {"session": session, "page": page, "request": f"{session}-{page}-{attempt}"}
                block = [
                    record
                    for number, user in enumerate(members)
                    if number % pages == page - 1
                    for record in self._memberships(group, user, "present", **place)
                ]
                blocks.append([*block, Page(**_common(group), **_group(group), pages=pages, **place)])
        self.random.shuffle(blocks)
        return blocks


def members_by(log: list[Record], group: str) -> set[str]:
    """A group's members by the log alone: the complete copy that began last, and the words since it began."""
    first: dict[str, int] = {}
    versions: dict[str, dict[int, str]] = {}
    base, floor = set[str](), 0
    of_group = [(offset, record) for offset, record in enumerate(log) if _is_of(record, group)]
    for offset, record in of_group:
        assert isinstance(record, Membership | Page)
        session = record.session
        if session is None:
            continue
        first.setdefault(session, offset)
        if not isinstance(record, Page) or first[session] < floor:
            continue
        versions.setdefault(session, {})[record.page] = record.request or ""
        if len(versions[session]) == record.pages:
            floor, first[session] = first[session], -1
            base = {
                one.external_user_id
                for place, one in of_group
                if place < offset and isinstance(one, Membership) and one.session == session
                if versions[session].get(one.page or 0) == one.request
            }
    for offset, record in of_group:
        if offset >= floor and isinstance(record, Membership) and record.change != "present":
            (base.add if record.change == "add" else base.discard)(record.external_user_id)
    return base


def attributes_by(log: list[Record], user: str) -> dict[str, Any]:
    """A user's attributes by the log alone: the last word of each."""
    found: dict[str, Any] = {}
    for record in log:
        if isinstance(record, Attributes) and record.external_user_id == user:
            found |= json.loads(record.changes)
    return {name: value for name, value in found.items() if value is not None}


def events_of(log: list[Record], user: str) -> list[str]:
    return [record.name for record in log if isinstance(record, Event) and record.external_user_id == user]


def _is_of(record: Record, group: str) -> bool:
    return isinstance(record, Membership | Page) and f"{record.entry}/{record.group_id}" == group
