"""Small checks of JSON values, combined into shapes: records, lists, choices. Pure functions.

A check takes a value and returns None, or what is `Wrong` with it. `Wrong` never contains the value: it may be
personal data.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong, and where: `path` is relative to the value, such as `.data.event_name` or `[0].price`."""

    path: str
    reason: str

    def within(self, step: str) -> Wrong:
        return Wrong(step + self.path, self.reason)


MISSING = "is missing or empty"

Check = Callable[[object], Wrong | None]

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_NOT_SCALAR = Wrong("", "must be a string, a number, a boolean or null")
_NOT_INTEGER = Wrong("", "must be an integer or null")
_NOT_NUMBER = Wrong("", "must be a number or null")
_NOT_BOOLEAN = Wrong("", "must be a boolean or null")
_NOT_TEXT = Wrong("", "must be a string")
_NOT_UUID = Wrong("", "must be a UUID or null")
_NOT_ADDRESS = Wrong("", "must be an IPv4 or IPv6 address")
_NOT_RECORD = Wrong("", "must be an object")
_NOT_LIST = Wrong("", "must be an array")
_UNKNOWN = "is not a known field"


def scalar(value: object) -> Wrong | None:
    return None if value is None or isinstance(value, (str, int, float)) else _NOT_SCALAR


def integer(value: object) -> Wrong | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return None
    return None if isinstance(value, float) and value.is_integer() else _NOT_INTEGER


def number(value: object) -> Wrong | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None
    return _NOT_NUMBER


def boolean(value: object) -> Wrong | None:
    return None if value is None or isinstance(value, bool) else _NOT_BOOLEAN


def text(value: object) -> Wrong | None:
    return None if isinstance(value, str) else _NOT_TEXT


def uuid(value: object) -> Wrong | None:
    return None if value is None or (isinstance(value, str) and _UUID.fullmatch(value)) else _NOT_UUID


def address(value: object) -> Wrong | None:
    if not isinstance(value, str):
        return _NOT_ADDRESS
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return _NOT_ADDRESS
    return None


def choice(words: str) -> Check:
    """One of these words."""
    allowed = frozenset(words.split())
    wrong = Wrong("", f"must be one of {', '.join(sorted(allowed))}")
    return lambda value: None if isinstance(value, str) and value in allowed else wrong


def nullable(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def array(check: Check) -> Check:
    """Each element passes `check`."""

    def check_array(value: object) -> Wrong | None:
        if not isinstance(value, list):
            return _NOT_LIST
        for place, element in enumerate(value):
            wrong = check(element)
            if wrong is not None:
                return wrong.within(f"[{place}]")
        return None

    return check_array


def mapping(check: Check) -> Check:
    """An object with any names, whose values pass `check`."""

    def check_mapping(value: object) -> Wrong | None:
        if not isinstance(value, dict):
            return _NOT_RECORD
        for name, inner in value.items():
            wrong = check(inner)
            if wrong is not None:
                return wrong.within(f".{name}")
        return None

    return check_mapping


def record(fields: Mapping[str, Check], required: str = "", *, is_open: bool = False) -> Check:
    """An object with these fields. `required` fields must be there; unknown fields are accepted only if it
    `is_open`."""
    names = tuple(required.split())

    def check_record(value: object) -> Wrong | None:
        if not isinstance(value, dict):
            return _NOT_RECORD
        for name in names:
            if name not in value:
                return Wrong(f".{name}", MISSING)
        for name, inner in value.items():
            check = fields.get(name)
            if check is None:
                if not is_open:
                    return Wrong(f".{name}", _UNKNOWN)
                continue
            wrong = check(inner)
            if wrong is not None:
                return wrong.within(f".{name}")
        return None

    return check_record


def fields(check: Check, names: str) -> dict[str, Check]:
    """These names, each with the same check."""
    return dict.fromkeys(names.split(), check)
