"""What remarks do: members of full copies are staged, pages complete a copy, and a complete copy is the truth. Pure.

What follows from it are words about single users, appended to the same partition: see `braze.derived`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from streams.delivery.composer import Change, Derived, Heard, Item, Memory, Staged
from streams.delivery.forgotten import hash_of
from streams.destinations.braze import items as kinds
from streams.destinations.braze.derived import FOR_A_NAME, Source, of_copy, of_first_member, of_members
from streams.destinations.braze.items import Malformed, Marker, Present, head
from streams.destinations.braze.settings import BrazeSettings
from streams.destinations.braze.user_track import is_sent_by_name
from streams.wayback import rows
from streams.wayback.bodies.cohorts import TARGETS
from streams.wayback.copies import GroupCopies, Turn, begun_before, member_came, page_came, time_passed
from streams.wayback.entries import MixpanelCohorts
from streams.wayback.memory import group_key
from streams.wayback.records import Target

SESSIONS_DROPPED = "sessions_dropped"
TALLIES = (SESSIONS_DROPPED,)
SUBSCRIPTIONS = frozenset({"subscribe", "unsubscribe"})


def hear(settings: BrazeSettings, item: Item, memory: Memory, now_s: int) -> Heard:
    """What one remark does."""
    match item.body[0]:
        case kinds.PRESENT:
            return _present(Present(*head(item.body)), item, memory, now_s)
        case kinds.MALFORMED:
            return _malformed(Malformed(*head(item.body)), item, memory, now_s)
        case _:
            return _page(settings, Marker(*head(item.body)), item, memory, now_s)


def reread_from(memory: Memory) -> int | None:
    """Where the oldest open copy began."""
    firsts = [copy.first_place for _, copies in _all(memory) for copy in copies.open.values()]
    return min(firsts, default=None)


def open_copies(memory: Memory) -> Mapping[str, int]:
    """When each open copy began."""
    return {
        _copy(group, session): copy.began_s for group, copies in _all(memory) for session, copy in copies.open.items()
    }


def gone(memory: Memory, before: int, now_s: int) -> Heard | None:
    """Open copies that began before the offset are dropped."""
    return _everywhere(memory, lambda copies: begun_before(copies, before, now_s))


def expired(memory: Memory, now_s: int) -> Heard | None:
    """Silent copies are dropped, ended ones forgotten, and items that were parked a day ago."""
    over = [Change(key, None) for key, value in memory.rows_under(rows.MALFORMED) if rows.parked(value).is_over(now_s)]
    heard = _everywhere(memory, lambda copies: time_passed(copies, now_s))
    if not over:
        return heard
    return Heard("", changes=over) if heard is None else replace(heard, changes=[*heard.changes, *over])


@dataclass(slots=True)
class _Turns:
    """What became of the copies of some groups."""

    changes: list[Change] = field(default_factory=list)
    unstage: list[str] = field(default_factory=list)
    dropped: int = 0

    def add(self, group: str, before: GroupCopies, turn: Turn) -> None:
        ended = [*turn.dropped, *([] if turn.complete is None else [turn.complete])]
        self.unstage += [_copy(group, session) for session in ended]
        self.dropped += len(turn.dropped)
        if turn.copies != before:
            self.changes.append(Change(rows.group_row(group), rows.copies_to_bytes(turn.copies)))

    def heard(self, reason: str, stage: tuple[Staged, ...] = (), derived: Iterable[Derived] = ()) -> Heard:
        tally = {SESSIONS_DROPPED: self.dropped} if self.dropped else {}
        return Heard(reason, stage, self.unstage, self.changes, derived, tally)


def _all(memory: Memory) -> Iterator[tuple[str, GroupCopies]]:
    """Groups with their copies."""
    for key, value in memory.rows_under(rows.GROUP):
        yield key.removeprefix(rows.GROUP).decode(), rows.copies(value)


def _everywhere(memory: Memory, turn: Callable[[GroupCopies], Turn]) -> Heard | None:
    turns = _Turns()
    for group, before in _all(memory):
        turns.add(group, before, turn(before))
    return turns.heard("") if turns.changes else None


def _malformed(item: Malformed, at: Item, memory: Memory, now_s: int) -> Heard:
    """One letter is enough for an item that the vendor repeats. The same record is parked again: its letter is written
    only with the commit that passes it."""
    key = rows.malformed_row(item.id)
    value = memory.get(key)
    known = None if value is None else rows.parked(value)
    if known is not None and known.place != at.place and not known.is_over(now_s) and not at.again:
        return Heard("duplicate")
    return Heard("", changes=[Change(key, rows.Parked(at.place, now_s).to_bytes())], rejected=item.reason)


def _present(member: Present, item: Item, memory: Memory, now_s: int) -> Heard:
    turns = _Turns()
    copies = rows.copies(memory.get(rows.group_row(member.group)))
    turn = member_came(copies, member.session, item.place, now_s)
    turns.add(member.group, copies, turn)
    if turn.is_stale:
        return turns.heard("stale")
    staged = Staged(_copy(member.group, member.session), member.user, member.page, member.request)
    return turns.heard("staged", (staged,))


def _page(settings: BrazeSettings, marker: Marker, item: Item, memory: Memory, now_s: int) -> Heard:
    """For each target that members of the group are written to."""
    if marker.purpose == "forget":
        return _forget(marker, memory)
    turns = _Turns()
    words: list[Iterator[Derived]] = []
    reasons = set()
    for target in _targets(settings.receive.get(marker.entry)):
        source = _source(marker, target, item, memory)
        reason = "page"
        match marker.purpose:
            case "resend":
                found = of_members(source, memory, item.place)
            case "name" | "subscribe":
                found = _renamed(settings, turns, source, item, memory)
            case "unsubscribe":
                found = iter(())  # the attributes stay in Braze
            case _:
                reason, found = _page_of(settings, turns, source, marker, item, memory, now_s)
        reasons.add(reason)
        words.append(found)
    if marker.purpose in SUBSCRIPTIONS:
        _subscribed(turns, marker, item, memory)
    return turns.heard("stale" if reasons == {"stale"} else "page", derived=(word for each in words for word in each))


def _forget(marker: Marker, memory: Memory) -> Heard:
    """Rows of these users are taken back, and open copies lose them. Users come as salted hashes, so the user of each
    row and each staged member is hashed with the salt."""
    hashes = frozenset(marker.request.split(","))
    gone = [
        Change(row, None)
        for prefix in (rows.USER, rows.IMPORT)
        for row, _ in memory.rows_under(prefix)
        if (user := rows.user_of(row)) is not None and hash_of(marker.group_id, user) in hashes
    ]
    staged = {user for user in memory.staged_users() if hash_of(marker.group_id, user) in hashes}
    return Heard("page", changes=gone, unstage_users=sorted(staged))


def _source(marker: Marker, target: Target, item: Item, memory: Memory) -> Source:
    """What derived words are about; a marker without a name keeps the one that is known."""
    name = marker.name or _known_name(memory, group_key(marker.entry, marker.group_id, target))
    again = f"{marker.session}/{item.place}" if marker.purpose == "resend" else None
    return Source(
        marker.entry, marker.group_id, name, target, marker.session, marker.time_ms, marker.received_ms, again
    )


def _page_of(
    settings: BrazeSettings, turns: _Turns, source: Source, marker: Marker, item: Item, memory: Memory, now_s: int
) -> tuple[str, Iterator[Derived]]:
    """Where members are written by the group's name, all of them are sent under a new one."""
    group = source.group
    copies = rows.copies(memory.get(rows.group_row(group)))
    session, page, pages = marker.session, marker.page, marker.pages
    if marker.purpose == "clear":  # an empty full copy
        session, page, pages = f"clear/{marker.session}", 1, 1
    turn = page_came(copies, session, page, pages, marker.request, item.place, now_s)
    if turn.complete is None:
        turns.add(group, copies, turn)
        return ("stale" if turn.is_stale else "page"), iter(())
    turns.add(group, copies, replace(turn, copies=replace(turn.copies, name=source.name, named=item.place)))
    opened = copies.open.get(session)
    place = opened.first_place if opened is not None else item.place
    versions = {**(opened.versions if opened is not None else {}), page: marker.request}
    is_renamed = _has_other_name(settings, source, copies, memory)
    sends_all = is_renamed and source.target == "attribute"
    words = of_copy(source, memory, place, _copy(group, session), versions, sends_all=sends_all)
    return "page", chain(words, of_first_member(source, memory, place)) if is_renamed and not sends_all else words


