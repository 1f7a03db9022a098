"""Nights on call, clicked through in a real Chromium: a key that is fixed, a flood, a purge with its receipt, a keeper
that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.console.browser import chromium
from tests.console.visitor import Visitor, console
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event
from tests.pipeline.test_dead_letters import AHEAD_SECONDS, Person

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(400)]

PAGE = f"/connectors/{ANALYTICS}"
RECORDS_MIN = 20
"""Of the flood breaker."""
WAIT_MS = 120_000


@dataclass(frozen=True)
class Night:
    """A line with a flood breaker, and a page of a console that takes orders."""

    line: Line
    office: Person
    page: Page
    visitor: Visitor

    def opened(self, path: str) -> None:
        self.page.goto(self.visitor.base + path)

    def is_suspended(self) -> bool:
        return self.line.scene.accounts.state_views()[ANALYTICS].state.by == "flood"


@pytest.fixture
def night(kafka: Broker, tmp_path: Path, mixpanel: MixpanelEmulator) -> Iterator[Night]:
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        connectors = {ANALYTICS: mixpanel_connector(mixpanel, flood_breaker={"records": RECORDS_MIN, "share": 0.2})}
        line = stack.enter_context(running(kafka, tmp_path, connectors))
        visitor = stack.enter_context(console(line.scene.config, {"write": True}))
        page = browser.new_page()
        page.set_default_timeout(WAIT_MS)
        yield Night(line, Person(line, mixpanel), page, visitor)


def test_an_open_page_shows_without_a_reload_that_the_trouble_is_over(night: Night) -> None:
    page, mixpanel = night.page, night.office.mixpanel
    mixpanel.revoke()
    for number in range(5):
        night.line.write(OPEN, event(f"event-{number}"))
    night.line.settle()
    night.opened("/")
    expect(page.get_by_text("mixpanel refuses the credentials")).to_be_visible(timeout=WAIT_MS)
    page.evaluate("window.isTheSamePage = true")
    mixpanel.restore()
    assert night.visitor.send(PAGE, f"{PAGE}/probe").status == 303
    expect(page.get_by_role("heading", name="Nothing needs you")).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("window.isTheSamePage") is True
    night.opened(PAGE)
    expect(page.locator("#account")).to_contain_text("5 delivered", timeout=WAIT_MS)
    expect(page.locator("#account")).to_contain_text("0 parked", timeout=WAIT_MS)


def test_a_flood_is_seen_its_cause_found_and_the_connector_resumed(night: Night) -> None:
    page, scene = night.page, night.line.scene
    for _ in range(RECORDS_MIN):
        night.office.write(AHEAD_SECONDS)
    night.line.flush()
    scene.wait_until(night.is_suspended, "the breaker to suspend")
    night.office.write(AHEAD_SECONDS)
    night.line.flush()
    night.opened("/")
    need = page.locator("article.need.suspended")
    expect(need).to_contain_text("the flood breaker stopped it", timeout=WAIT_MS)
    expect(need).to_contain_text(f"streams dlq top {ANALYTICS}")
    need.get_by_role("link", name="Look at the letters").click()
    expect(page.locator("#troubles")).to_contain_text("400", timeout=WAIT_MS)
    page.locator("#troubles td.message a").first.click()
    expect(page.locator("#rows-list th a").first).to_be_visible(timeout=WAIT_MS)
    night.office.fix()
    night.opened(PAGE)
    resume = page.locator(f'form[action="{PAGE}/resume"]')
    resume.locator("input[name=reason]").fill("the clock of the destination is right now")
    resume.get_by_role("button", name="Resume").click()
    expect(page.locator("#order")).to_contain_text("analytics is RUNNING", timeout=WAIT_MS)

    def went_out() -> bool:
        account = scene.account(ANALYTICS)
        return account.delivered >= 1 and account.waiting == 0

    scene.wait_until(went_out, "what waited to be delivered")


def test_a_purge_is_planned_confirmed_and_its_receipt_read_and_a_keeper_that_is_away_is_told(night: Night) -> None:
    page = night.page
    night.office.park(3)
    night.opened(f"{PAGE}/letters")
    plan = page.locator(f'form[action="{PAGE}/plans"]').first
    plan.locator("select[name=action]").select_option("purge")
    plan.get_by_role("button", name="Make a plan").click()
    page.wait_for_url("**/plans/*")
    expect(page.locator("#plan")).to_contain_text("3 letters would be deleted for good", timeout=WAIT_MS)
    page.get_by_label("Why?").fill("test events")
    page.get_by_label("Type the name of the connector").fill(ANALYTICS)
    page.get_by_role("button", name="Purge 3 letters").click()
    page.wait_for_url("**/jobs/*", timeout=WAIT_MS)
    expect(page.locator("#job")).to_contain_text("The job is done", timeout=WAIT_MS)
    page.get_by_role("link", name="Receipt in the audit").click()
    receipt = page.locator("#lines details").first
    receipt.locator("summary").click(timeout=WAIT_MS)
    expect(receipt.locator("pre")).to_contain_text('"offsets"')
    expect(receipt.locator("pre")).to_contain_text("test events")

    night.line.processes[ANALYTICS].terminate()
    night.opened(PAGE)
    page.locator(f'form[action="{PAGE}/probe"]').get_by_role("button", name="Probe all scopes").click()
    told = page.locator("#order .failure")
    expect(told).to_contain_text("What to do: start the process that the message names", timeout=WAIT_MS)
    expect(told).to_contain_text(f"is a sink of {ANALYTICS} running?")
