"""Requests in the background: over HTTP against a server, and on the fake."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from streams.adapters.http import HttpTransport
from streams.delivery.contract import NoResponse, Request, Response
from streams.ports.http import Answer, Transport
from streams.testing.ports import FakeTransport
from tests.waiting import wait_until

Made = tuple[Transport, str]


class Echo(BaseHTTPRequestHandler):
    """Answers with the body; a path of digits is the status."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(int(self.path[1:]))
        self.send_header("X-Seen", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def fake_echo(request: Request) -> Response | NoResponse:
    if ":1/" in request.url:
        return NoResponse("no answer")
    return Response(int(request.url.rsplit("/", 1)[1]), {"x-seen": "yes"}, request.body)


@pytest.fixture(params=["fake", "http"])
def made(request: pytest.FixtureRequest) -> Iterator[Made]:
    if request.param == "fake":
        yield FakeTransport(fake_echo), "http://echo.test"
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    transport = HttpTransport()
    try:
        yield transport, f"http://127.0.0.1:{server.server_port}"
    finally:
        transport.close()
        server.shutdown()
        server.server_close()


def taken(transport: Transport, count: int) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}

    def have_come() -> bool:
        for answer in transport.answers(0.2):
            assert answer.ticket not in answers, "an answer came twice"
            answers[answer.ticket] = answer
        return len(answers) >= count

    wait_until(have_come, f"{count} answers")
    return answers


def test_each_answer_comes_once_with_its_ticket_status_headers_and_body(made: Made) -> None:
    transport, base = made
    for ticket in range(5):
        transport.submit(ticket, Request("POST", f"{base}/{210 + ticket}", {}, b"body %d" % ticket))
    answers = taken(transport, 5)
    assert {
        ticket: answer.outcome for ticket, answer in answers.items() if isinstance(answer.outcome, NoResponse)
    } == {}
    for ticket, answer in answers.items():
        outcome = answer.outcome
        assert isinstance(outcome, Response)
        assert (outcome.status, outcome.headers["x-seen"]) == (210 + ticket, "yes")
        assert outcome.body == b"body %d" % ticket
    assert transport.answers(0.0) == []


def test_where_nobody_answers_the_outcome_says_so_and_nothing_raises(made: Made) -> None:
    transport, _ = made
    transport.submit(7, Request("POST", "http://127.0.0.1:1/200", {}, b""))
    outcome = taken(transport, 1)[7].outcome
    assert isinstance(outcome, NoResponse)
    assert not outcome.is_misconfigured
    assert outcome.detail