def _renamed(settings: BrazeSettings, turns: _Turns, source: Source, item: Item, memory: Memory) -> Iterator[Derived]:
    """What must be sent where the group has another name now. A word that comes late says nothing."""
    copies = rows.copies(memory.get(rows.group_row(source.group)))
    known = rows.name(memory.get(rows.name_row(source.group)))
    if item.place < copies.floor or (known is not None and item.place < known[1]):
        return iter(())
    if not _has_other_name(settings, source, copies, memory):
        return iter(())
    turns.add(source.group, copies, Turn(replace(copies, name=source.name, named=item.place)))
    if source.target == "cohort":
        return of_first_member(source, memory, item.place)
    return of_members(replace(source, again=f"{FOR_A_NAME}{source.session}"), memory, item.place)


def _has_other_name(settings: BrazeSettings, source: Source, copies: GroupCopies, memory: Memory) -> bool:
    """Whether Braze has the group, or one of its members, under another name than this one."""
    row = rows.told_row if source.target == "cohort" else rows.name_row
    if source.target == "attribute" and not is_sent_by_name(settings.receive, source.group):
        return False
    if copies.name not in ("", source.name):
        return True
    known = rows.name(memory.get(row(source.group)))
    return known is not None and known[0] != source.name and known[1] >= copies.named


def _subscribed(turns: _Turns, marker: Marker, item: Item, memory: Memory) -> None:
    group = group_key(marker.entry, marker.group_id)
    known = rows.subscription(memory.get(rows.subscription_row(group)))
    if known is None or item.place >= known.place:
        word = rows.Subscription(marker.purpose == "subscribe", marker.name, item.place, marker.time_ms // 1000)
        turns.changes.append(Change(rows.subscription_row(group), word.to_bytes()))


def _known_name(memory: Memory, group: str) -> str:
    known = rows.name(memory.get(rows.name_row(group)))
    return "" if known is None else known[0]


def _targets(entry: object) -> tuple[Target, ...]:
    if isinstance(entry, MixpanelCohorts):
        return TARGETS[entry.write_as]
    return () if entry is None else ("attribute",)


def _copy(group: str, session: str) -> str:
    """Two groups may be synchronised under one session's name."""
    return f"{group}/{session}"
