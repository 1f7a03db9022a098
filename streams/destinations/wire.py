"""What requests and answers of several destinations share: Basic authentication, ids, JSON or HTML."""

from __future__ import annotations

import base64
import hashlib
import re

from streams.delivery.contract import Response

is_safe = re.compile(r"[A-Za-z0-9-]{1,36}").fullmatch
"""Whether an id may go as it is."""


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def safe_id(text: str) -> str:
    """An id of 1-36 letters, digits and hyphens: the event's own, else the first 36 hex digits of its SHA-256.

    Mixpanel takes no other `$insert_id` (its page on importing events); one rule for all keeps ids comparable.
    """
    return text if is_safe(text) else hashlib.sha256(text.encode()).hexdigest()[:36]


def is_html(response: Response) -> bool:
    """Whether a proxy or gateway answered in the destination's place."""
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or response.body.lstrip()[:1] == b"<"
