"""What is not Kafka: people who are told, and a destination that answers by a function."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.http import Answer


class FakeNotifier:
    """Remembers what it was told, once each; `is_down` makes it fail."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_down = False

    def notify(self, title: str, text: str) -> bool:
        if (title, text) in self.told:
            return True
        if not self.is_down:
            self.told.append((title, text))
        return not self.is_down


class FakeTransport:
    """Answers each request by a function, at once or when the test says so."""

    def __init__(self, answer: Callable[[Request], Response | NoResponse]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.is_holding = False
        """While true, answers are kept back: requests are in flight."""
        self.is_closed = False
        self._waiting: deque[tuple[int, Request]] = deque()

    def submit(self, ticket: int, request: Request) -> None:
        self.requests.append(request)
        self._waiting.append((ticket, request))

    def answers(self, timeout_seconds: float) -> Sequence[Answer]:
        if self.is_holding:
            return []
        answers = [Answer(ticket, self.answer(request)) for ticket, request in self._waiting]
        self._waiting.clear()
        return answers

    def close(self) -> None:
        self.is_closed = True


def accepted(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
    """A response for `FakeTransport`."""
    return Response(status, headers or {}, body)
