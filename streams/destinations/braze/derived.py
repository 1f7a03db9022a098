"""Words about single users that follow from a remark about a group, as records for the same partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from streams.delivery.composer import Derived, Memory
from streams.wayback.copies import changes_of
from streams.wayback.memory import group_key
from streams.wayback.records import Membership, Target, encode

DERIVED = "/derived"
"""Ends the id of a record that follows from a remark."""


def is_derived(record_id: str) -> bool:
    return record_id.endswith(DERIVED)


@dataclass(frozen=True, slots=True)
class Source:
    """What the words are about, and where they come from. `again`: as `Membership` has it."""

    entry: str
    group_id: str
    name: str
    target: Target
    session: str
    time_ms: int
    received_ms: int
    again: str | None = None

    @property
    def group(self) -> str:
        return group_key(self.entry, self.group_id, self.target)


FOR_A_NAME = "name/"
"""Begins `again` of words that are sent only where the name is new."""


def of_copy(
    source: Source, memory: Memory, place: int, copy: str, versions: Mapping[int, str], *, sends_all: bool
) -> Iterator[Derived]:
    """Who joins and who leaves now that the copy is complete; with `sends_all` also who stays."""
    differences = changes_of(memory.staged(copy, versions), memory.members(source.group))
    if not sends_all:
        yield from _words(source, place, differences)
        return
    yield from _words(source, place, ((user, True) for user in memory.staged(copy, versions)))
    yield from _words(source, place, ((user, joins) for user, joins in differences if not joins))


def of_members(source: Source, memory: Memory, place: int) -> Iterator[Derived]:
    """Every member who is remembered."""
    yield from _words(source, place, ((user, True) for user in memory.members(source.group)))


def of_first_member(source: Source, memory: Memory, place: int) -> Iterator[Derived]:
    """One member, once more: the cohort import hears of a name only together with members."""
    for user in memory.members(source.group):
        yield from _words(replace(source, again=f"{source.session}/{place}"), place, ((user, True),))
        return


def _words(source: Source, place: int, users: Iterable[tuple[str, bool]]) -> Iterator[Derived]:
    for user, joins in users:
        record = Membership(
            id=f"{source.session}/{source.group_id}/{user}{DERIVED}",
            entry=source.entry,
            external_user_id=user,
            time_ms=source.time_ms,
            received_ms=source.received_ms,
            group_id=source.group_id,
            group_name=source.name,
            change="add" if joins else "remove",
            target=source.target,
            session=source.session,
            again=source.again,
        )
        yield Derived(user.encode(), encode(record), place)
