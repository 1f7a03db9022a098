"""Attributes as single words, each with its own place: a subscription to one group is no word about another. Pure.

`subscription_groups` and `push_tokens` are lists of Braze whose items come in records of their own. So each item is a
word, named by what it is of; everything else is the word of its attribute's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARK = "\0"
"""Between a list's name and what its item is of: no attribute's name holds it."""


def split(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Words of an object's content."""
    words: dict[str, Any] = {}
    for name, value in attributes.items():
        match name:
            case "subscription_groups":
                words |= {f"{name}{MARK}{item['subscription_group_id']}": item for item in value}
            case "push_tokens":
                words |= {f"{name}{MARK}{item['app_id']}{MARK}{item.get('device_id', '')}": item for item in value}
            case _:
                words[name] = value
    return words


def joined(words: Mapping[str, Any]) -> dict[str, Any]:
    """An object's content of words."""
    attributes: dict[str, Any] = {}
    for word, value in words.items():
        name, mark, _ = word.partition(MARK)
        if mark:
            attributes.setdefault(name, []).append(value)
        else:
            attributes[name] = value
    return attributes
