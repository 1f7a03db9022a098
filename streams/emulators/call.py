"""One call to a vendor and its answer, as values; and what a vendor is to the server."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came: `headers` with names in lower case, `body` as on the wire."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: str
    """User of the Basic authentication, or empty: the name of a key, never its secret."""
    password: str | None = field(repr=False)
    """None where there was no usable Basic authentication."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back, and what the ledger keeps about the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    record_ids: Sequence[str] = ()
    """Ids of the records in the request, in its order; an empty one where a record has none."""
    refused_ids: Sequence[str] = ()
    """Ids of the records that this answer refuses by name."""
    bytes_decompressed: int = 0
    credential: str = ""
    """Which of the configured credentials was used, by its name."""


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None, **kept: Any) -> Answer:
    """An answer with a JSON body; `kept` is what the ledger keeps."""
    return Answer(status, orjson.dumps(content), JSON | dict(headers or {}), **kept)


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """User and password of an `Authorization: Basic` header, None if it is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


class Vendor(Protocol):
    """What the server asks of an emulated vendor. Everything is synchronous and takes its time as an argument."""

    def receive(self, call: Call, now_ms: int) -> Answer:
        """Check and take what the call brings."""

    def told(self, answer: Answer) -> None:
        """The caller will see this answer: from now on it knows what was refused."""

    def view(self, name: str) -> dict[str, Any] | None:
        """A view of what was taken (`raw`, `query`, …), or None where the vendor has no such view."""

    def credentials(self) -> list[dict[str, Any]]:
        """Names of the credentials, and whether each is revoked."""

    def change_credential(self, name: str, revoked: bool | None, secret: str | None) -> bool:
        """Revoke or restore a credential, or give it another secret. False where there is none of that name."""

    def reset(self) -> None:
        """Forget everything that was taken; credentials are as configured again."""
