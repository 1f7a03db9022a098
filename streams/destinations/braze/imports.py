"""Requests to Braze's cohort import: one cohort each, and its name before them where Braze does not know it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from streams.delivery.composer import Change, Composed, Item, Memory
from streams.destinations.braze.items import Joins, head
from streams.destinations.braze.requests import COHORT_IDS_MAX, cohort_name_request, cohort_users_request
from streams.destinations.braze.settings import BrazeSettings
from streams.wayback import rows
from streams.wayback.memberships import Word, doubted, heard
from streams.wayback.memory import UserMemory, user_memory


class _Users:
    """Who joins and who leaves one cohort."""

    def __init__(self, memory: Memory, group: str, now_s: int) -> None:
        self._memory = memory
        self._group = group
        self._now_s = now_s
        self._floor = rows.copies(memory.get(rows.group_row(group))).floor
        self._before: dict[str, UserMemory] = {}
        self._after: dict[str, UserMemory] = {}
        self._said: dict[str, list[int]] = {}
        self._news: set[str] = set()
        self.skipped: dict[int, str] = {}

    @property
    def is_full(self) -> bool:
        return len(self._said) >= COHORT_IDS_MAX

    def hear(self, position: int, item: Item, word: Joins) -> None:
        user = word.user
        if user not in self._before:
            self._before[user] = user_memory(self._memory.get(rows.import_row(user)))
        memory = self._after.get(user, self._before[user])
        told = Word(
            self._group, word.name, word.is_member, item.place, floor=self._floor, at_s=self._now_s, echo=word.echo
        )
        found = heard(memory, told)
        if found.skip == "stale":
            self.skipped[position] = "stale"
            return
        before, after = memory.groups.get(self._group), found.memory.groups[self._group]
        is_same = before is not None and before.is_sure and before.is_member == after.is_member
        if not is_same or word.again or item.again:
            self._news.add(user)
        self._after[user] = found.memory
        self._said.setdefault(user, []).append(position)

    def sorted_out(self) -> tuple[list[str], list[str], list[Change], list[Change]]:
        """Who joined, who left, what is remembered, and what is if it is unknown whether the request was taken.

        A name says nothing here: Braze has it by the cohort.
        """
        joined: list[str] = []
        left: list[str] = []
        changes, doubts = [], []
        for user, positions in self._said.items():
            after, key = self._after[user], rows.import_row(user)
            changes.append(Change(key, after.pruned(self._now_s).to_bytes(), tuple(positions)))
            if user not in self._news:
                self.skipped |= dict.fromkeys(positions, "unchanged")
                continue
            (joined if after.groups[self._group].is_member else left).append(user)
            doubt = doubted(self._before[user], after, (), [self._group]).pruned(self._now_s)
            doubts.append(Change(key, doubt.to_bytes(), tuple(positions)))
        return joined, left, changes, doubts


def compose(settings: BrazeSettings, items: Sequence[Item], memory: Memory, now_s: int) -> Composed:
    """The first items that are about one cohort."""
    first = Joins(*head(items[0].body))
    users = _Users(memory, first.group, now_s)
    name, at_ms, taken = first.name, first.at_ms, 0
    for position, item in enumerate(items):
        word = Joins(*head(item.body))
        if word.group != first.group or users.is_full:
            break
        users.hear(position, item, word)
        if position not in users.skipped:
            name, at_ms = word.name, word.at_ms
        taken += 1
    joined, left, changes, doubts = users.sorted_out()
    if not joined and not left:
        return Composed(None, taken, users.skipped, changes)
    cohort_id = first.group.partition("/")[2]
    before = None
    told = rows.name(memory.get(rows.told_row(first.group)))
    if told is None or told[0] != name:
        before = cohort_name_request(settings, cohort_id, name, at_ms)
        sent = tuple(position for position in range(taken) if position not in users.skipped)
        changes.append(Change(rows.told_row(first.group), rows.name_to_bytes(name, items[0].place), sent))
    request = cohort_users_request(settings, cohort_id, joined, left)
    return Composed(request, taken, users.skipped, changes, before=before, doubts=doubts)
