"""Full copies of a cohort: pages that come in any order, and the moment at which they become the truth. Pure.

A copy only stages its members. It is complete when a version of every page from 1 to N is there in this partition;
then it says who joins and who leaves. Pages that come again replace their earlier version: each request has an id, and
the marker of a page names the request whose members count. A session's name holds its number of pages: with another
number it is another copy.

    open --every page is there--> complete: its first place is the group's floor; older open copies are dropped
    open --24 h without a page, or a fifth copy opens--> dropped
    complete or dropped --24 h--> forgotten; until then its pages change nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

OPEN_MAX = 4
"""Open copies of one group: a vendor that starts a fifth has given up the first."""
SILENCE_SECONDS_MAX = 86_400
"""Without a page for so long a copy will not be completed: Mixpanel starts again with the next sync."""
REMEMBERED_SECONDS = 86_400

Ended = Literal["complete", "dropped"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One open copy. `versions` names the request that each page is taken from; `pages` is 0 until a marker tells.

    It began at `began_s`, and its last page came at `at_s`, both in seconds since 1970."""

    first_place: int
    began_s: int
    at_s: int
    pages: int = 0
    versions: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return 0 < self.pages == len(self.versions)


@dataclass(frozen=True, slots=True)
class GroupCopies:
    """All copies of one group in one partition. `floor` is the first place of the last complete one.

    `name` is the group's name by the last complete copy or by a word about the name alone, whose place `named` is: all
    members are sent under it, or are about to be.
    """

    floor: int = 0
    open: Mapping[str, Copy] = field(default_factory=dict)
    ended: Mapping[str, int] = field(default_factory=dict)
    """When each ended, in seconds since 1970."""
    name: str = ""
    named: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one record did: the copies as they are now, which were dropped, and which became complete, if one did."""

    copies: GroupCopies
    dropped: tuple[str, ...] = ()
    complete: str | None = None
    is_stale: bool = False
    """It belongs to a copy that has ended, or is older than the floor."""


def member_came(copies: GroupCopies, session: str, place: int, now_s: int) -> Turn:
    """A member of a copy: opens the copy, if it is the first of it that comes."""
    return _opened(copies, session, place, now_s)


def page_came(copies: GroupCopies, session: str, page: int, pages: int, request: str, place: int, now_s: int) -> Turn:
    """The marker of a page, behind its members: from now on the page is taken from this request."""
    turn = _opened(copies, session, place, now_s)
    if turn.is_stale:
        return turn
    before = turn.copies.open[session]
    copy = replace(before, at_s=now_s, pages=pages, versions={**before.versions, page: request})
    if not copy.is_complete:
        opened = {**turn.copies.open, session: copy}
        return replace(turn, copies=replace(turn.copies, open=opened))
    return _completed(turn, session, copy, now_s)


def time_passed(copies: GroupCopies, now_s: int) -> Turn:
    """Drops copies that fell silent, and forgets those that ended long ago."""
    silent = tuple(key for key, copy in copies.open.items() if now_s - copy.at_s >= SILENCE_SECONDS_MAX)
    ended = {key: at_s for key, at_s in copies.ended.items() if now_s - at_s < REMEMBERED_SECONDS}
    opened = {key: copy for key, copy in copies.open.items() if key not in silent}
    return Turn(replace(copies, open=opened, ended=ended | dict.fromkeys(silent, now_s)), silent)


def begun_before(copies: GroupCopies, place: int, now_s: int) -> Turn:
    """Drops open copies whose first records are not in the topic any more: their members cannot be read again."""
    gone = tuple(key for key, copy in copies.open.items() if copy.first_place < place)
    opened = {key: copy for key, copy in copies.open.items() if key not in gone}
    return Turn(replace(copies, open=opened, ended={**copies.ended, **dict.fromkeys(gone, now_s)}), gone)


def _opened(copies: GroupCopies, session: str, place: int, now_s: int) -> Turn:
    if session in copies.ended or place < copies.floor:
        return Turn(copies, is_stale=True)
    if session in copies.open:
        return Turn(copies)
    opened = {**copies.open, session: Copy(place, now_s, now_s)}
    dropped: tuple[str, ...] = ()
    if len(opened) > OPEN_MAX:
        oldest = min(opened, key=lambda each: opened[each].first_place)
        dropped = (oldest,)
        del opened[oldest]
    ended = {**copies.ended, **dict.fromkeys(dropped, now_s)}
    return Turn(replace(copies, open=opened, ended=ended), dropped, is_stale=session in dropped)


def _completed(turn: Turn, key: str, copy: Copy, now_s: int) -> Turn:
    older = tuple(
        other for other, each in turn.copies.open.items() if other != key and each.first_place < copy.first_place
    )
    opened = {other: each for other, each in turn.copies.open.items() if other != key and other not in older}
    ended = {**turn.copies.ended, **dict.fromkeys((key, *older), now_s)}
    floor = max(turn.copies.floor, copy.first_place)
    return Turn(replace(turn.copies, floor=floor, open=opened, ended=ended), (*turn.dropped, *older), complete=key)


def changes_of(staged: Iterable[str], members: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Who joins (True) and who leaves (False) when a copy becomes the truth: its members against those remembered.

    Both come in the same order, each user once, so that millions of them need no memory.
    """
    missing = object()
    new, old = iter(staged), iter(members)
    joiner: Any = next(new, missing)
    leaver: Any = next(old, missing)
    while joiner is not missing or leaver is not missing:
        if leaver is missing or (joiner is not missing and joiner < leaver):
            yield joiner, True
            joiner = next(new, missing)
        elif joiner is missing or leaver < joiner:
            yield leaver, False
            leaver = next(old, missing)
        else:
            joiner, leaver = next(new, missing), next(old, missing)
