"""The console in a real Chromium: readable, usable by keyboard and on a phone, live, and without JavaScript.

These tests share one trouble, and run in any order: none of them ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, ConsoleMessage, expect

from streams.config.names import SOURCE
from streams.testing.brokers import Broker
from streams.testing.emulators import MixpanelEmulator
from tests.console.browser import chromium, faults_of_access, opened, width_of
from tests.console.visitor import Visitor, console
from tests.pipeline.line import ANALYTICS, Line, mixpanel_connector, running
from tests.pipeline.test_answers import OPEN, event

pytestmark = [pytest.mark.kafka, pytest.mark.apache, pytest.mark.timeout(300)]

PAGE = f"/connectors/{ANALYTICS}"
PAGES = [
    *("/", PAGE, f"{PAGE}/letters", "/router", "/schemas", "/topics"),
    *("/audiences", "/inlets", "/audit", "/explain", "/forget"),
]


@dataclass(frozen=True)
class Night:
    """A line whose key was revoked, a console that takes orders, and a browser."""

    visitor: Visitor
    browser: Browser
    pages: list[str]
    """Those that need no further work, then a plan and a job, a letter, a plan to forget, and one that is not there."""


@pytest.fixture(scope="module")
def night(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        mixpanel = stack.enter_context(MixpanelEmulator())
        connectors = {ANALYTICS: mixpanel_connector(mixpanel)}
        line = stack.enter_context(running(kafka, tmp_path_factory.mktemp("night"), connectors))
        mixpanel.revoke()
        for number in range(5):
            line.write(OPEN, event(f"event-{number}"))
        line.write(OPEN, b"no Avro")
        line.settle()
        visitor = stack.enter_context(console(line.scene.config, {"write": True, "reveal": True}))
        visitor.form("/", f"{PAGE}/probe")
        replay = _plan(line, visitor, ANALYTICS, action="replay", scope="default", until="0s")
        pages = [*PAGES, replay, _job(line, visitor), _letter(line, visitor), _forget_plan(line, visitor), "/nowhere"]
        yield Night(visitor, browser, pages)


def _plan(line: Line, visitor: Visitor, name: str, **fields: str) -> str:
    """The page of a finished plan."""
    answer = visitor.send(f"/connectors/{name}/letters", f"/connectors/{name}/plans", **fields)
    assert answer.status == 303, answer.words
    plan = answer.headers["location"]
    line.scene.wait_until(lambda: f"{plan}/execute" in visitor.get(plan).text, "the plan to be made")
    return plan


def _letter(line: Line, visitor: Visitor) -> str:
    """The page of a letter, found by its group."""
    letters = f"{PAGE}/letters"
    line.scene.wait_until(lambda: bool(visitor.json(f"{letters}.json").get("groups")), "letters to be counted")
    group = f"{letters}?fingerprint={visitor.json(f'{letters}.json')['groups'][0]['event_types'][0]['fingerprint']}"

    def found() -> list[str]:
        return [link for link in visitor.get(group).links if link.startswith(f"{letters}/")]

    line.scene.wait_until(lambda: bool(found()), "the letters of the group")
    return found()[0]


def _forget_plan(line: Line, visitor: Visitor) -> str:
    plan = visitor.send("/forget", "/forget", external_ids="nobody-here").headers["location"]
    line.scene.wait_until(lambda: "would be deleted for good" in visitor.get(plan).words, "the plan to be made")
    return plan


def _job(line: Line, visitor: Visitor) -> str:
    """The page of a job that is done: a letter that nobody can read is purged."""
    plan = _plan(line, visitor, SOURCE, action="purge")
    assert visitor.send(plan, f"{plan}/execute", reason="no event", typed_name=SOURCE).status == 303
    line.scene.wait_until(lambda: visitor.get(plan).status == 303, "the keeper to take the order")
    job = visitor.get(plan).headers["location"]
    line.scene.wait_until(lambda: "The job is done" in visitor.get(job).words, "the job to end")
    return job


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_access(night: Night, scheme: str) -> None:
    context = opened(night.browser, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found = []
    for path in night.pages:
        page.goto(night.visitor.base + path)
        found += faults_of_access(page)
    context.close()
    assert found == []


def test_on_paper_every_page_is_dark_on_white_without_what_only_a_screen_can_do(night: Night) -> None:
    """Also where the screen is dark. A4 at 96 dots an inch is 794 pixels wide."""
    size = {"width": 794, "height": 1123}
    context = opened(night.browser, viewport=size, color_scheme="dark", bypass_csp=True)
    page = context.new_page()
    page.emulate_media(media="print")
    found, wide, shown = [], [], []
    for path in night.pages:
        page.goto(night.visitor.base + path)
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
        found += faults_of_access(page) if path in ("/", PAGE) or path.startswith(f"{PAGE}/letters/") else []
        wide += [path] if width_of(page) > size["width"] else []
        shown += [(path, one) for one in ("nav", "form", "button") if page.locator(f"{one}:visible").count()]
    page.goto(f"{night.visitor.base}/")
    expect(page.locator("article.need")).to_contain_text("mixpanel refuses the credentials")
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()
    assert (found, wide, shown) == ([], [], [])


def is_error(message: ConsoleMessage) -> bool:
    """That there is no such page is said, too."""
    return message.type == "error" and "404 (Not Found)" not in message.text


def test_every_page_fits_a_phone_of_320_pixels_and_breaks_no_rule_of_its_policy(night: Night) -> None:
    context = opened(night.browser, viewport={"width": 320, "height": 640})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if is_error(message) else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    wide = []
    for path in night.pages:
        page.goto(night.visitor.base + path)
        if (width := width_of(page)) > 320:
            wide.append((path, width))
    context.close()
    assert (wide, said) == ([], [])


def test_times_are_in_utc_with_the_reader_s_own_beside_them(night: Night) -> None:
    context = opened(night.browser, timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(f"{night.visitor.base}/")
    since = page.locator("article.need time").first
    expect(since).to_contain_text("UTC")
    expect(since.locator(".local")).to_contain_text("GMT+9")
    context.close()


def test_the_next_step_is_reached_and_taken_by_keyboard_alone(night: Night) -> None:
    context = opened(night.browser)
    page = context.new_page()
    page.goto(f"{night.visitor.base}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Probe now":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_text("default: refused (401")).to_be_visible()
    context.close()


def test_without_javascript_orders_are_given_by_forms(night: Night) -> None:
    context = opened(night.browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(night.visitor.base + PAGE)
    form = page.locator(f'form[action="{PAGE}/extend"]')
    form.locator("input[name=reason]").fill("the key comes on Monday")
    form.locator("button").click()
    expect(page.get_by_text("letters of default live 24h longer")).to_be_visible()
    page.goto(f"{night.visitor.base}{PAGE}/letters")
    page.locator("form").filter(has_text="Letters of scope default").locator("button").click()
    page.wait_for_url("**/plans/*")
    assert "Plan: replay letters of analytics" in page.content()
    context.close()


def test_an_open_page_says_that_its_stream_is_lost_and_goes_on_when_it_is_back(night: Night) -> None:
    context = opened(night.browser)
    page = context.new_page()
    page.goto(f"{night.visitor.base}/")
    lost = page.locator("#stream-lost")
    expect(lost).to_be_hidden()
    page.route("**/live", lambda route: route.abort())
    page.reload()
    expect(lost).to_be_visible()
    page.unroute("**/live")
    expect(lost).to_be_hidden()
    context.close()
