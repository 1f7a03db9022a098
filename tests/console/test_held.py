"""While the console counts a million letters or reads a long audit, no other page waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from streams.config import loads
from streams.inlets.progress import Counts
from streams.operations import audit as reading
from streams.operations.audit import Page as Lines
from streams.operations.dead_letters.overview import LettersOverview
from streams.operations.inlets.overview import InletOverview
from streams.operations.installation import Installation
from streams.ports.errors import KafkaUnreachable
from streams.state.audit import Line
from streams.testing.clock import MovableClock
from streams.web.console.client_threads import QUEUE_MAX, ClientThreads
from streams.web.console.desk import Asked, Desk, Page, Shown
from streams.web.console.history import History
from streams.web.console.pages import audit, connectors, explain, forget, inlets, letters, orders, plans
from streams.web.console.sessions import User
from streams.web.console.watch import Snapshot, Watch
from streams.web.console.works import Works
from tests.waiting import PATIENCE_SECONDS, wait_until

SETTINGS = """
kafka: {bootstrap_servers: "127.0.0.1:1"}
connectors: {analytics: {destination: mixpanel, project_token: 0123456789abcdef0123456789abcdef}}
inlets: {bucket: {kind: storage, url: "file:///tmp/bucket"}}
"""
ENDS_SECONDS = 30.0
"""A page that waits for what is held waits so long here; for all else it is long enough."""
PLAN = {"action": "replay"}
EVENT = {"id": "3d6a2f7c-6f0a-4a1e-9d0e-2f6f1a2b3c4d", "since": "1h"}
USERS = {"external_ids": "somebody"}


class Nobody:
    """An installation that is asked nothing."""

    def close(self) -> None:
        """Nothing is open."""


class Held:
    """An answer of Kafka that does not come before the test lets it go."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, *_given: Any, **_options: Any) -> Any:
        self.is_asked.set()
        assert self.go_on.wait(PATIENCE_SECONDS)
        return None


@pytest.fixture
def desk() -> Iterator[Desk]:
    settings, clock, history = loads(SETTINGS), MovableClock(), History(3600)
    watch = Watch(settings, lambda _name: cast(Installation, Nobody()), clock, history)
    bucket = InletOverview("bucket", "file:///tmp/bucket", "active", "one", Counts(), 0, 0, 0, "")
    seen = {"analytics": LettersOverview("analytics", (), (), {}, 1)}
    watch.snapshot = Snapshot(1, 1, None, {}, (), seen, {}, inlets=(bucket,))
    threads = ClientThreads(lambda _name: cast(Installation, Nobody()), clock)
    works = Works(clock.epoch_ms, lambda: None)
    yield Desk(settings, watch, threads, works, history, clock, lambda: None)
    threads.close()


@pytest.fixture
def held(desk: Desk) -> Iterator[Held]:
    """Let go before the threads of the desk are waited for."""
    assert desk
    held = Held()
    yield held
    held.go_on.set()


def asked(form: dict[str, str] | None = None) -> Asked:
    return Asked("/", {"name": "analytics"}, {}, form or {}, User("ada", "csrf"))


def page(shown: Shown) -> Page:
    assert isinstance(shown, Page)
    return shown


def lines(*whats: str) -> Lines:
    return Lines([Line(at=1, who="ada", connector="analytics", what=what) for what in whats], 0, False)


async def counting(desk: Desk, held: Held) -> None:
    """Somebody opened the page of the letters, and their count does not end."""
    shown = page(await letters.show(desk, asked()))
    assert shown.also["work"].is_running
    assert await asyncio.to_thread(held.is_asked.wait, PATIENCE_SECONDS)


