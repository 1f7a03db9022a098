"""What a request says of one user: all words about it that the request takes, merged into one object. Pure.

Words come in their order. Those older than what is remembered are stale, those that say the same are unchanged.
The last word about a thing is sent if one of them was news: who joined and left again within one request leaves. The
first word alone may have been sent by a process that died before it remembered that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from streams.delivery.composer import Change, Item
from streams.destinations.braze.items import Changes, Joins
from streams.destinations.braze.words import joined
from streams.wayback.entries import Entry
from streams.wayback.memberships import Word, difference, doubted, heard, heard_attributes
from streams.wayback.memory import Standing, UserMemory
from streams.wayback.rows import user_row

Positions = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome: the object's content, which positions are in it, and what is remembered."""

    content: Mapping[str, Any]
    sent: Positions
    unchanged: Positions
    changes: tuple[Change, ...]
    doubts: tuple[Change, ...]
    segments_cut: int


@dataclass(frozen=True, slots=True)
class User:
    """Words about one user so far. `values` and `said` are of attributes by word, `groups` of memberships."""

    external_id: str
    before: UserMemory
    after: UserMemory
    values: Mapping[str, Any] = field(default_factory=dict)
    said: Mapping[str, Positions] = field(default_factory=dict)
    groups: Mapping[str, Positions] = field(default_factory=dict)
    news: frozenset[str] = frozenset()
    """Words and groups that are sent."""
    again: frozenset[str] = frozenset()
    """Groups that are sent though they are as they were."""
    silent: Positions = ()
    """Positions of records that say nothing."""
    only_existing: bool = True
    size: int = 0
    """Bytes of the records so far."""

    @classmethod
    def of(cls, external_id: str, memory: UserMemory) -> Self:
        return cls(external_id, memory, memory)

    def told(self, item: Item, position: int, changes: Changes) -> User | None:
        """With attributes; None where all of them are stale."""
        again = bool(item.again)
        found = heard_attributes(self.after, changes.words, item.place, again=again)
        fresh = changes.words.keys() - set(found.stale)
        if changes.words and not fresh:
            return None
        return User(
            self.external_id,
            self.before,
            found.memory,
            values={**self.values, **{word: value for word, value in changes.words.items() if word in fresh}},
            said={**self.said, **{word: (*self.said.get(word, ()), position) for word in fresh}},
            news=self.news | found.changed.keys(),
            groups=self.groups,
            again=self.again,
            silent=self.silent if fresh else (*self.silent, position),
            only_existing=self.only_existing and changes.only_existing,
            size=self.size + len(item.body),
        )

    def joins(self, item: Item, position: int, word: Joins, floor: int, now_s: int) -> User | None:
        """With a membership; None where it is stale."""
        again = word.again or bool(item.again)
        said = Word(
            word.group, word.name, word.is_member, item.place, floor=floor, at_s=now_s, again=again, echo=word.echo
        )
        found = heard(self.after, said)
        if found.skip == "stale":
            return None
        return User(
            self.external_id,
            self.before,
            found.memory,
            values=self.values,
            said=self.said,
            silent=self.silent,
            groups={**self.groups, word.group: (*self.groups.get(word.group, ()), position)},
            news=self.news if found.skip else self.news | {word.group},
            again=self.again | {word.group} if again else self.again,
            only_existing=self.only_existing and word.only_existing,
            size=self.size + len(item.body),
        )

    @property
    def is_news(self) -> bool:
        """Whether there may be something to send."""
        return bool(self.news)

    def merged(self, entries: Mapping[str, Entry], now_s: int) -> Merged:
        if not self.news:
            return Merged({}, (), _sorted(self._positions()), self._changes(now_s), (), 0)
        words, groups = self.said.keys() & self.news, self.groups.keys() & self.news
        again = {group for group in groups if group in self.again or self._is_as_before(group)}
        found = difference(self.before, self.after, entries, groups, again=again)
        content = joined({word: value for word, value in self.values.items() if word in words})
        content |= found.attributes
        sent = {position for word in words for position in self.said[word]}
        if found.attributes:
            sent |= {position for group in groups for position in self.groups[group]}
        unchanged = self._positions() - sent
        doubts: tuple[Change, ...] = ()
        if sent:
            doubt = doubted(self.before, self.after, words, groups).pruned(now_s).to_bytes()
            doubts = (Change(user_row(self.external_id), doubt, _sorted(sent)),)
        return Merged(
            content, _sorted(sent), _sorted(unchanged), self._changes(now_s), doubts, len(found.cut) if content else 0
        )

    def _changes(self, now_s: int) -> tuple[Change, ...]:
        if not self.said and not self.groups:
            return ()
        row = self.after.pruned(now_s).to_bytes()
        return (Change(user_row(self.external_id), row, _sorted(self._positions())),)

    def _is_as_before(self, group: str) -> bool:
        """Whether the last word about a group says what is remembered, or what is not sure to be in Braze."""
        before, after = self.before.groups.get(group), self.after.groups[group]
        return before is not None and (not before.is_sure or _sense(before) == _sense(after))

    def _positions(self) -> set[int]:
        every = [*self.said.values(), *self.groups.values(), self.silent]
        return {position for positions in every for position in positions}


def _sense(standing: Standing) -> tuple[bool, str]:
    return standing.is_member, standing.name


def _sorted(positions: set[int]) -> Positions:
    return tuple(sorted(positions))
