"""One inlet as the topic of inlets tells it: one object that answers questions, as `StateView` does for a connector.

Entries stay encoded, about 500 bytes an object of the look-back: only what is asked for is decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from streams.inlets.layout import Slot, hour_of, is_file, place_of
from streams.inlets.objects import StoredObject
from streams.inlets.progress import (
    SETTLED,
    Closed,
    Container,
    Entry,
    Head,
    Order,
    State,
    slot_from_bytes,
    slot_of,
    slot_to_bytes,
    taken_key,
)

Value = TypeVar("Value")

SLOT_BYTES_MAX = 400_000
"""Where a record of progress would become larger, a second one begins: topics take 2 MB, and a record is written again
with each of its objects."""
DECODED_MAX = 16
"""Hours that are kept decoded: most stores list in the order of keys."""


class Verdict(Enum):
    """What a listed object means."""

    IGNORED = auto()
    BEFORE_START = auto()
    SETTLED = auto()
    WAITS = auto()
    """Damaged or parked, and not changed since."""
    DUE = auto()
    """New, changed, or under way."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an inlet begins: the first hour, or the first moment where the layout has no hours. Empty and 0: all."""

    hour: str = ""
    modified_ms: int = 0

    @classmethod
    def at(cls, moment_ms: int) -> Start:
        return cls(hour_of(moment_ms), moment_ms)


class InletView:
    """What is known of one inlet. `apply` takes the records in the order of the topic."""

    def __init__(self, inlet: str) -> None:
        self.inlet = inlet
        self.head = Head()
        self.start = Start()
        self.orders = dict[str, Order]()
        self.waiting = dict[str, Entry]()
        """Objects that are damaged or parked, by key."""
        self.under_way = dict[str, Entry]()
        self._closed = dict[str, Closed]()
        self._slots = dict[Slot, dict[int, bytes]]()
        self._decoded = dict[tuple[Slot, int], dict[str, Entry]]()
        self._known = Counter[bytes]()

    def apply(self, key: str, value: bytes | None) -> bool:
        """Take a record; whether it is one of this inlet. Raises `StateError` and `StateTooNew`."""
        kind, _, rest = key.partition("/")
        inlet, _, rest = rest.partition("/")
        if inlet != self.inlet:
            return False
        if kind == "taken":
            self._apply_slot(key, value)
        elif kind == "closed":
            _put(self._closed, rest, None if value is None else Closed.from_bytes(key, value))
        elif kind == "order":
            _put(self.orders, rest, None if value is None else Order.from_bytes(key, value))
        elif kind == "inlet" and value is not None:
            self.head = Head.from_bytes(key, value)
        return True

    def verdict(self, one: StoredObject) -> Verdict:
        """What a listed object means."""
        if not is_file(one.key):
            return Verdict.IGNORED
        place = place_of(one.key)
        entry = self._entry(place.slot, one.key)
        if entry is not None:
            if entry.etag != one.etag or entry.state in (State.UNDER_WAY, State.LOST):
                return Verdict.DUE
            return Verdict.SETTLED if entry.state in SETTLED else Verdict.WAITS
        if place.hour < self.start.hour if place.hour else one.modified_ms < self.start.modified_ms:
            return Verdict.BEFORE_START
        closed = self._closed.get(place.root)
        if closed is not None and closed.holds(place.hour, one.modified_ms):
            return Verdict.SETTLED
        return Verdict.DUE

    def entry(self, key: str) -> Entry | None:
        """What is known of the object with this key."""
        return self._entry(place_of(key).slot, key)

    def is_known(self, sha256: bytes) -> bool:
        """Whether a container with these bytes was taken whole."""
        return self._known[sha256] > 0

    def containers(self) -> Iterator[Container]:
        """Every container that was taken, or is under way."""
        for slot, numbers in self._slots.items():
            for number in numbers:
                for entry in self._objects(slot, number).values():
                    yield from entry.containers

    def rows(self, entries: Mapping[str, Entry]) -> dict[str, bytes]:
        """The records to write so that these objects stand like this."""
        changed = dict[tuple[Slot, int], dict[str, Entry]]()
        for key, entry in entries.items():
            slot = place_of(key).slot
            place = (slot, self._number(slot, key, changed))
            changed.setdefault(place, dict(self._objects(*place)))[key] = entry
        return {taken_key(self.inlet, slot, number): slot_to_bytes(held) for (slot, number), held in changed.items()}

    def closing(self, closed: Mapping[str, Closed]) -> dict[str, bytes | None]:
        """The records to write so that these folders are closed up to there. What they hold leaves with that."""
        rows: dict[str, bytes | None] = {
            f"closed/{self.inlet}/{root}": to.to_bytes() for root, to in closed.items() if self._closed.get(root) != to
        }
        after = {**self._closed, **closed}
        for slot, numbers in self._slots.items():
            for number in numbers:
                held = self._objects(slot, number)
                kept = {key: entry for key, entry in held.items() if not _is_held(key, entry, after)}
                if len(kept) < len(held):
                    rows[taken_key(self.inlet, slot, number)] = slot_to_bytes(kept) if kept else None
        return rows

    def closed(self, root: str) -> Closed | None:
        return self._closed.get(root)

    def _number(self, slot: Slot, key: str, changed: Mapping[tuple[Slot, int], Mapping[str, Entry]]) -> int:
        """The record of the slot that holds this key, or has room for it."""
        numbers = self._slots.get(slot, {})
        for number in numbers:
            if key in changed.get((slot, number), ()) or key in self._objects(slot, number):
                return number
        return next((number for number, value in numbers.items() if len(value) < SLOT_BYTES_MAX), len(numbers))

    def _entry(self, slot: Slot, key: str) -> Entry | None:
        for number in self._slots.get(slot, ()):
            if (entry := self._objects(slot, number).get(key)) is not None:
                return entry
        return None

    def _objects(self, slot: Slot, number: int) -> dict[str, Entry]:
        """Entries of a record, decoded."""
        held = self._decoded.get((slot, number))
        if held is None:
            value = self._slots.get(slot, {}).get(number)
            held = {} if value is None else slot_from_bytes(taken_key(self.inlet, slot, number), value)
            while len(self._decoded) >= DECODED_MAX:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[slot, number] = held
        return held

    def _apply_slot(self, key: str, value: bytes | None) -> None:
        slot, number = slot_of(key)
        self._count(self._objects(slot, number).items(), -1)
        self._decoded.pop((slot, number), None)
        if value is None:
            self._slots.get(slot, {}).pop(number, None)
            if not self._slots.get(slot):
                self._slots.pop(slot, None)
        else:
            self._slots.setdefault(slot, {})[number] = value
        self._count(self._objects(slot, number).items(), 1)

    def _count(self, objects: Iterable[tuple[str, Entry]], step: int) -> None:
        for key, entry in objects:
            for one in entry.containers:
                if one.is_done:
                    self._known[one.sha256] += step
                    if not self._known[one.sha256]:
                        del self._known[one.sha256]
            if entry.state in (State.DAMAGED, State.PARKED):
                _put(self.waiting, key, entry if step > 0 else None)
            elif entry.state is State.UNDER_WAY:
                _put(self.under_way, key, entry if step > 0 else None)


def _is_held(key: str, entry: Entry, closed: Mapping[str, Closed]) -> bool:
    """Whether a closed folder says the same as this entry."""
    place = place_of(key)
    to = closed.get(place.root)
    return entry.state in SETTLED and to is not None and to.holds(place.hour, entry.modified_ms)


def _put(held: dict[str, Value], key: str, value: Value | None) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value
