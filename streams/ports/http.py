"""Requests to destinations, sent in the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.delivery.contract import NoResponse, Request, Response


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: `ticket` as submitted, and how long it took."""

    ticket: int
    outcome: Response | NoResponse
    seconds: float = 0.0


class Transport(Protocol):
    """Sends requests in the background."""

    def submit(self, ticket: int, request: Request) -> None: ...

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        """Answers that came; waits up to the time-out for the first."""
        ...

    def close(self) -> None: ...


class Fetcher(Protocol):
    """Sends one request and waits for its answer."""

    def fetch(self, request: Request) -> Response | NoResponse: ...
