"""A destination's own words as a dead letter's detail: short, with values masked and secrets removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

DETAIL_BYTES_MAX = 500
READ_CHARACTERS_MAX = 1_500
"""Masking shortens, so more than 500 are read; bounded, for an answer may be megabytes and patterns backtrack."""

_QUOTED = re.compile(r"(?<!\w)(?P<quote>[\"'`])(?P<text>.*?)(?:(?P=quote)(?!\w)|$)", re.DOTALL)
"""From a quote before a word to its fellow after a word, or to the text's end: an apostrophe is no quote."""
_ADDRESS = re.compile(r"[^\s@\"'<>,;]+@[^\s@\"'<>,;]+")
_PHONE = re.compile(r"\+\d[\d ()-]{5,}\d")


def masked(text: str, secrets: Iterable[str] = (), field_names: re.Pattern[str] | None = None) -> str:
    """At most 500 bytes of printable text on one line.

    Quoted values become …; names of fields that both sides know stay, without their quotes, for they say where the
    fault is, and no customer chose them: letters are grouped by what is not quoted. Secrets, e-mail addresses and phone
    numbers are removed.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[secret]")
    text = text[:READ_CHARACTERS_MAX]
    text = _ADDRESS.sub("[address]", text)
    text = _PHONE.sub("[number]", text)
    text = _QUOTED.sub(partial(_mask, field_names), text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text.encode()[:DETAIL_BYTES_MAX].decode(errors="ignore")


def _mask(field_names: re.Pattern[str] | None, match: re.Match[str]) -> str:
    """A quoted name of a field says where the fault is; any other quoted text may be a value."""
    if field_names is not None and field_names.fullmatch(match["text"]):
        return match["text"]
    return f"{match['quote']}…{match['quote']}"