def test_while_letters_are_counted_the_audit_and_what_is_drawn_of_it_are_read(
    desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "grouped", held)
    monkeypatch.setattr(reading, "read_audit", lambda *_: lines("suspended"))
    monkeypatch.setattr(connectors, "read_audit", lambda *_: lines())
    monkeypatch.setattr(audit, "MOMENT_SECONDS", ENDS_SECONDS, raising=False)

    async def look() -> None:
        await counting(desk, held)
        shown = page(await audit.show(desk, asked()))
        assert [line["what"] for line in shown.content["lines"]] == ["suspended"]
        drawn = connectors._reading(desk, "analytics", "ada", 1)
        assert drawn.ends is not None
        await asyncio.wait_for(asyncio.wrap_future(drawn.ends), ENDS_SECONDS)

    asyncio.run(look())


@pytest.mark.parametrize(
    ("module", "reads", "sent", "form", "kind"),
    [
        (plans, "planned", plans.make, PLAN, plans.KIND),
        (explain, "explain", explain.search, EVENT, explain.KIND),
        (forget, "forget_plan", forget.make, USERS, forget.KIND),
    ],
)
def test_while_letters_are_counted_what_a_person_asks_for_is_done(
    desk: Desk,
    held: Held,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    reads: str,
    sent: Callable[[Desk, Asked], Awaitable[Shown]],
    form: dict[str, str],
    kind: str,
) -> None:
    is_read = threading.Event()
    monkeypatch.setattr(letters, "grouped", held)
    monkeypatch.setattr(module, reads, lambda *_given, **_options: is_read.set())
    monkeypatch.setattr(orders, "ANSWER_SECONDS", ENDS_SECONDS)

    async def order() -> None:
        await counting(desk, held)
        await sent(desk, asked(form))
        assert is_read.is_set(), f"a {kind} waits for the count"

    asyncio.run(order())


def test_a_page_of_an_audit_that_is_read_again_has_the_lines_from_before_and_then_the_new_ones(
    desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = cast(MovableClock, desk.clock)
    monkeypatch.setattr(reading, "read_audit", lambda *_: lines("suspended"))
    monkeypatch.setattr(audit, "MOMENT_SECONDS", ENDS_SECONDS, raising=False)

    async def look() -> None:
        assert [one["what"] for one in page(await audit.show(desk, asked())).content["lines"]] == ["suspended"]
        clock.advance(audit.FRESH_MS / 1000 + 1)
        monkeypatch.setattr(reading, "read_audit", held)
        monkeypatch.setattr(audit, "MOMENT_SECONDS", 0.0, raising=False)
        again = page(await audit.show(desk, asked()))
        assert [one["what"] for one in again.content["lines"]] == ["suspended"]
        assert (again.also["work"].is_running, again.refresh_seconds) == (True, 2)
        assert await asyncio.to_thread(held.is_asked.wait, PATIENCE_SECONDS)
        newest = again.also["work"]
        held.go_on.set()
        await asyncio.to_thread(wait_until, lambda: not newest.is_running, "the reading to end")
        newest.result = lines("suspended", "resumed")
        after = page(await audit.show(desk, asked()))
        assert [one["what"] for one in after.content["lines"]] == ["suspended", "resumed"]

    asyncio.run(look())


def test_pages_of_inlets_ask_nobody(desk: Desk) -> None:
    one = Asked("/inlets/bucket", {"name": "bucket"}, {}, {}, User("ada", "csrf"))
    assert page(asyncio.run(inlets.show(desk, one))).content["state"] == "active"
    assert [it["inlet"] for it in page(asyncio.run(inlets.show_all(desk, asked()))).content["inlets"]] == ["bucket"]


def test_a_reading_that_was_refused_because_too_much_waits_is_tried_again(
    desk: Desk, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "grouped", lambda *_given: None)
    ahead = [desk.threads.counts.submit(held) for _ in range(QUEUE_MAX)]
    with pytest.raises(KafkaUnreachable):
        asyncio.run(letters.show(desk, asked()))
    held.go_on.set()
    for one in ahead:
        one.result(PATIENCE_SECONDS)
    work = page(asyncio.run(letters.show(desk, asked()))).also["work"]
    wait_until(lambda: not work.is_running, "the letters to be counted")
