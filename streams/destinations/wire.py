"""What requests of several destinations share: Basic authentication, ids."""

from __future__ import annotations

import base64
import hashlib
import re

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
