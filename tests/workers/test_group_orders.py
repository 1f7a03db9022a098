"""Orders about a cohort or audience: a page in every partition of the connector's topic, once, audited."""

from __future__ import annotations

import pytest

from streams.events.schemas import shipped
from streams.testing.ports import FakeMessage, Kill, Killed
from streams.wayback.records import Page, Record, reader
from tests.workers.stage import STATE, TOPIC, Stage


def staged() -> Stage:
    stage = Stage(entries=("cohorts", "audiences"))
    for number in range(3):
        stage.kafka.records[TOPIC, number] = []
    return stage


def page_of(message: FakeMessage) -> Record:
    value = message.value() or b""
    schema = shipped().by_event_type("wayback.Page")
    assert schema is not None
    read = reader(schema)
    assert read is not None
    return read(value, 10)


def answers(stage: Stage) -> list[str]:
    return [answer.outcome for answer in stage.view.answers.values()]


@pytest.mark.parametrize("what", ["clear", "resend"])
def test_every_partition_gets_a_page_and_the_account_adds_up(what: str) -> None:
    stage = staged()
    stage.ask(what, reason="a wrong import", entry="cohorts", group="7", name="VIP")
    stage.keeper.own(True)
    stage.run(1)
    written = stage.kafka.read(TOPIC)
    assert [message.partition() for message in written] == [0, 1, 2]
    for message in written:
        page = page_of(message)
        assert isinstance(page, Page)
        assert (page.purpose, page.entry, page.group_id, page.group_name) == (what, "cohorts", "7", "VIP")
        assert (page.page, page.pages) == (1, 1)
    assert stage.view.totals.again == 3
    (line,) = stage.audit(what)
    assert (line["who"], line["why"], line["outcome"]) == ("ann@desk", "a wrong import", "done")
    assert answers(stage) == ["done"]


def test_two_orders_are_two_sessions() -> None:
    stage = staged()
    for _ in range(2):
        stage.ask("clear", entry="cohorts", group="7")
    stage.keeper.own(True)
    stage.run(1)
    sessions = {page.session for page in map(page_of, stage.kafka.read(TOPIC)) if isinstance(page, Page)}
    assert len(sessions) == 2


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_keeper_that_is_killed_orders_once(is_committed: bool) -> None:
    stage = staged()
    stage.keeper.own(True)
    stage.run(1)
    stage.ask("clear", entry="cohorts", group="7")
    stage.kafka.kills["streams.keeper.growth"] = Kill(1, is_committed)
    with pytest.raises(Killed):
        stage.run(1)
    again = Stage(entries=("cohorts",), kafka=stage.kafka, clock=stage.clock, instance="sink-1")
    again.keeper.own(True)
    again.run(1)
    assert len(stage.kafka.read(TOPIC)) == 3
    assert again.view.totals.again == 3


@pytest.mark.parametrize(
    ("entries", "arguments", "why"),
    [
        ((), {"entry": "cohorts", "group": "7"}, "receives no cohorts"),
        (("cohorts",), {"entry": "audiences", "group": "7"}, "one of cohorts"),
        (("cohorts",), {"entry": "cohorts"}, "needs a group"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(entries: tuple[str, ...], arguments: dict[str, str], why: str) -> None:
    stage = Stage(entries=entries)
    stage.kafka.records[TOPIC, 0] = []
    stage.ask("resend", **arguments)
    stage.keeper.own(True)
    stage.run(1)
    (answer,) = stage.view.answers.values()
    assert (answer.outcome, why in answer.detail) == ("refused", True)
    assert stage.kafka.read(TOPIC) == []


def test_an_order_that_is_too_old_is_refused() -> None:
    stage = staged()
    stage.ask("clear", entry="cohorts", group="7")
    stage.clock.advance(61)
    stage.keeper.own(True)
    stage.run(1)
    assert answers(stage) == ["refused"]
    assert stage.kafka.read(TOPIC) == []
    assert len(stage.kafka.read(STATE)) > 1
