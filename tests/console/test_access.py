"""Who may open the console, and what it takes from whom. Kafka is not needed for any of it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import expect

from streams.config import ConfigurationError, loads
from streams.config.console import Console
from streams.testing.clock import MovableClock
from streams.web.console.failures import PageError
from streams.web.console.guard import Guard
from streams.web.console.pages import MODULES
from streams.web.console.sessions import Sessions
from tests.console.browser import chromium, faults_of_access, opened, width_of
from tests.console.visitor import Answer, Visitor, console
from tests.security.authority import authority, needs_openssl
from tests.waiting import wait_until

TOKENS = {"oncall": "a-token-of-the-night", "ada": "another-token"}
PROXY = {"proxy": {"secret": "only-the-proxy-knows"}}
POSTS = [
    "/connectors/growth/probe",
    "/connectors/growth/suspend",
    "/connectors/growth/resume",
    "/connectors/growth/extend",
    "/connectors/growth/plans",
    "/plans/some/execute",
    "/plans/some/leave",
    "/jobs/some/cancel",
    "/connectors/growth/letters/0/0/reveal",
    "/forget",
    "/forget/some/execute",
    "/forget/some/renew",
    "/forget/some/leave",
    "/inlets/some/files",
    "/audiences/growth/plans",
    "/audiences/growth/plans/some/execute",
]
ROUTES = [route for module in MODULES for route in module.ROUTES]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a Kafka that is away."""
    path = tmp_path_factory.mktemp("away") / "away.yaml"
    path.write_text(
        'kafka: {bootstrap_servers: "127.0.0.1:9"}\n'
        f'connectors: {{growth: {{destination: mixpanel, project_token: "{"0" * 32}"}}}}\n'
    )
    return path


@pytest.fixture(scope="module")
def open_console(config: Path) -> Iterator[Visitor]:
    """A console with tokens, where nobody is signed in."""
    with console(config, {"auth": {"tokens": TOKENS}}) as visitor:
        yield visitor


@pytest.fixture
def nobody(open_console: Visitor) -> Visitor:
    """Somebody who has no cookie yet."""
    return Visitor(open_console.base)


@pytest.fixture(scope="module")
def signed_in(config: Path) -> Iterator[Visitor]:
    """`oncall`, at a console that looks only."""
    with console(config, {"auth": {"tokens": TOKENS}}) as visitor:
        assert visitor.post("/sign-in", {"token": TOKENS["oncall"]}).status == 303
        yield visitor


def csrf_of(visitor: Visitor) -> str:
    return visitor.get("/inlets").form("/sign-out").fields["csrf"]


def test_nobody_sees_a_page_before_they_sign_in(nobody: Visitor) -> None:
    sent = nobody.get("/connectors/growth?x=1")
    assert (sent.status, sent.headers["location"]) == (303, "/sign-in?next=%2Fconnectors%2Fgrowth%3Fx%3D1")
    assert nobody.get("/index.json").status == 401
    assert nobody.get("/live").status == 401
    assert nobody.get("/sign-in").status == 200
    assert nobody.post("/connectors/growth/probe", {"csrf": "x"}).status == 401


def test_a_token_opens_a_session_with_a_cookie_that_no_script_and_no_other_site_has(nobody: Visitor) -> None:
    answer = nobody.post("/sign-in", {"token": f" {TOKENS['ada']}\n", "next": "/audit"})
    assert (answer.status, answer.headers["location"]) == (303, "/audit")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=43200" in cookie
    assert "Path=/" in cookie
    assert "ada" in nobody.get("/inlets").words
    assert nobody.send("/inlets", "/sign-out").status == 303
    assert nobody.get("/").status == 303


@pytest.mark.parametrize("following", ["//attacker.example", "https://attacker.example/", "/\\attacker.example"])
def test_signing_in_leads_to_no_other_site(nobody: Visitor, following: str) -> None:
    answer = nobody.post("/sign-in", {"token": TOKENS["ada"], "next": following})
    assert answer.headers["location"] == "/"


