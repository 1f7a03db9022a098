"""Reads mapping tables: one event type a line, `|` between columns, indented lines go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GROUPS: Mapping[str, str] = {
    "CAMPAIGN": "campaign_id campaign_name message_variation_id message_variation_name",
    "CANVAS": "canvas_id canvas_name canvas_step_id canvas_step_name canvas_variation_id canvas_variation_name",
    "MESSAGE": "app_group_id CAMPAIGN CANVAS",
    "SENDING": "device_id dispatch_id send_id",
    "DEVICE": "device_model os_version platform",
    "ADS": "ad_id ad_id_type ad_tracking_enabled",
}
"""Fields that stand together in most events, under one word in capitals."""


@dataclass(frozen=True, slots=True)
class MappedEvent:
    """One event type's mapping.

    `fields` are the Avro fields that are sent, with the key that each is sent under; `moves` say which fields go to a
    place of their own (`idfv`, `ads`, ...); `mobile` is the field with the phone number, if it has one.
    """

    event_type: str
    name: str
    is_default: bool = True
    is_inferred: bool = False
    feed_rule: str = ""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moves: frozenset[str] = frozenset()
    mobile: str | None = None


@dataclass(frozen=True, slots=True)
class ClassicEvent:
    """An event's name of 2021 and the keys that were listed then."""

    name: str
    keys: frozenset[str]


def parse(table: str) -> dict[str, MappedEvent]:
    """The table's events by type, in its order. Columns: type, name, marks, feed rule (if any), fields."""
    events = {}
    for line in _lines(table):
        event_type, name, marks, *feed_rule, words = (column.strip() for column in line.split("|"))
        fields: dict[str, tuple[str, ...]] = {}
        moves: set[str] = set()
        mobile = None
        for word in _expanded(words):
            if word.startswith("@"):
                moves.add(word[1:])
            elif word.endswith("@mobile"):
                mobile = word.removesuffix("@mobile")
            else:
                field, _, key = word.partition(">")
                fields[field] = (*fields.get(field, ()), key or field)
        events[event_type] = MappedEvent(
            event_type=event_type,
            name=name,
            is_default="default" in marks,
            is_inferred="inferred" in marks,
            feed_rule=feed_rule[0] if feed_rule else "",
            fields=fields,
            moves=frozenset(moves),
            mobile=mobile,
        )
    return events


def parse_classic(table: str) -> dict[str, ClassicEvent]:
    """Columns: type, name of 2021, keys of 2021."""
    events = {}
    for line in _lines(table):
        event_type, name, words = (column.strip() for column in line.split("|"))
        events[event_type] = ClassicEvent(name, frozenset(words.split()))
    return events


def _lines(table: str) -> list[str]:
    lines: list[str] = []
    for line in table.strip().splitlines():
        if line.startswith(" "):
            lines[-1] += line
        else:
            lines.append(line)
    return lines


def _expanded(words: str) -> list[str]:
    expanded: list[str] = []
    for word in words.split():
        expanded += _expanded(GROUPS[word]) if word in GROUPS else [word]
    return expanded
