"""The emulated Custom HTTP connector does with each answer what Braze documents, and says what each one costs."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from streams.cli.main import app
from streams.emulators.braze.currents import DAY_MS, CurrentsConnector
from streams.events.custom_http.mapping import EventMappings
from streams.events.custom_http.samples import sample_posts

TOKEN = "a-token-of-24-characters"
Answer = Callable[[list[dict[str, Any]]], int | None]


def connector(events: int, batch: int = 4) -> CurrentsConnector:
    made = CurrentsConnector(batch)
    made.add({"id": f"e-{number}", "event_type": "t", "time": 1} for number in range(events))
    return made


def play(made: CurrentsConnector, answer: Answer) -> list[int]:
    """Run it with a clock that jumps. The sizes of its requests."""
    now = 0
    sizes = []
    while not made.is_over:
        now = max(now, made.due_ms())
        events = list(made.request())
        sizes.append(len(events))
        made.answered(answer(events), now)
    return sizes


def ids(made: CurrentsConnector) -> list[str]:
    return [one.id for one in made.ledger.dropped]


def test_what_is_taken_is_delivered_in_hundreds() -> None:
    made = CurrentsConnector()
    made.add({"id": str(number)} for number in range(250))
    assert play(made, lambda _: 200) == [100, 100, 50]
    assert (made.ledger.delivered, made.ledger.dropped, made.waiting) == (250, [], 0)


def test_a_400_is_split_into_singles_and_a_second_one_drops_the_event() -> None:
    made = connector(4)
    assert play(made, lambda events: 400 if any(one["id"] == "e-2" for one in events) else 200) == [4, 1, 1, 1, 1]
    assert (made.ledger.delivered, ids(made)) == (3, ["e-2"])


@pytest.mark.parametrize("status", [401, 403])
def test_a_401_or_403_gives_up_every_event_of_the_request(status: int) -> None:
    made = connector(8)
    answers = iter([status, 200])
    play(made, lambda _: next(answers))
    assert (made.ledger.delivered, ids(made)) == (4, ["e-0", "e-1", "e-2", "e-3"])
    assert {one.status for one in made.ledger.dropped} == {status}


def test_a_404_disables_the_connector_and_keeps_what_waits() -> None:
    made = connector(8)
    assert play(made, lambda _: 404) == [4]
    assert (made.state, made.waiting, made.ledger.dropped) == ("disabled", 8, [])


def test_a_413_is_halved_in_order_and_a_single_one_is_dropped() -> None:
    seen: list[str] = []

    def answer(events: list[dict[str, Any]]) -> int:
        if len(events) > 1:
            return 413
        seen.append(events[0]["id"])
        return 413 if events[0]["id"] == "e-1" else 200

    made = connector(4)
    assert play(made, answer) == [4, 2, 1, 1, 2, 1, 1]
    assert seen == ["e-0", "e-1", "e-2", "e-3"]
    assert ids(made) == ["e-1"]


@pytest.mark.parametrize("status", [500, 503, 429, 302, 418, None])
def test_any_other_answer_is_tried_again_with_growing_pauses(status: int | None) -> None:
    answers = iter([status] * 5 + [200])
    made = connector(4)
    due = []
    while not made.is_over:
        due.append(made.due_ms())
        made.answered(next(answers), made.due_ms())
    pauses = [after - before for before, after in itertools.pairwise(due)]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]
    assert (made.ledger.delivered, made.ledger.dropped) == (4, [])


def test_five_days_without_success_disable_the_connector() -> None:
    made = connector(4)
    while not made.is_over:
        made.answered(503, made.due_ms())
    assert (made.state, made.waiting) == ("disabled", 4)
    assert 5 * DAY_MS <= made.due_ms() <= 5 * DAY_MS + 120_000


def test_every_sample_can_be_mapped_without_loss() -> None:
    mappings = EventMappings()
    for event in sample_posts(500, seed=1, now_s=1_790_000_000):
        found = mappings.record(event)
        assert found.schema.decode(found.value, 10)["streams_unknown"] is None


# As a command, over HTTP.


class Inlet:
    """Answers by a script; what was delivered."""

    def __init__(self) -> None:
        self.statuses: Iterator[int] = iter(())
        self.bodies: list[Any] = []
        inlet = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Braze-Currents-Version"] == "1"
                is_admitted = self.headers["Authorization"] == f"Bearer {TOKEN}"
                status = next(inlet.statuses, 200) if content["events"] else 200
                status = status if is_admitted else 401
                if status == 200:
                    inlet.bodies.append(content["events"])
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/currents/braze-http"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inlet() -> Iterator[Inlet]:
    made = Inlet()
    yield made
    made.close()


def command(inlet: Inlet, *more: str, token: str = TOKEN) -> Any:
    return CliRunner().invoke(app, ["emulate", "braze", "--currents", inlet.url, "--token", token, *more])


def test_the_command_sends_and_accounts_for_every_event(inlet: Inlet) -> None:
    inlet.statuses = iter([413])
    found = command(inlet, "--events", "250")
    assert found.exit_code == 0, found.output
    assert "delivered  250" in found.output
    sent = [event["id"] for events in inlet.bodies for event in events]
    assert (len(sent), len(set(sent))) == (250, 250)


def test_the_command_fails_where_braze_would_have_lost_events(inlet: Inlet) -> None:
    inlet.statuses = iter([403])
    found = command(inlet, "--events", "150")
    assert found.exit_code == 1
    assert "delivered  50" in found.output
    assert "100 dropped at 403" in found.output
    inlet.statuses = iter([404])
    found = command(inlet, "--events", "10")
    assert found.exit_code == 1
    assert "disabled" in found.output


def test_without_events_only_the_credentials_are_checked(inlet: Inlet) -> None:
    assert command(inlet, "--events", "0").exit_code == 0
    found = command(inlet, "--events", "0", token="wrong")
    assert found.exit_code == 1
    assert TOKEN not in found.output


def test_an_address_that_is_none_is_told(inlet: Inlet) -> None:
    found = CliRunner().invoke(app, ["emulate", "braze", "--currents", "localhost:1", "--token", TOKEN])
    assert found.exit_code == 2
