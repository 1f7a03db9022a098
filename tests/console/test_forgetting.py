"""Users are forgotten in the console: a plan, the confirmation, the jobs, and a receipt that names nobody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from streams.events.encodings import encode_single_object
from streams.events.samples import sample_record
from streams.events.schemas import shipped
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.console.test_acting import finished
from tests.console.visitor import Visitor, console
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(300)]

OPEN = "users.messages.email.Open"
ADA, BOB = "ada-4711-planted", "bob-0815-other"
AHEAD_SECONDS = 10 * 365 * 86_400
"""Mixpanel refuses events of the future by name."""


class Case:
    """A line with dead letters of two people, and a console that takes orders."""

    def __init__(self, line: Line, visitor: Visitor, mixpanel: MixpanelEmulator) -> None:
        self.line, self.visitor = line, visitor
        self._now_s = mixpanel.now_ms() // 1000
        self._random = Random(5)
        self.seen: list[str] = []
        """Every page and address that was looked at."""

    def park(self, *users: str) -> None:
        schema = shipped().by_event_type(OPEN)
        assert schema is not None
        for user in users:
            record = sample_record(OPEN, self._random, self._now_s)
            record["external_user_id"] = user
            record["time"] += AHEAD_SECONDS
            self.line.write(OPEN, encode_single_object(schema, record), user.encode())
        self.line.settle()

    def plan(self, *users: str) -> str:
        """The address of a finished plan."""
        answer = self.visitor.send("/forget", "/forget", external_ids="\r\n".join(users) + "\r\n")
        assert answer.status == 303, answer.words
        path = answer.headers["location"]
        self.look(path, "Plan ")
        return path

    def look(self, path: str, words: str) -> str:
        page = finished(self.line, self.visitor, path, words)
        self.seen += [path, page.text]
        return page.words

    def letters(self) -> int:
        return sum(self.line.scene.account(ANALYTICS).parked.values())


@pytest.fixture
def case(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Case]:
    with ExitStack() as stack:
        line = stack.enter_context(running(kafka, tmp_path, {ANALYTICS: mixpanel_connector(mixpanel)}))
        visitor = stack.enter_context(console(line.scene.config, {"write": True}))
        yield Case(line, visitor, mixpanel)


def test_a_user_is_forgotten_after_the_plan_is_confirmed_with_the_external_id(case: Case) -> None:
    case.park(ADA, BOB, ADA)
    path = case.plan(ADA)
    page = case.look(path, "would be deleted for good")
    assert "Plan: forget 1 user" in page
    assert "2 dead letters would be deleted for good" in page
    assert case.line.scene.settings.topics.connector(ANALYTICS) in page
    told = case.visitor.json(f"{path}.json")
    assert (told["users"], told["letters"]) == (1, 2)
    execute = f"{path}/execute"
    unsaid = case.visitor.send(path, execute, reason=" ", typed_name=ADA)
    assert (unsaid.status, "an order needs a reason" in unsaid.words) == (400, True)
    wrong = case.visitor.send(path, execute, reason="request 7", typed_name=BOB)
    assert (wrong.status, "type the external id of the user" in wrong.words, BOB in wrong.text) == (400, True, False)
    assert case.letters() == 3, "a plan changes nothing"
    assert case.visitor.send(path, execute, reason="request 7", typed_name=ADA).status == 303
    done = case.look(path, "Done:")
    assert "2 dead letters were purged, and nothing of this user is delivered any more" in done
    outcomes = case.visitor.json(f"{path}.json")["outcomes"]
    assert {name: (job["status"], job["done"]) for name, job in outcomes.items()} == {
        ANALYTICS: ("done", 2),
        "source": ("done", 0),
    }
    assert case.letters() == 1
    job = f"/jobs/{outcomes[ANALYTICS]['job']}"
    assert "Forgetting users: 2 letters of analytics" in case.look(job, "The job is done")
    assert outcomes[ANALYTICS]["job"] in case.look("/forget", "Receipts in the audit")
    receipt = case.look("/audit?kind=purged", "Receipt")
    assert "request 7" in receipt
    again = case.visitor.send("/forget", "/forget", external_ids=ADA).headers["location"]
    assert "0 dead letters would be deleted" in case.look(again, "would be deleted for good")
    logs = [log.read_text() for log in case.line.scene.config.parent.glob("console-*.log")]
    assert logs
    assert [text for text in (*case.seen, *logs) if ADA in text or BOB in text] == []


def test_a_plan_that_became_stale_does_nothing_and_a_new_one_is_offered(case: Case) -> None:
    case.park(ADA, BOB)
    path = case.plan(ADA, BOB)
    case.park(ADA)
    wrong = case.visitor.send(path, f"{path}/execute", reason="requests 8 and 9", typed_name="3")
    assert (wrong.status, "type how many users these are, 2" in wrong.words) == (400, True)
    assert case.visitor.send(path, f"{path}/execute", reason="requests 8 and 9", typed_name="2").status == 303
    page = case.visitor.reading(path, "is stale")
    assert f"{path}/execute" not in [form.action for form in page.forms()]
    assert case.letters() == 3
    renewed = case.visitor.send(path, f"{path}/renew").headers["location"]
    assert "3 dead letters would be deleted for good" in case.look(renewed, "would be deleted for good")


def test_nobody_named_is_no_plan(case: Case) -> None:
    answer = case.visitor.send("/forget", "/forget", external_ids=" \n ")
    assert (answer.status, "one a line" in answer.words) == (400, True)
