"""`/plans/ID`: what a replay or purge would do, and the order to do it. A plan is made beside the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.operations.dead_letters.filters import Filters, selection_of
from streams.operations.dead_letters.jobs import order
from streams.operations.dead_letters.plans import OrderPlan, planned
from streams.operations.dead_letters.topics import dead_letters
from streams.operations.installation import Installation
from streams.state.orders import Action
from streams.state.plan import LEFT_OUT_SENTENCES
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.pages.orders import begun, reason_of
from streams.web.console.pages.plan_page import (
    common_values,
    give,
    is_waiting,
    order_of,
    plan_of,
    require_made,
    require_typed,
)
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND, ORDER_KIND = "plan", "job order"
WHERE = "on the page of the connector's letters"
SELECTING = ("cause", "since", "until", "event_type", "fingerprint", "limit", "scope", "again")
"""Fields of the form that select letters, as the options of `streams dlq replay` are called."""


async def make(desk: Desk, asked: Asked) -> Shown:
    """Begin a plan with the letters that the form selects."""
    name, action = asked.names["name"], _action(asked.typed("action"))
    filters = _filters(asked.form)
    rate = _rate(asked.typed("rate"))
    selection_of(dead_letters(desk.settings, name), filters, desk.clock.epoch_ms())  # what is wrong is told at once

    def plan(installation: Installation, work: Work) -> OrderPlan:
        return planned(installation, name, action, filters, rate=rate, report=work.report)

    fields = {field: asked.typed(field) for field in (*SELECTING, "rate") if asked.typed(field)}
    notes: dict[str, Any] = {"action": action, "fields": fields, "order": ""}
    work = await begun(desk, desk.threads.scans, KIND, name, asked.user.name, plan, **notes)
    return SeeOther(f"/plans/{work.id}")


async def show(desk: Desk, asked: Asked) -> Shown:
    work = plan_of(desk, asked, KIND, WHERE)
    ordered = order_of(desk, work)
    if ordered is not None and ordered.result:
        return SeeOther(f"/jobs/{segment(ordered.result)}" + (".json" if asked.is_json else ""))
    plan: OrderPlan | None = work.result
    name, action, fields = work.subject, work.notes["action"], work.notes["fields"]
    content = {**work.to_json(), **({} if plan is None else plan.to_json())}
    also = {
        **common_values(work, ordered, f"/plans/{work.id}"),
        "name": name,
        "action": action,
        "fields": fields,
        "renew_address": f"/connectors/{segment(name)}/plans",
        "renew_fields": {"action": action, **fields},
        "left_out_sentences": LEFT_OUT_SENTENCES,
        "selected": _sentences(fields),
        "change_address": f"{with_query(f'/connectors/{segment(name)}/letters', action=action, **fields)}#plan-title",
    }
    if action == "purge":
        also["typed"] = f"Type the name of the connector, {name}: a purge deletes for good."
    refresh_seconds = 2 if is_waiting(work, ordered) else None
    return Page("plan.html", f"{action.capitalize()} of {name}", content, also, refresh_seconds=refresh_seconds)


def _sentences(fields: Mapping[str, str]) -> list[str]:
    """What a plan selects, as people say it."""
    words = {"until": "parked until", "since": "parked since", "limit": "at most", "rate": "per second:"}
    shown = {"0s": "now"}
    return [f"{words.get(name, name.replace('_', ' '))} {shown.get(value, value)}" for name, value in fields.items()]


async def execute(desk: Desk, asked: Asked) -> Shown:
    """Order what the plan says, if nothing was settled since."""
    work = plan_of(desk, asked, KIND, WHERE)
    require_made(work)
    plan: OrderPlan = work.result
    name, who, reason = work.subject, asked.user.name, reason_of(asked)
    if plan.plan.action == "purge":
        what = f"a purge deletes for good: type the name {name} to confirm it"
        require_typed(asked, name, "Type the name", what)

    def carry_out(installation: Installation, _ordering: Work) -> str:
        return order(installation, plan, who=who, reason=reason, is_bound=True)

    give(desk, desk.threads.orders, work, ORDER_KIND, who, carry_out)
    return SeeOther(f"/plans/{work.id}")


async def leave(desk: Desk, asked: Asked) -> Shown:
    """End a plan that is being made."""
    work = plan_of(desk, asked, KIND, WHERE)
    work.is_left = True
    return SeeOther(f"/connectors/{segment(work.subject)}/letters")


def _action(text: str) -> Action:
    if text == "replay":
        return "replay"
    if text == "purge":
        return "purge"
    raise PageError(400, "No such action", "a plan is of a replay or a purge")


def _filters(form: Mapping[str, str]) -> Filters:
    """Raises `PageError` for a limit that is none. Everything else is checked where letters are selected."""

    def words(name: str) -> tuple[str, ...]:
        return tuple(form.get(name, "").replace(",", " ").split())

    limit = form.get("limit", "").strip()
    if limit and (not limit.isdigit() or not int(limit)):
        raise PageError(400, "The request is wrong", f"limit: {limit} is no whole number above 0")
    return Filters(
        causes=words("cause"),
        since=form.get("since", "").strip() or None,
        until=form.get("until", "").strip() or None,
        event_types=words("event_type"),
        fingerprints=words("fingerprint"),
        limit=int(limit) if limit else None,
        scope=form.get("scope", "").strip() or None,
        again=bool(form.get("again")),
    )


def _rate(text: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = -1.0
    if rate is not None and not 0.001 <= rate < 1e9:
        raise PageError(400, "The request is wrong", f"rate: {text} is not a number of letters per second")
    return rate


ROUTES = (
    Route("POST", "/connectors/{name}/plans", make, "writes"),
    Route("GET", "/plans/{id}", show),
    Route("POST", "/plans/{id}/execute", execute, "writes"),
    Route("POST", "/plans/{id}/leave", leave, "writes"),
)