def test_wrong_tokens_slow_the_next_attempts_down_and_are_not_logged(config: Path) -> None:
    with console(config, {"auth": {"tokens": TOKENS}}) as visitor:
        assert [visitor.post("/sign-in", {"token": f"guess-{number}"}).status for number in range(3)] == [401] * 3
        refused: list[Answer] = []

        def is_slowed_down() -> bool:  # from a second on; each further guess doubles it
            refused[:] = [visitor.post("/sign-in", {"token": "guess-again"})]
            return refused[0].status == 429

        wait_until(is_slowed_down, "an attempt to be refused because it comes too soon")
        assert "the next attempt is taken in" in refused[0].words
        written = "".join(path.read_text() for path in config.parent.glob("console-*.log"))
        assert "a sign-in is refused" in written
        assert "guess-" not in written


def test_a_program_asks_with_its_token_as_a_header(nobody: Visitor) -> None:
    assert nobody.get("/inlets.json", Authorization=f"Bearer {TOKENS['ada']}").status == 200
    assert nobody.get("/inlets.json", Authorization="Bearer wrong").status == 401


@pytest.mark.parametrize("path", POSTS)
def test_a_console_that_looks_only_refuses_every_order(signed_in: Visitor, path: str) -> None:
    answer = signed_in.post(path, {"csrf": csrf_of(signed_in), "reason": "because", "id": "x"})
    assert answer.status == 403
    assert "console.write is false" in answer.words or "console.reveal is false" in answer.words


def test_every_address_that_takes_an_order_is_among_those() -> None:
    orders = [route for route in ROUTES if route.rule in ("writes", "reveals")]
    assert [route.pattern for route in orders if all(route.matches(path) is None for path in POSTS)] == []


@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_a_form_without_the_mark_of_its_session_is_refused(signed_in: Visitor, csrf: str) -> None:
    answer = signed_in.post("/explain", {"csrf": csrf, "id": "some-event"})
    assert (answer.status, "not from a page of this sign-in" in answer.words) == (403, True)


def console_settings(config: Path, **section: Any) -> Console:
    content = yaml.safe_load(config.read_text()) | {"console": {"auth": {"tokens": TOKENS}, **section}}
    return loads(yaml.safe_dump(content)).console


def test_behind_a_proxy_it_answers_for_its_public_address_and_takes_forms_from_there_alone(config: Path) -> None:
    settings = console_settings(config, public_url="https://console.example.com")
    guard = Guard(settings)
    guard.check_host("console.example.com")
    guard.check_origin("console.example.com", "https://console.example.com")
    with pytest.raises(PageError):
        guard.check_host("other.example.com")
    with pytest.raises(PageError):
        guard.check_origin("console.example.com", "https://other.example.com")
    assert settings.is_secure, "the cookie is for https alone"


def test_after_three_wrong_tokens_each_attempt_waits_twice_as_long_and_the_right_token_too(config: Path) -> None:
    clock = MovableClock()
    sessions = Sessions(console_settings(config), "nobody", clock)
    assert [sessions.sign_in(f"guess-{number}") for number in range(3)] == [None] * 3
    for seconds in (1, 2, 4):
        clock.advance(seconds - 0.5)
        with pytest.raises(PageError, match="the next attempt is taken in"):
            sessions.sign_in(TOKENS["ada"])
        clock.advance(0.5)
        assert sessions.sign_in("guess-again") is None
    clock.advance(8)
    assert sessions.sign_in(TOKENS["ada"]) is not None
    assert sessions.sign_in("guess-again") is None, "attempts are free again"


def test_a_session_ends_after_12_hours(config: Path) -> None:
    clock = MovableClock()
    sessions = Sessions(console_settings(config), "nobody", clock)
    cookie = sessions.sign_in(TOKENS["ada"])
    clock.advance(12 * 3_600 - 1)
    user = sessions.user(cookie, "", {})
    assert user is not None
    assert user.name == "ada"
    clock.advance(1)
    assert sessions.user(cookie, "", {}) is None


