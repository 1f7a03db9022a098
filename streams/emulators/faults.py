"""The fault script: which of the next requests go wrong, and how. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

FAULTS_MAX = 1_000
"""The most faults in one script. If a test adds more, it most likely does not clear the script."""
DELAY_SECONDS_MAX = 600.0
"""Longer than any client waits: a longer delay looks like a server that never answers."""


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset({"content-length", "transfer-encoding"})


def _headers_that_can_be_sent(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} is the server's own: truncate cuts an answer off")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("a header's name is a token and its value one line of Latin-1")
    return headers


class Fault(BaseModel):
    """What goes wrong with the next `count` matching requests.

    `before`: the vendor never sees the request. `after`: the vendor takes it, but the answer is lost or replaced. So
    a test sees whether the client's keys prevent duplicates. A fault with only `delay` answers late.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Annotated[int | None, Field(ge=200, le=599)] = None
    """The status of the answer. None: the vendor's own answer (late, cut off or never)."""
    headers: Annotated[dict[str, str], AfterValidator(_headers_that_can_be_sent)] = {}
    """Headers of the answer, such as `Retry-After`. The vendor's own answer gets them, too."""
    body: str | dict[str, Any] | list[Any] | None = None
    """The body of the answer: text is sent as it is, other values as JSON."""
    delay: Annotated[float, Field(ge=0, le=DELAY_SECONDS_MAX)] = 0.0
    """Seconds to wait before answering."""
    reset: bool = False
    """Reset the connection instead of answering; with `before`, without reading the request's body."""
    truncate: Annotated[int | None, Field(ge=0)] = None
    """Send only this many bytes of the answer's body, then close the connection."""
    byte_seconds: Annotated[float, Field(ge=0, le=DELAY_SECONDS_MAX)] = 0.0
    """Seconds before each byte of the answer's body: it comes whole, and slowly."""
    when: Literal["before", "after"] = "before"
    count: Annotated[int | None, Field(ge=1)] = 1
    """How many requests; None: all until the script is cleared."""
    key: str | None = None
    """Only requests with this user in their Basic authentication."""
    path: str | None = None
    """Only requests to this path."""

    def content(self) -> bytes | None:
        """The body's bytes; None if the fault has no body."""
        if self.body is None:
            return None
        return self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)


class FaultScript:
    """Faults in the order in which they were added. The first one that matches a request is applied to it."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Append. Raises `ValueError` when the script would be longer than `FAULTS_MAX`."""
        added = [(fault, fault.count) for fault in faults]
        if len(self._left) + len(added) > FAULTS_MAX:
            raise ValueError(f"a script holds at most {FAULTS_MAX} faults: clear it first, or use count")
        self._left += added

    def take(self, path: str, user: str) -> Fault | None:
        """The fault for this request; its count goes down by one."""
        for place, (fault, left) in enumerate(self._left):
            if (fault.path is None or fault.path == path) and (fault.key is None or fault.key == user):
                if left is not None:
                    self._left[place : place + 1] = [(fault, left - 1)] if left > 1 else []
                return fault
        return None

    def clear(self) -> None:
        self._left.clear()

    def left(self) -> list[dict[str, Any]]:
        """The faults that are left, each with the count that is left."""
        return [fault.model_dump(exclude_defaults=True) | {"count": left} for fault, left in self._left]
