"""Requests to `/users/track`: which items fit into one, what of them is news, and what is remembered of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from streams.delivery.composer import Change, Composed, Item, Items, Memory
from streams.destinations.braze import items as kinds
from streams.destinations.braze.event_runs import parted, run_of
from streams.destinations.braze.items import Changes, Joins, Losses, head, sent
from streams.destinations.braze.layout import ArrayLayout, Singles
from streams.destinations.braze.objects import ARRAYS, OBJECT_BYTES_MAX, Array
from streams.destinations.braze.requests import REQUEST_BYTES_MAX, Track, track_request
from streams.destinations.braze.settings import BrazeSettings
from streams.destinations.braze.user import Merged, User
from streams.wayback import rows
from streams.wayback.entries import Entry
from streams.wayback.memory import user_memory

FILLED_BYTES_MAX: Final = REQUEST_BYTES_MAX - 500_000
"""Of the records in one request: the rest is for what memberships become."""
RUN_MIN: Final = 2
"""Events in a row that are taken together: of one alone there is nothing to save."""
USER_BYTES_MAX: Final = OBJECT_BYTES_MAX - 20_000
"""Of the records about one user in one request: the rest is for what memberships become."""
KNOWN: Final = frozenset(
    {
        "country", "dob", "email", "email_subscribe", "facebook", "first_name", "gender", "home_city", "language",
        "last_name", "phone", "push_subscribe", "push_tokens", "subscription_groups", "twitter",
    }
)  # fmt: skip
"""Attributes of Braze itself: no data points."""
DATA_POINTS, DROPPED, SEGMENTS_CUT = "data_points", "dropped_values", "segments_cut"
TALLIES = (
    *(f"{DATA_POINTS}.{array}" for array in ARRAYS),
    *(f"{DROPPED}.{why}" for why in ("type", "name", "reserved", "value", "cut")),
    SEGMENTS_CUT,
)


def compose(settings: BrazeSettings, items: Sequence[Item], memory: Memory, now_s: int) -> Composed:
    """The first items that fit into one request."""
    draft = _Draft(settings, memory, now_s)
    waiting = items if isinstance(items, Items) else Items(items)
    while draft.taken < len(waiting):
        if not draft.takes_run(waiting) and not draft.takes(draft.taken, waiting[draft.taken]):
            break
    return draft.composed()


@dataclass(slots=True)
class _Draft:
    """A request that is being filled."""

    settings: BrazeSettings
    memory: Memory
    now_s: int
    taken: int = 0
    size: int = 0
    users: dict[str, User] = field(default_factory=dict)
    news: set[str] = field(default_factory=set)
    """Users who need an object."""
    objects: dict[Array, list[bytes]] = field(default_factory=lambda: {"events": [], "purchases": []})
    positions: dict[Array, list[int]] = field(default_factory=lambda: {"events": [], "purchases": []})
    """Of the objects."""
    alone_until: int = 0
    """Items before this position are taken one by one: they were looked at together, and are no run."""
    events: dict[int, str] = field(default_factory=dict)
    """Ids of events and purchases, by position."""
    ids: set[str] = field(default_factory=set)
    """The same ids."""
    skipped: dict[int, str] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    names: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Of groups: the last name, the place of the word that brought it, and its position."""

    def takes_run(self, items: Items) -> bool:
        """Whether the next items are events that are sent as they are, and all of them are part of this request now.

        False says nothing: the next item may be taken alone.
        """
        first, bodies = self.taken, items.bodies
        if first < self.alone_until:
            return False
        end = run_of(bodies, first, min(len(bodies), first + self._room()))
        if end - first < RUN_MIN:
            return False
        self.alone_until = end  # unless all of them are news
        if items.came_back(first, end):
            return False
        ids, objects, size = parted(bodies, first, end)
        new = set(ids)
        if self.size + size > FILLED_BYTES_MAX or len(new) < len(ids) or not self.ids.isdisjoint(new):
            return False
        if self.memory.seen_among(ids):
            return False
        positions = range(first, end)
        self.objects["events"] += objects
        self.positions["events"] += positions
        self.events.update(zip(positions, ids, strict=True))
        self.ids |= new
        self.taken, self.size = end, self.size + size
        return True

    def takes(self, position: int, item: Item) -> bool:
        """Whether the item is part of this request, sent or skipped; False: it is full."""
        body = item.body
        if self.size and self.size + len(body) > FILLED_BYTES_MAX:
            return False
        kind = body[0]
        if kind in (kinds.EVENT, kinds.CUT_EVENT):
            fits = self._event(position, item, "events")
        elif kind in (kinds.PURCHASE, kinds.CUT_PURCHASE):
            fits = self._event(position, item, "purchases")
        elif kind == kinds.ATTRIBUTES:
            fits = self._attributes(position, item)
        else:
            fits = self._membership(position, item)
        if fits:
            self.taken += 1
            self.size += len(body)
        return fits

    def composed(self) -> Composed:
        changes: list[Change] = []
        doubts: list[Change] = []
        places: dict[str, Sequence[Sequence[int]]] = {}
        of_users: list[Sequence[int]] = []
        written: dict[Array, list[bytes]] = {array: [] for array in ARRAYS}
        for user in self.users.values():
            merged = user.merged(self.settings.receive, self.now_s)
            self.skipped |= dict.fromkeys(merged.unchanged, "unchanged")
            changes += merged.changes
            doubts += merged.doubts
            if merged.content:
                of_users.append(merged.sent)
                written["attributes"].append(_object(user, merged))
                self._count(merged)
        if of_users:
            places["attributes"] = of_users
        for array, found in self.objects.items():
            if found:
                places[array] = Singles(self.positions[array])
                written[array] = found
                self.tally[f"{DATA_POINTS}.{array}"] += len(found)
        changes += self._names()
        if not places:
            return Composed(None, self.taken, self.skipped, changes, self.events, self.tally, dropped=self.dropped)
        request = track_request(self.settings, Track(_body(written), ArrayLayout(places)))
        return Composed(
            request, self.taken, self.skipped, changes, self.events, self.tally, doubts=doubts, dropped=self.dropped
        )

    def _event(self, position: int, item: Item, array: Array) -> bool:
        if not self._room():
            return False
        event_id, losses, body = sent(item.body)
        if not item.again and (event_id in self.ids or self.memory.seen_among((event_id,))):
            self.skipped[position] = "duplicate"
            return True
        self.objects[array].append(body)
        self.positions[array].append(position)
        self.events[position] = event_id
        self.ids.add(event_id)
        if losses:
            self._lose(losses)
        return True

    def _attributes(self, position: int, item: Item) -> bool:
        changes = Changes(*head(item.body))
        user = self._user(changes.user)
        return self._hear(position, user, user.told(item, position, changes), changes.losses)

    def _membership(self, position: int, item: Item) -> bool:
        word = Joins(*head(item.body))
        user = self._user(word.user)
        floor = rows.copies(self.memory.get(rows.group_row(word.group))).floor
        told = user.joins(item, position, word, floor, self.now_s)
        if not self._hear(position, user, told, {}):
            return False
        if told is not None and item.place >= self.names.get(word.group, ("", -1, 0))[1]:
            self.names[word.group] = (word.name, item.place, position)
        return True

    def _hear(self, position: int, user: User, told: User | None, losses: Losses) -> bool:
        if told is None:
            self.skipped[position] = "stale"
            return True
        if user.size and told.size > USER_BYTES_MAX:
            return False
        name = user.external_id
        is_news = told.is_news
        if is_news and name not in self.news and not self._room():
            return False
        self.users[name] = told
        (self.news.add if is_news else self.news.discard)(name)
        self._lose(losses)
        return True

    def _user(self, external_id: str) -> User:
        user = self.users.get(external_id)
        if user is None:
            user = User.of(external_id, user_memory(self.memory.get(rows.user_row(external_id))))
        return user

    def _room(self) -> int:
        """How many objects more there may be."""
        objects = len(self.news) + sum(map(len, self.positions.values()))
        return max(0, self.settings.objects_max - objects)

    def _names(self) -> list[Change]:
        """Names of groups by which members were last sent."""
        changes = []
        for group, (name, place, position) in self.names.items():
            known = rows.name(self.memory.get(rows.name_row(group)))
            if known is None or (name != known[0] and place >= known[1]):
                changes.append(Change(rows.name_row(group), rows.name_to_bytes(name, place), (position,)))
        return changes

    def _count(self, merged: Merged) -> None:
        points = sum(name not in KNOWN for name in merged.content)
        if points:
            self.tally[f"{DATA_POINTS}.attributes"] += points
        if merged.segments_cut:
            self.tally[SEGMENTS_CUT] += merged.segments_cut

    def _lose(self, losses: Losses) -> None:
        for loss, count in losses.items():
            self.tally[f"{DROPPED}.{loss.partition('/')[0]}"] += count
            self.dropped[loss] += count


def is_sent_by_name(entries: Mapping[str, Entry], group: str) -> bool:
    """Whether members of the group must be sent again under its new name."""
    entry = entries.get(group.partition("/")[0])
    value, shapes = getattr(entry, "value", ""), getattr(entry, "shapes", ())
    return value == "name" or "per_segment" in shapes


def _object(user: User, merged: Merged) -> bytes:
    only = {"_update_existing_only": True} if user.only_existing else {}
    return orjson.dumps({"external_id": user.external_id, **only, **merged.content})


def _body(written: Mapping[Array, Sequence[bytes]]) -> bytes:
    arrays = [b'"%b":[%b]' % (array.encode(), b",".join(bodies)) for array, bodies in written.items() if bodies]
    return b"{%b}" % b",".join(arrays)