def test_people_sign_in_by_keyboard_on_a_phone(config: Path) -> None:
    with chromium() as browser, console(config, {"auth": {"tokens": TOKENS}}) as visitor:
        context = opened(browser, viewport={"width": 320, "height": 640}, bypass_csp=True)
        page = context.new_page()
        page.goto(f"{visitor.base}/inlets")
        assert (faults_of_access(page), width_of(page)) == ([], 320)
        page.locator("input[name=token]").focus()
        page.keyboard.type(TOKENS["ada"])
        page.keyboard.press("Enter")
        expect(page.locator(".who .name")).to_have_text("ada")
        assert urlsplit(page.url).path == "/inlets"


def test_a_form_of_another_site_is_refused_though_it_has_the_mark(signed_in: Visitor) -> None:
    answer = signed_in.post("/sign-out", {"csrf": csrf_of(signed_in)}, "https://attacker.example")
    assert answer.status == 403
    assert signed_in.get("/inlets").status == 200


def test_only_who_comes_through_the_proxy_is_let_in_under_the_name_that_it_gives(config: Path) -> None:
    with console(config, {"auth": PROXY}) as visitor:
        named = {"X-Forwarded-User": "ada@example.com"}
        assert visitor.get("/inlets", **named).status == 401
        assert visitor.get("/inlets", **named, **{"X-Proxy-Secret": "forged"}).status == 401
        assert visitor.get("/inlets", **{"X-Proxy-Secret": "only-the-proxy-knows"}).status == 401
        page = visitor.get("/inlets", **named, **{"X-Proxy-Secret": "only-the-proxy-knows"})
        assert page.status == 200
        assert "ada@example.com" in page.words


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"host": "0.0.0.0"}, "anyone could open the console"),
        ({"auth": {}}, "must have either tokens or proxy"),
        ({"auth": {"tokens": {}}}, "must name at least one person"),
        ({"auth": {"tokens": {"ada lovelace": "x"}}}, "is not a valid name"),
        ({"history": "1m"}, "must be 10m to 7d"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(config: Path, section: dict[str, Any], problem: str) -> None:
    content = yaml.safe_load(config.read_text()) | {"console": section}
    with pytest.raises(ConfigurationError) as refused:
        loads(yaml.safe_dump(content))
    assert problem in str(refused.value)


def test_a_secret_that_cannot_be_read_ends_the_start_with_its_name(config: Path, tmp_path: Path) -> None:
    tokens = {"oncall": f"file:{tmp_path}/missing"}
    with pytest.raises(AssertionError, match=r"console\.auth\.tokens\.oncall: cannot read secret file"):  # noqa: SIM117
        with console(config, {"auth": {"tokens": tokens}}):
            pass


def test_a_page_that_was_opened_before_the_first_look_is_over_becomes_the_page_that_was_asked_for(config: Path) -> None:
    """The first look waits for a Kafka that is away; the console listens before."""
    with chromium() as browser, console(config) as visitor:
        page = opened(browser).new_page()
        page.goto(f"{visitor.base}/")
        expect(page.get_by_text("Nothing was seen yet")).to_be_visible()


@needs_openssl
def test_with_a_certificate_of_its_own_people_sign_in_over_https_with_a_cookie_for_https_alone(
    config: Path, tmp_path: Path
) -> None:
    signer = authority(tmp_path)
    signer.server("console")
    files = {name: f"file:{tmp_path / f'console.{end}'}" for name, end in (("certificate", "crt"), ("key", "key"))}
    trusting = ssl.create_default_context(cafile=str(signer.certificate))
    with console(config, {"auth": {"tokens": TOKENS}, "tls": files}, trusting) as visitor:
        assert visitor.base.startswith("https://")
        answer = visitor.post("/sign-in", {"token": TOKENS["oncall"]})
        assert (answer.status, "Secure" in answer.headers["set-cookie"]) == (303, True)
        assert visitor.get("/inlets").status == 200
        assert visitor.send("/inlets", "/sign-out").status == 303
