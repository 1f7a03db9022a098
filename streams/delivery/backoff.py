"""How long to wait before the same bytes are sent again: one back-off per connector and scope."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

HEADER_CHARACTERS_MAX = 100
"""A date has 29 characters; the parser's time grows with what it reads."""
WAIT_SECONDS_MAX = 60.0
"""Vendors ask for doubling up to 60 s; a longer wait delays recovery more than it spares the destination."""
RETRY_AFTER_SECONDS_MAX = 900.0
"""A destination that asks for more than 15 minutes is asked again then: the header may be a mistake."""


def wait_seconds(base: float, failures: int, random: Random, retry_after: float | None = None) -> float:
    """Uniform between `base` and min(60 s, base x 2^failures), never under what `Retry-After` asks (15 min at most).

    `failures` counts the failures in a row, from 1.
    """
    longest = min(WAIT_SECONDS_MAX, base * 2.0 ** min(failures, 16))
    wait = random.uniform(base, max(base, longest))
    return max(wait, asked_seconds(retry_after))


def asked_seconds(retry_after: float | None) -> float:
    """What `Retry-After` asks, capped; 0.0 where it asks nothing."""
    return 0.0 if retry_after is None else min(retry_after, RETRY_AFTER_SECONDS_MAX)


MOMENT = r"[1-9]\d{9}(\.\d+)?"
"""Seconds since 1970, from 2001 to 2286: a wait of 31 years is not meant."""


def parse_retry_after(header: str | None, now_s: float) -> float | None:
    """Seconds to wait of a `Retry-After` header in either form of RFC 9110 10.2.3; None if absent or unreadable.

    A number of ten digits is a moment in seconds since 1970, as headers about rates have it.
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(MOMENT, text):
        return max(0.0, float(text) - now_s)
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return RETRY_AFTER_SECONDS_MAX  # more seconds than anybody means: the longest wait that we take
    try:
        at = parsedate_to_datetime(text[:HEADER_CHARACTERS_MAX])
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return max(0.0, at.timestamp() - now_s)
    except (ValueError, OverflowError, TypeError, IndexError, AttributeError):
        return None  # no date, or one that no calendar has
