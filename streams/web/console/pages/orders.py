"""Orders to a connector's keeper: probe, suspend, resume, extend. What came of one is told on the connector's page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from streams.operations.connectors import orders
from streams.operations.connectors.orders import Probed
from streams.operations.dead_letters import deadlines
from streams.operations.installation import Installation
from streams.state.moments import told
from streams.web.console.client_threads import ClientThread
from streams.web.console.desk import Asked, Desk, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND = "order"
ANSWER_SECONDS = 4.0
"""A form waits so long for what comes of it; then the next page says that it is under way."""
SAID = {"good": "accepted", "bad": "refused", "silent": "no answer about the credentials"}


async def begun(
    desk: Desk,
    thread: ClientThread,
    kind: str,
    subject: str,
    who: str,
    do: Callable[[Installation, Work], Any],
    **notes: Any,
) -> Work:
    """A work that was given a moment to end: most do."""
    work = desk.works.begin(thread, kind, subject, who, do, **notes)
    await given_a_moment(work, ANSWER_SECONDS)
    return work


async def given_a_moment(work: Work, seconds_max: float) -> None:
    """Wait until it has ended, so long at most."""
    assert work.ends is not None, "it has begun"
    await asyncio.wait([asyncio.wrap_future(work.ends)], timeout=seconds_max)


async def _order(desk: Desk, asked: Asked, what: str, do: Callable[[Installation], str]) -> Shown:
    name = asked.names["name"]
    _require(desk, name)

    def carry_out(installation: Installation, _work: Work) -> str:
        try:
            return do(installation)
        finally:
            desk.watch.look_soon()

    work = await begun(desk, desk.threads.orders, KIND, name, asked.user.name, carry_out, what=what)
    return SeeOther(with_query(f"/connectors/{segment(name)}", order=work.id))


def _require(desk: Desk, name: str) -> None:
    if name not in desk.settings.connectors:
        known = ", ".join(desk.settings.connectors)
        raise PageError(404, "No such connector", f"there is no connector {name}", f"connectors: {known}")


def reason_of(asked: Asked) -> str:
    """Why, of an order's form. Raises `PageError` without one."""
    reason = asked.typed("reason")
    if not reason:
        raise PageError(400, "Say why", "an order needs a reason: it is written to the audit", "go back and say why")
    return reason


async def probe(desk: Desk, asked: Asked) -> Shown:
    name, who, scope = asked.names["name"], asked.user.name, asked.typed("scope")

    def do(installation: Installation) -> str:
        return _probed(orders.probe(installation, name, [scope] if scope else [], who=who))

    return await _order(desk, asked, "probe", do)


def _probed(found: Sequence[Probed]) -> str:
    said = [f"{one.scope}: {SAID[one.outcome]} ({one.status} {one.detail})".replace(" )", ")") for one in found]
    return "The destination was asked. " + "; ".join(said)


async def suspend(desk: Desk, asked: Asked) -> Shown:
    name, who, reason = asked.names["name"], asked.user.name, reason_of(asked)

    def do(installation: Installation) -> str:
        state = orders.suspend(installation, name, who=who, reason=reason)
        return f"{name} is {state}: nothing is sent, and no deadline runs"

    return await _order(desk, asked, "suspend", do)


async def resume(desk: Desk, asked: Asked) -> Shown:
    name, who, reason = asked.names["name"], asked.user.name, reason_of(asked)

    def do(installation: Installation) -> str:
        return f"{name} is {orders.resume(installation, name, who=who, reason=reason)}"

    return await _order(desk, asked, "resume", do)


async def extend(desk: Desk, asked: Asked) -> Shown:
    name, who, reason = asked.names["name"], asked.user.name, reason_of(asked)
    scope, by = asked.typed("scope"), asked.typed("by")

    def do(installation: Installation) -> str:
        extended_ms = deadlines.extend(installation, name, scope, by, who=who, reason=reason)
        return f"letters of {scope} live {by} longer; extensions in total: {told(extended_ms / 1000)}"

    return await _order(desk, asked, "extend", do)


ROUTES = (
    Route("POST", "/connectors/{name}/probe", probe, "writes"),
    Route("POST", "/connectors/{name}/suspend", suspend, "writes"),
    Route("POST", "/connectors/{name}/resume", resume, "writes"),
    Route("POST", "/connectors/{name}/extend", extend, "writes"),
)
