"""What mParticle's mapping of an event says beyond the shared one: its feed, its moved fields, its name of 2021."""

from __future__ import annotations

from dataclasses import dataclass

from streams.destinations.table import MappedEvent, fields_of, is_default, is_inferred, lines, rows


@dataclass(frozen=True, slots=True)
class FeedEvent(MappedEvent):
    """One event type's mapping.

    `moves` say which fields go to a place of their own (`idfv`, `ads`, ...); `mobile` is the field with the phone
    number, if it has one.
    """

    feed_rule: str = ""
    moves: frozenset[str] = frozenset()
    mobile: str | None = None

    @property
    def remark(self) -> str:
        return self.feed_rule


@dataclass(frozen=True, slots=True)
class ClassicEvent:
    """An event's name of 2021 and the keys that were listed then."""

    name: str
    keys: frozenset[str]


def parse(table: str) -> dict[str, FeedEvent]:
    """The table's events by type, in its order. Columns: type, name, marks, feed rule, fields."""
    events = {}
    for line in lines(table):
        (feed_rule,) = line.columns
        moves = [word[1:] for word in line.words if word.startswith("@")]
        mobiles = [word.removesuffix("@mobile") for word in line.words if word.endswith("@mobile")]
        events[line.event_type] = FeedEvent(
            event_type=line.event_type,
            name=line.name,
            is_default=is_default(line),
            is_inferred=is_inferred(line),
            fields=fields_of(word for word in line.words if "@" not in word),
            feed_rule=feed_rule,
            moves=frozenset(moves),
            mobile=mobiles[-1] if mobiles else None,
        )
    return events


def parse_classic(table: str) -> dict[str, ClassicEvent]:
    """Columns: type, name of 2021, keys of 2021."""
    return {event_type: ClassicEvent(name, frozenset(keys.split())) for event_type, name, keys in rows(table)}
