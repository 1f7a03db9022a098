"""What requests of several destinations share: Basic authentication, ids, arrays."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from string import ascii_letters, digits
from typing import Final

ID_CHARACTERS_MAX: Final = 36
SAFE: Final = b"0"
UNSAFE: Final = b"1"
KINDS: Final = b"".join(SAFE if chr(byte) in f"{ascii_letters}{digits}-" else UNSAFE for byte in range(256))
"""Whether each byte may be in an id."""
UUID_KINDS: Final = ID_CHARACTERS_MAX * SAFE


def is_safe(text: str) -> bool:
    """Whether an id may go as it is: 1-36 letters, digits and hyphens of ASCII. Asked for every event."""
    kinds = text.encode().translate(KINDS)
    return kinds == UUID_KINDS or (0 < len(kinds) <= ID_CHARACTERS_MAX and UNSAFE not in kinds)


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def json_array(items: Sequence[bytes]) -> bytes:
    """A JSON array of what is JSON already. The brackets go to the first and the last item: around the joined ones,
    they would copy all of them twice more."""
    if len(items) < 2:
        return b"[" + b"".join(items) + b"]"
    return b",".join([b"[" + items[0], *items[1:-1], items[-1] + b"]"])


def safe_id(text: str) -> str:
    """An id of 1-36 letters, digits and hyphens: the event's own, else the first 36 hex digits of its SHA-256.

    The strictest destination takes no other; one rule for all keeps ids comparable.
    """
    return text if is_safe(text) else hashlib.sha256(text.encode()).hexdigest()[:ID_CHARACTERS_MAX]
