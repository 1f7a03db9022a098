"""What requests of several destinations share: Basic authentication, ids."""

from __future__ import annotations

import base64
import hashlib
import re

from streams.delivery.contract import Encoder, Encoding, Rejected
from streams.events.walker import CORRUPT, Op, repaired

is_safe = re.compile(r"[A-Za-z0-9-]{1,36}").fullmatch
"""Whether an id may go as it is."""


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def safe_id(text: str) -> str:
    """An id of 1-36 letters, digits and hyphens: the event's own, else the first 36 hex digits of its SHA-256.

    The strictest destination takes no other; one rule for all keeps ids comparable.
    """
    return text if is_safe(text) else hashlib.sha256(text.encode()).hexdigest()[:36]


UNDECODABLE_DETAIL = "undecodable: the datum does not fit its schema"


def encoded_repaired(encode: Encoder, ops: list[Op], value: bytes, start: int) -> Encoding:
    """What `encode` makes of a datum with bytes that are no UTF-8: U+FFFD stands for them, and each string that had
    some is counted as one that was cut."""
    try:
        datum, changed = repaired(ops, value, start)
    except (ValueError, *CORRUPT):
        return Rejected(UNDECODABLE_DETAIL)
    encoding = encode(datum, 0)
    if isinstance(encoding, tuple):
        scope, body, cuts = encoding
        return scope, body, cuts + changed
    return encoding
