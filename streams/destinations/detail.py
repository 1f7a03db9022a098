"""A destination's own words as a dead letter's detail: short, with values masked and secrets removed."""

from __future__ import annotations

import re
from collections.abc import Iterable

DETAIL_BYTES_MAX = 500

_QUOTED = re.compile(r"(?P<quote>[\"'])(?P<text>.*?)(?P=quote)")
_ADDRESS = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+\.[^\s@\"'<>]+")
_PROPERTY_NAMES = re.compile(r"(?:properties\.|\$)[\w.$]+|[a-z_]+")


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """At most 500 bytes; quoted values become …, names of fields stay; secrets and e-mail addresses are removed."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = _ADDRESS.sub("[address]", text)
    text = _QUOTED.sub(_mask, text)
    text = " ".join(text.split())
    return text.encode()[:DETAIL_BYTES_MAX].decode(errors="ignore")


def _mask(match: re.Match[str]) -> str:
    """A quoted name of a field says where the fault is; any other quoted text may be a value."""
    if _PROPERTY_NAMES.fullmatch(match["text"]):
        return match[0]
    return f"{match['quote']}…{match['quote']}"
