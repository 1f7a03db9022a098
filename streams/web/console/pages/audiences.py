"""`/audiences`: cohorts and audiences that are written to Braze, and orders about one of them: plan, then order."""

from __future__ import annotations

from typing import Any

from streams.operations.audiences.orders import Action, GroupPlan, order, planned
from streams.operations.audiences.overview import Group, groups
from streams.operations.installation import Installation
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment
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

KIND, PLAN_KIND, ORDER_KIND = "audiences", "audience plan", "audience order"
WHERE = "/audiences"
FRESH_MS = 60_000


async def show_all(desk: Desk, asked: Asked) -> Shown:
    """Rows of a million users take a while: they are read beside the page, one connector after the other."""
    works = {name: _listing(desk, asked, name) for name in desk.settings.entries}
    content: dict[str, Any] = {
        "connectors": [
            {"connector": name, "groups": [group.to_json() for group in work.result or ()], "count": work.to_json()}
            for name, work in works.items()
        ]
    }
    is_running = any(work.is_running for work in works.values())
    return Page("audiences.html", "Audiences", content, {"works": works}, refresh_seconds=3 if is_running else None)


async def make(desk: Desk, asked: Asked) -> Shown:
    """Begin a plan for one cohort or audience."""
    name, action = asked.names["name"], _action(asked.typed("action"))
    if name not in desk.settings.entries:
        known = ", ".join(desk.settings.entries) or "none"
        raise PageError(404, "No such connector", f"{name} receives no cohorts and audiences", f"connectors: {known}")
    entry, group_id = asked.form.get("entry", ""), asked.form.get("id", "")

    def plan(installation: Installation, _work: Work) -> GroupPlan:
        return planned(installation, name, action, group_id, entry=entry or None)

    notes: dict[str, Any] = {"action": action, "entry": entry, "id": group_id, "order": ""}
    work = await begun(desk, desk.threads.scans, PLAN_KIND, name, asked.user.name, plan, **notes)
    return SeeOther(f"/audiences/{segment(name)}/plans/{work.id}")


async def show(desk: Desk, asked: Asked) -> Shown:
    work = _work(desk, asked)
    ordered = order_of(desk, work)
    plan: GroupPlan | None = work.result
    name, action = work.subject, work.notes["action"]
    is_ordered = ordered is not None and bool(ordered.result)
    content = {**work.to_json(), **({} if plan is None else {**plan.to_json(), "ordered": is_ordered})}
    also = {
        **common_values(work, ordered, f"/audiences/{segment(name)}/plans/{work.id}"),
        "name": name,
        "action": action,
        "renew_address": f"/audiences/{segment(name)}/plans",
        "renew_fields": {field: work.notes[field] for field in ("action", "entry", "id")},
        "is_ordered": is_ordered,
    }
    if action == "clear":
        also["typed"] = f"Type the name of the connector, {name}: every member is removed in Braze."
    title, refresh_seconds = f"Plan: {action} an audience of {name}", 2 if is_waiting(work, ordered) else None
    return Page("audience_plan.html", title, content, also, refresh_seconds=refresh_seconds)


async def execute(desk: Desk, asked: Asked) -> Shown:
    """Order what the plan says, if it would be the same now."""
    work = _work(desk, asked)
    require_made(work)
    plan: GroupPlan = work.result
    who, reason = asked.user.name, reason_of(asked)
    if plan.action == "clear":
        what = f"it removes every member in Braze: type the name {plan.connector} to confirm it"
        require_typed(asked, plan.connector, "Type the name", what)

    def carry_out(installation: Installation, _ordering: Work) -> bool:
        group = plan.group
        newest = planned(installation, plan.connector, plan.action, group.group_id, entry=group.entry, expected=plan.id)
        order(installation, newest, who=who, reason=reason)
        return True

    give(desk, desk.threads.scans, work, ORDER_KIND, who, carry_out)
    return SeeOther(f"/audiences/{segment(work.subject)}/plans/{work.id}")


def _listing(desk: Desk, asked: Asked, name: str) -> Work:
    now_ms = desk.clock.epoch_ms()
    newest = next(desk.works.newest(KIND, name), None)
    if newest is not None and (newest.ended_ms is None or now_ms - newest.ended_ms < FRESH_MS):
        return newest

    def read(installation: Installation, _work: Work) -> tuple[Group, ...]:
        return groups(installation, name)

    return desk.works.begin(desk.threads.counts, KIND, name, asked.user.name, read)


def _work(desk: Desk, asked: Asked) -> Work:
    work = plan_of(desk, asked, PLAN_KIND, WHERE)
    if work.subject != asked.names["name"]:
        raise PageError(404, "No such plan", f"{asked.names['name']} has no such plan", f"make a new plan: {WHERE}")
    return work


def _action(text: str) -> Action:
    if text == "clear":
        return "clear"
    if text == "resend":
        return "resend"
    raise PageError(400, "No such action", "a plan is to clear or to resend")


ROUTES = (
    Route("GET", "/audiences", show_all),
    Route("POST", "/audiences/{name}/plans", make, "writes"),
    Route("GET", "/audiences/{name}/plans/{id}", show),
    Route("POST", "/audiences/{name}/plans/{id}/execute", execute, "writes"),
)
