"""Orders in the console, of real processes on a broker: what a person does from the first alert to the last letter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.console.visitor import Answer, Visitor, console
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event
from tests.pipeline.test_dead_letters import Person

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(300)]

PAGE = f"/connectors/{ANALYTICS}"
TOKENS = {"oncall": "a-token-of-the-night", "ada": "another-token"}


@contextmanager
def night(kafka: Broker, folder: Path, mixpanel: MixpanelEmulator) -> Iterator[tuple[Line, Visitor]]:
    """A line, and a signed-in person at a console that takes orders."""
    with ExitStack() as stack:
        connectors = {ANALYTICS: mixpanel_connector(mixpanel, grace="100s")}  # so probes come every 10 s
        line = stack.enter_context(running(kafka, folder, connectors))
        settings = {"write": True, "auth": {"tokens": TOKENS}}
        visitor = stack.enter_context(console(line.scene.config, settings))
        assert visitor.post("/sign-in", {"token": TOKENS["oncall"], "next": "/"}).status == 303
        yield line, visitor


def followed(line: Line, visitor: Visitor, answer: Answer, words: str) -> Answer:
    """The page that an accepted order leads to, once it tells what came of it: a form waits 4 s for that."""
    assert answer.status == 303, answer.words
    return finished(line, visitor, answer.headers["location"], words)


def finished(line: Line, visitor: Visitor, path: str, words: str) -> Answer:
    """A page, once its work has come to this."""
    try:
        return visitor.reading(path, words)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{line.scene.logs()}") from error


def test_a_revoked_key_from_the_alert_to_the_last_letter(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        scene = line.scene
        mixpanel.revoke()
        for number in range(9):
            line.write(OPEN, event(f"event-{number}"))
        line.settle()
        probe = visitor.form("/", f"{PAGE}/probe")
        followed(line, visitor, visitor.post(probe.action, probe.fields), "default: refused (401")
        extend = f"streams dlq extend {ANALYTICS} --scope default --by 24h --reason WHY"
        overview = finished(line, visitor, "/", extend)
        assert f"{PAGE}#extend-default" in overview.links
        assert "nothing has to be replayed" in overview.words
        assert f"connectors.{ANALYTICS}.project_token (the configuration file itself" in overview.words
        extension = visitor.send(PAGE, f"{PAGE}/extend", by="24h", reason="the key comes on Monday")
        followed(line, visitor, extension, "letters of default live 24h longer")
        mixpanel.restore()
        # With the form from before: the keeper may ask by itself first, and then the overview offers no probe.
        followed(line, visitor, visitor.post(probe.action, probe.fields), "default: accepted")
        scene.wait_until(lambda: scene.account(ANALYTICS).delivered == 9, "every letter to be delivered")
        scene.wait_until(lambda: "Nothing needs you" in visitor.get("/").text, "the overview to be calm")
        orders = [line for line in read_audit(line) if line["what"] in ("probe", "extend")]
        assert [(one["what"], one["who"]) for one in orders] == [
            ("probe", "oncall"),
            ("extend", "oncall"),
            ("probe", "oncall"),
        ]
        assert orders[1]["why"] == "the key comes on Monday"


def test_letters_that_are_parked_for_credentials_are_offered_as_such_and_a_plan_without_letters_leads_back(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        letters, plans = f"{PAGE}/letters", f"{PAGE}/plans"
        empty = visitor.reading(letters, "There are no letters to replay or to purge")
        assert plans not in [form.action for form in empty.forms()]
        mixpanel.revoke()
        for number in range(4):
            line.write(OPEN, event(f"event-{number}"))
        line.settle()
        offered = visitor.form(letters, plans)
        page = visitor.page(letters)
        assert [form.fields["scope"] for form in page.forms() if form.action == plans] == ["default"]
        assert "They are sent by themselves once a probe is accepted" in page.words
        elsewhere = {**offered.fields, "action": "replay", "scope": "", "until": "", "event_type": OPEN}
        said = "4 are parked for credentials: select them with --scope default"
        nothing = followed(line, visitor, visitor.post(plans, elsewhere), said)
        back = next(link for link in nothing.links if link.endswith("#plan-title"))
        assert back == f"{letters}?action=replay&event_type={OPEN}#plan-title"
        assert plans not in [form.action for form in nothing.forms()]
        plan = followed(line, visitor, visitor.post(plans, {**offered.fields, "action": "replay"}), "is INVALID since")
        assert "Selected: parked until now, scope default" in plan.words
        assert f"streams connectors probe {ANALYTICS} --scope default" in plan.words


def read_audit(line: Line) -> list[dict[str, str]]:
    import json

    return [json.loads(one.value or b"") for one in line.scene.read(line.scene.settings.topics.audit)]


def test_a_connector_is_suspended_and_resumed_with_a_reason(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        line.write(OPEN, event("one"))
        line.settle()
        without = visitor.send(PAGE, f"{PAGE}/suspend", reason=" ")
        assert (without.status, "an order needs a reason" in without.words) == (400, True)
        suspension = visitor.send(PAGE, f"{PAGE}/suspend", reason="the account moves")
        followed(line, visitor, suspension, "analytics is SUSPENDED")
        finished(line, visitor, "/", "oncall suspended it: the account moves")
        resumption = visitor.send(PAGE, f"{PAGE}/resume", reason="it has moved")
        followed(line, visitor, resumption, "analytics is RUNNING")


def test_letters_are_replayed_by_a_plan_and_a_purge_asks_for_the_name(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        office = Person(line, mixpanel)
        office.park(7)
        letters = f"{PAGE}/letters"
        finished(line, visitor, letters, "Counted at")
        purge = visitor.send(letters, f"{PAGE}/plans", action="purge", limit="2").headers["location"]
        page = finished(line, visitor, purge, "2 letters")
        assert "would be deleted for good" in page.words
        execute = f"{purge}/execute"
        wrong = visitor.send(purge, execute, reason="test events", typed_name="cdp")
        assert (wrong.status, "type the name analytics" in wrong.words) == (400, True)
        assert visitor.send(purge, execute, reason="test events", typed_name=ANALYTICS).status == 303
        line.scene.wait_until(lambda: visitor.get(purge).status == 303, "the keeper to take the order")
        job = visitor.get(purge).headers["location"]
        finished(line, visitor, job, "The job is done")
        told = visitor.json(f"{job}.json")
        assert (told["action"], told["status"], told["done"], told["who"]) == ("purge", "done", 2, "oncall")
        office.fix()
        replay = visitor.send(letters, f"{PAGE}/plans", action="replay").headers["location"]
        assert "5 letters" in finished(line, visitor, replay, "would be sent again").words
        assert visitor.send(replay, f"{replay}/execute", reason="the time has come").status == 303
        line.scene.wait_until(lambda: line.scene.account(ANALYTICS).delivered == 5, "five to be delivered")
        receipts = office.audited("purged")
        assert sum(int(one["letters"]) for one in receipts) == 2


def test_a_replay_that_is_refused_again_is_told_and_old_trouble_stays_old(
    kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator
) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        office, letters = Person(line, mixpanel), f"{PAGE}/letters"
        office.park(3)
        oldest = office.dlq("list", ANALYTICS)["causes"][1]["oldest"]
        job = replayed(line, visitor, "are they in the past by now?")
        page = finished(line, visitor, job, "all 3 were parked again")
        assert "must not be in the future" in page.words
        assert 'pill parked-again">' in page.text
        assert 'pill done">' not in page.text
        told = visitor.json(f"{job}.json")["became"]
        assert (told["sent"], told["parked_again"], told["waiting"], told["gone_out"]) == (3, 3, 0, 0)
        listed = visitor.page(PAGE).text
        assert 'pill parked-again">' in listed
        assert "3 parked again" in visitor.page(PAGE).words
        (ended,) = office.audited("replay done")
        assert (ended["done"], ended["planned"]) == (3, 3)
        assert office.dlq("list", ANALYTICS)["causes"][1]["oldest"] == oldest
        group = finished(line, visitor, f"{letters}?again=1", "3 of them parked again").words
        assert "must not be in the future" in group
        office.fix()
        good = replayed(line, visitor, "now they are")
        page = finished(line, visitor, good, "all 3 went out")
        assert 'pill done">' in page.text
        assert "3 were parked again and have left since" in finished(line, visitor, job, "have left since").words


def replayed(line: Line, visitor: Visitor, reason: str) -> str:
    """The page of a job that sends every letter again."""
    plan = visitor.send(f"{PAGE}/letters", f"{PAGE}/plans", action="replay").headers["location"]
    finished(line, visitor, plan, "would be sent again")
    assert visitor.send(plan, f"{plan}/execute", reason=reason).status == 303
    line.scene.wait_until(lambda: visitor.get(plan).status == 303, "the keeper to take the order")
    return visitor.get(plan).headers["location"]


def test_a_stale_plan_says_so_and_offers_a_new_one(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> None:
    with night(kafka, tmp_path, mixpanel) as (line, visitor):
        office = Person(line, mixpanel)
        office.park(4)
        letters = f"{PAGE}/letters"
        plan = visitor.send(letters, f"{PAGE}/plans", action="replay").headers["location"]
        finished(line, visitor, plan, "would be sent again")
        office.fix()
        office.dlq("replay", ANALYTICS, "--limit", "1", "--execute", "--reason", "one is tried")
        assert visitor.send(plan, f"{plan}/execute", reason="all of them").status == 303
        page = finished(line, visitor, plan, "is stale")
        assert f"{plan}/execute" not in [form.action for form in page.forms()]
        again = visitor.send(plan, f"{PAGE}/plans").headers["location"]
        assert "3 letters" in finished(line, visitor, again, "would be sent again").words
        slow = visitor.send(letters, f"{PAGE}/plans", action="replay", rate="0.01").headers["location"]
        finished(line, visitor, slow, "would be sent again")
        assert visitor.send(slow, f"{slow}/execute", reason="one after the other").status == 303
        line.scene.wait_until(lambda: visitor.get(slow).status == 303, "the keeper to take the order")
        job = visitor.get(slow).headers["location"]
        assert visitor.send(job, f"{job}/cancel").status == 303
        finished(line, visitor, job, "The job ended as cancelled: what is done stays done")
