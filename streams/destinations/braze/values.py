"""Names and values as Braze takes them, and what is dropped or cut on the way, by name of the field, never of a value.

Sources: Braze's pages on event, purchase and attribute objects, and on its integrations with Mixpanel and mParticle:
properties are text, number, boolean or date; custom attributes may be arrays too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

TEXT_CHARACTERS_MAX: Final = 255
"""Of a name or a text."""
ITEMS_MAX = 500
"""Of an attribute that is an array."""
DEPTH_MAX = 20
"""Objects and arrays inside each other: what is nested deeper is dropped."""

PropertyTypes = Literal["scalar", "nested"]
Loss = Literal["type", "name", "reserved", "value", "cut"]
"""Why a value is not sent as it came. `cut`: it is sent, shorter."""

CHANGED_FIRST: Final = frozenset({"", "$", " "})
"""A name may be changed or dropped that begins so. Others of at most 255 characters are sent as they are."""
SENT_AS_IT_IS: Final = frozenset({int, bool})
"""Types of values that every property may have, whatever the value."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_FLOAT = re.compile(r"-?\d{1,15}\.\d{1,15}([eE][+-]?\d{1,2})?")


@dataclass(slots=True)
class Losses:
    """What one record lost."""

    found: list[tuple[Loss, str]] = field(default_factory=list)

    def add(self, loss: Loss, name: str) -> None:
        self.found.append((loss, name[:TEXT_CHARACTERS_MAX]))


def name_of(given: str, losses: Losses) -> str | None:
    """A name without its leading `$`, cut at 255 characters; None where nothing is left of it."""
    if given[:1] not in CHANGED_FIRST and len(given) <= TEXT_CHARACTERS_MAX:
        return given  # nearly all are so
    name = given.lstrip("$")
    if not name.strip():
        losses.add("name", given)
        return None
    if len(name) > TEXT_CHARACTERS_MAX:
        losses.add("cut", given)
    return name[:TEXT_CHARACTERS_MAX]


def detected(value: Any) -> Any:
    """A text that looks like a boolean or a number as such: boolean, integer, float; dates and the rest stay text."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return value


def property_value(name: str, value: Any, types: PropertyTypes, losses: Losses) -> Any:
    """A property of an event or purchase; None where it is not sent."""
    kind = type(value)
    if (
        kind in SENT_AS_IT_IS
        or (kind is str and len(value) <= TEXT_CHARACTERS_MAX)
        or (kind is float and math.isfinite(value))
    ):
        return value  # nearly all are so
    if isinstance(value, dict | list):
        if types == "scalar":
            losses.add("type", name)
            return None
        return _nested(name, value, losses, dates_in_arrays=False)
    return _scalar(name, value, losses)


def attribute_value(name: str, value: Any, types: PropertyTypes, losses: Losses) -> Any:
    """A custom attribute's value; None where it is not sent. A deletion never comes here."""
    if isinstance(value, dict):
        if types == "scalar":
            losses.add("type", name)
            return None
        return _nested(name, value, losses)
    if isinstance(value, list):
        return _array(name, value, types, losses)
    return _scalar(name, value, losses)


def _array(name: str, items: list[Any], types: PropertyTypes, losses: Losses) -> list[Any] | None:
    allowed = (str,) if types == "scalar" else (str, dict)
    if not all(isinstance(item, allowed) for item in items):
        losses.add("type", name)
        return None
    if len(items) > ITEMS_MAX:
        losses.add("cut", name)
    kept = [_nested(name, item, losses) for item in items[:ITEMS_MAX]]
    return [item for item in kept if item is not None]


def _scalar(name: str, value: Any, losses: Losses) -> Any:
    match value:
        case None:
            return None
        case str():
            if len(value) > TEXT_CHARACTERS_MAX:
                losses.add("cut", name)
            return value[:TEXT_CHARACTERS_MAX]
        case float() if not math.isfinite(value):
            losses.add("value", name)
            return None
        case bool() | int() | float():
            return value
        case _:
            losses.add("type", name)
            return None


def _nested(name: str, value: Any, losses: Losses, depth: int = 0, *, dates_in_arrays: bool = True) -> Any:
    if depth >= DEPTH_MAX:
        losses.add("type", name)
        return None
    if isinstance(value, Mapping):
        inner = {
            each: _nested(f"{name}.{given}", item, losses, depth + 1, dates_in_arrays=dates_in_arrays)
            for given, item in value.items()
            if (each := name_of(given, losses)) is not None
        }
        return {each: item for each, item in inner.items() if item is not None}
    if isinstance(value, list):
        items = [_nested(name, item, losses, depth + 1, dates_in_arrays=dates_in_arrays) for item in value]
        if not dates_in_arrays and any(isinstance(item, str) and _DATE.fullmatch(item) for item in items):
            losses.add("type", name)  # Braze refuses a date inside an array of a property
            items = [item for item in items if not (isinstance(item, str) and _DATE.fullmatch(item))]
        return [item for item in items if item is not None]
    return _scalar(name, value, losses)
