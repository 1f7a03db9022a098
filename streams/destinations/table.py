"""Reads mapping tables: one event type a line, `|` between columns, indented lines go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """One event type's mapping. `fields` are the Avro fields that are sent, with the keys that each is sent under."""

    event_type: str
    name: str
    is_default: bool = True
    is_inferred: bool = False
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def remark(self) -> str:
        """What the page of destinations says beside the name."""
        return ""


@dataclass(frozen=True, slots=True)
class Line:
    """One event type's line: `columns` are those between the marks and the fields, `words` the fields, written out."""

    event_type: str
    name: str
    marks: str
    columns: tuple[str, ...]
    words: tuple[str, ...]


def lines(table: str) -> list[Line]:
    """The table's lines in its order. Columns: type, name, marks, what a destination adds, fields."""
    found = []
    for line in rows(table):
        event_type, name, marks, *columns, words = line
        found.append(Line(event_type, name, marks, tuple(columns), tuple(_expanded(words))))
    return found


def parse(table: str) -> dict[str, MappedEvent]:
    """The table's events by type, in its order. Columns: type, name, marks, fields."""
    return {
        line.event_type: MappedEvent(
            line.event_type, line.name, is_default(line), is_inferred(line), fields_of(line.words)
        )
        for line in lines(table)
    }


def is_default(line: Line) -> bool:
    return "default" in line.marks


def is_inferred(line: Line) -> bool:
    return "inferred" in line.marks


def fields_of(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Fields with the keys that each is sent under: `field`, or `field>key`."""
    fields: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, _, key = word.partition(">")
        fields[name] = (*fields.get(name, ()), key or name)
    return fields


def rows(table: str) -> list[list[str]]:
    """The columns of each line; an indented line goes on with the one before it."""
    joined: list[str] = []
    for line in table.strip().splitlines():
        if line.startswith(" "):
            joined[-1] += line
        else:
            joined.append(line)
    return [[column.strip() for column in line.split("|")] for line in joined]


def _expanded(words: str) -> list[str]:
    expanded: list[str] = []
    for word in words.split():
        expanded += _expanded(GROUPS[word]) if word in GROUPS else [word]
    return expanded
