"""Letters, the audit and one event's way in the console, of real processes on a broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.console.visitor import Answer, Visitor, console
from tests.pipeline.line import ANALYTICS, mixpanel_connector, running
from tests.pipeline.test_dead_letters import Person

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(300)]

LETTERS = f"/connectors/{ANALYTICS}/letters"


@dataclass(frozen=True)
class Desk:
    """Three rejected letters, and a console that may reveal and gives no orders."""

    person: Person
    visitor: Visitor
    event_ids: list[str]

    @property
    def letter(self) -> str:
        """The address of one of the letters, found as a person finds it: by what went wrong, then by group."""
        counted = self.visitor.reading(LETTERS, "Counted at")
        group = next(link for link in counted.links if "fingerprint=" in link).partition("#")[0]
        listed = self.visitor.seen(group, lambda page: bool(_letters_on(page)), "list the letters of the group")
        return _letters_on(listed)[0]

    def command(self, *arguments: str) -> dict[str, Any]:
        config = str(self.person.scene.config)
        command = [sys.executable, "-m", "streams", *arguments, "--config", config, "--output", "json"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return dict(json.loads(found.stdout))


def _letters_on(page: Answer) -> list[str]:
    return [link for link in page.links if link.startswith(f"{LETTERS}/")]


@pytest.fixture(scope="module")
def desk(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("letters")
    with ExitStack() as stack:
        mixpanel = stack.enter_context(MixpanelEmulator())
        line = stack.enter_context(running(kafka, folder, {ANALYTICS: mixpanel_connector(mixpanel)}))
        person = Person(line, mixpanel)
        ids = sorted(person.park(3))
        visitor = stack.enter_context(console(line.scene.config, {"reveal": True}))
        yield Desk(person, visitor, ids)


def test_a_letter_hides_personal_data_and_is_what_the_command_shows(desk: Desk) -> None:
    address = desk.letter
    page = desk.visitor.page(address)
    assert page.status == 200
    assert "Personal data is hidden" in page.words
    assert "What would be sent now" in page.words
    path, _, query = address.partition("?")
    shown = desk.visitor.json(f"{path}.json?{query}")
    assert shown == desk.person.dlq("show", ANALYTICS, "--offset", shown["place"])
    assert shown["payload"]["email_address"] in (None, "…")


def test_personal_data_is_shown_once_why_is_in_the_audit_and_only_to_who_asked(desk: Desk) -> None:
    address = desk.letter
    form = desk.visitor.page(address).forms()[0]
    assert form.action.endswith("/reveal")
    without = desk.visitor.post(form.action, form.fields)
    assert (without.status, desk.person.audited("revealed")) == (400, [])
    path, _, query = address.partition("?")
    place = desk.visitor.json(f"{path}.json?{query}")["place"]
    user = desk.person.dlq("show", ANALYTICS, "--offset", place, "--show-payload")["payload"]["external_user_id"]
    answer = desk.visitor.post(form.action, {**form.fields, "reason": "a user asks what we hold"})
    assert answer.status == 303
    desk.visitor.seen(answer.headers["location"], lambda page: user in page.text, "show the user")
    assert user not in desk.visitor.page(address).text
    (line,) = desk.person.audited("revealed")
    assert (line["why"], line["connector"], line["place"]) == ("a user asks what we hold", ANALYTICS, place)
    assert line["who"]


def test_a_letter_that_is_not_there_is_said(desk: Desk) -> None:
    page = desk.visitor.page(f"{LETTERS}/0/999999")
    assert (page.status, "there is no letter at rejected/0/999999" in page.words) == (404, True)
    assert desk.visitor.get(f"{LETTERS}/0/0?topic=elsewhere").status == 404
    assert desk.visitor.page(f"{LETTERS}?fingerprint=nonsense").status == 400


def test_the_audit_is_what_the_command_prints_and_a_file_of_lines(desk: Desk) -> None:
    query = f"connector={ANALYTICS}&kind=start"
    desk.visitor.reading("/audit", "started at the earliest record")
    desk.visitor.await_twin(f"/audit.json?{query}", lambda: desk.command("audit", ANALYTICS, "--kind", "start"))
    lines = desk.visitor.page(f"/audit.jsonl?{query}")
    assert [json.loads(line) for line in lines.text.splitlines()] == desk.visitor.json(f"/audit.json?{query}")["lines"]
    assert 'filename="audit.jsonl"' in lines.headers["content-disposition"]
    wrong = desk.visitor.get("/audit?since=yesterday")
    assert (wrong.status, "since: yesterday is not a time" in wrong.words) == (400, True)


def test_an_event_s_way_is_told_and_stands_in_no_address(desk: Desk) -> None:
    event_id = desk.event_ids[0]
    answer = desk.visitor.send("/explain", "/explain", id=event_id, user="someone", since="1h")
    assert answer.status == 303
    found = answer.headers["location"]
    assert event_id not in found
    assert "someone" not in found
    words = desk.visitor.reading(found, "Not looked at").words
    assert "parked" in words
    assert ANALYTICS in words
    told = desk.visitor.json(f"{found}.json")
    assert [record["connectors"][ANALYTICS]["state"] for record in told["records"]] == ["parked"]


@pytest.mark.parametrize("path", ["router", "schemas", "topics", "audiences", "inlets"])
def test_each_page_of_the_installation_answers_and_has_a_twin(desk: Desk, path: str) -> None:
    assert desk.visitor.page(f"/{path}").status == 200
    assert desk.visitor.json(f"/{path}.json")["v"] == 1


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/router.json", ("connectors", "show", "router")),
        ("/schemas.json", ("schemas", "list")),
        ("/topics.json", ("topics", "plan")),
    ],
)
def test_twins_of_the_installation_have_what_the_commands_print(
    desk: Desk, path: str, command: tuple[str, ...]
) -> None:
    desk.visitor.await_twin(path, lambda: desk.command(*command))


def test_an_open_page_is_told_that_there_is_news(desk: Desk) -> None:
    connection = HTTPConnection(desk.visitor.host, desk.visitor.port, timeout=60)
    try:
        connection.request("GET", "/live")
        response = connection.getresponse()
        assert response.getheader("content-type") == "text/event-stream"
        seen = b""
        while b"event: changed" not in seen:
            seen += response.read1(1_000)
    finally:
        connection.close()
