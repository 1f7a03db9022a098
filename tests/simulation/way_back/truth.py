"""What is true at the vendors, by the requests that were answered 2xx, in their order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from streams.wayback.copies import OPEN_MAX
from tests.simulation.way_back.acts import Asked, Batch, Broken, Copied, Moved
from tests.simulation.way_back.names import COHORT_NAMES, USERS


@dataclass(slots=True)
class _Copy:
    first: int
    pages: dict[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """One cohort: the last complete copy, and the words since it began."""

    members: set[int] = field(default_factory=set)
    floor: int = 0
    words: list[tuple[int, int, bool]] = field(default_factory=list)
    """Place, user, and whether the user joined."""
    open: dict[int, _Copy] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    def take(self, place: int, page: Copied) -> None:
        if page.session in self.ended:
            return
        copy = self.open.setdefault(page.session, _Copy(place))
        copy.pages[page.page] = page.users
        if len(self.open) > OPEN_MAX:
            self._end(min(self.open, key=lambda session: self.open[session].first))
        if len(copy.pages) == page.pages and page.session in self.open:
            for session in [session for session, each in self.open.items() if each.first <= copy.first]:
                self._end(session)
            self.floor, self.members = copy.first, {user for users in copy.pages.values() for user in users}

    def now(self) -> set[int]:
        found = set(self.members)
        for place, user, joined in self.words:
            if place > self.floor:
                (found.add if joined else found.discard)(user)
        return found

    def _end(self, session: int) -> None:
        del self.open[session]
        self.ended.add(session)


class Truth:
    """Takes the accepted requests of all vendors."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        """Names of events, each with how often a vendor said it: an event has one name, of its own."""
        self.broken = 0
        self._attributes: dict[int, dict[str, str]] = {number: {} for number in range(len(USERS))}
        self._groups = {group: _Group() for group in COHORT_NAMES}
        self._place = 0

    def take(self, asked: Asked) -> None:
        self._place += 1
        match asked:
            case Batch(user, attributes, events):
                for name, value in attributes:
                    if value is None:
                        self._attributes[user].pop(name, None)
                    else:
                        self._attributes[user][name] = value
                self.events.update(event_name(number) for number in events)
            case Broken():
                self.broken += 1
            case Copied(group):
                self._groups[group].take(self._place, asked)
            case Moved(group, _, change, users):
                self._groups[group].words += [(self._place, user, change == "add_members") for user in users]

    def attributes(self, user: int) -> dict[str, str]:
        return self._attributes[user]

    def cohorts(self, user: int, entry: str) -> set[str]:
        """Groups of an entry that the user is in."""
        return {group for group, one in self._groups.items() if group.startswith(f"{entry}/") and user in one.now()}


def event_name(number: int) -> str:
    return f"event-{number}"
