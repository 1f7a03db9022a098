"""One call to a vendor and its answer, as values; and the contract between the server and a vendor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from streams.emulators.courier import Outbox
from streams.emulators.credentials import Credentials

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
    """The user of the Basic authentication, or empty. It is the name of a key, not a secret."""
    password: str | None = field(repr=False)
    """The password of the Basic authentication; None if there was none that can be used."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer, and what the ledger remembers of the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    record_ids: Sequence[str] = ()
    """Ids of the request's records, in its order; empty for a record without one."""
    refused_ids: Sequence[str] = ()
    """Ids of the records that this answer refuses by name."""
    bytes_decompressed: int = 0
    credential: str = ""
    """The name of the configured credential that was used."""


def json_answer(status: int, content: Any, headers: Mapping[str, str] | None = None, **kept: Any) -> Answer:
    """An answer with a JSON body. `kept` goes to the ledger."""
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


def view_of(
    name: str,
    rows: Mapping[str, Callable[[], Sequence[Any]]],
    records: Mapping[str, Callable[[], Sequence[Any]]],
    totals: Callable[[], dict[str, int]],
) -> dict[str, Any] | None:
    """The view of this name, as a control call answers it; None if there is none."""
    if name in rows:
        return {"rows": rows[name]()}
    if name in records:
        return {"records": records[name]()}
    return totals() if name == "totals" else None


class Vendor(Protocol):
    """What the server needs of an emulated vendor. Every method is synchronous and gets the time as an argument."""

    @property
    def credentials(self) -> Credentials[Any]: ...

    @property
    def outbox(self) -> Outbox | None:
        """What the vendor sends by itself, None if it sends nothing."""

    def receive(self, call: Call, now_ms: int) -> Answer:
        """Check the call's records and store them."""

    def told(self, answer: Answer) -> None:
        """The caller sees this answer: from now on it knows which records are refused."""

    def view(self, name: str) -> dict[str, Any] | None:
        """A view of the stored records (`raw`, `query`, …), or None if the vendor has no such view."""

    def reset(self) -> None:
        """Forget all records. Credentials are again as configured."""
