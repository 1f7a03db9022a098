"""`/forget`: what is known here of some users, and the order to forget them at every connector.

External ids come by form and stand in no address, page or log. They are kept in memory, for an hour at most: the order
makes the plan once more, as the command does, and refuses one that is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.operations.dead_letters.jobs import NamedJob
from streams.operations.forgetting.orders import order_forget
from streams.operations.forgetting.plan import ForgetPlan, forget_plan
from streams.operations.installation import Installation
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.pages.orders import begun, reason_of
from streams.web.console.pages.plan_page import (
    common_values,
    give,
    is_given,
    order_of,
    plan_of,
    require_made,
    require_typed,
)
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND, ORDER_KIND = "forget plan", "forget order"
IDS_MS_MAX = 3_600_000
"""How long the external ids of a plan are kept."""
JOBS_MAX = 50


async def ask(desk: Desk, _asked: Asked) -> Shown:
    """The form, and orders that were given before."""
    names = desk.snapshot.jobs
    found = [(name, one) for name in names for one in desk.watch.jobs(name) if one.job.action == "forget"]
    found = sorted(found, key=lambda job: -job[1].job.created)[:JOBS_MAX]
    content = {"jobs": [{"connector": name, **one.to_json()} for name, one in found]}
    return Page("forget.html", "Forget users", content, {"found": found}, refresh_seconds=30)


async def make(desk: Desk, asked: Asked) -> Shown:
    """Begin a plan for the external ids of the form, one a line."""
    users = [line for line in asked.form.get("external_ids", "").splitlines() if line.strip()]
    return await _planned(desk, asked.user.name, users)


async def renew(desk: Desk, asked: Asked) -> Shown:
    """A new plan for the users of an earlier one."""
    return await _planned(desk, asked.user.name, _users(_work(desk, asked)))


async def show(desk: Desk, asked: Asked) -> Shown:
    work = _work(desk, asked)
    ordered = order_of(desk, work)
    plan: ForgetPlan | None = work.result
    jobs: Mapping[str, str] = {} if ordered is None else ordered.result or {}
    outcomes = _outcomes(desk, jobs)
    content: dict[str, Any] = {**work.to_json(), **({} if plan is None else plan.to_json())}
    if outcomes:
        content["outcomes"] = {name: named.to_json() for name, named in outcomes.items()}
    is_over = bool(jobs) and outcomes.keys() == jobs.keys() and all(named.is_over for named in outcomes.values())
    common = common_values(work, ordered, f"/forget/{work.id}")
    users = work.notes["users"]
    also = {
        **common,
        "may_order": common["may_order"] and bool(users),
        "may_renew": common["may_renew"] and bool(users),
        "renew_address": f"/forget/{work.id}/renew",
        "renew_fields": {},
        "typed": _typing(users),
        "order_fix": "make a new plan: what some keepers have accepted already stays so",
        "outcomes": outcomes,
        "is_over": is_over,
        "not_done": [name for name, named in outcomes.items() if named.is_over and named.job.status != "done"],
        "purged": sum(named.job.done for named in outcomes.values()),
        "is_known": bool(users),
    }
    is_under_way = work.is_running or (ordered is not None and not ordered.failure and not is_over)
    return Page("forget_plan.html", "Plan: forget users", content, also, refresh_seconds=2 if is_under_way else None)


async def execute(desk: Desk, asked: Asked) -> Shown:
    """Order what the plan says, if nothing has changed since."""
    work = _work(desk, asked)
    require_made(work)
    plan: ForgetPlan = work.result
    if is_given(order_of(desk, work)):
        return SeeOther(f"/forget/{work.id}")
    users, who, reason = _users(work), asked.user.name, reason_of(asked)
    wanted = "the external id of the user" if len(users) == 1 else f"how many users these are, {len(users)},"
    what = f"forgetting deletes for good: type {wanted} to confirm it"
    require_typed(asked, confirmation(users), "Type it once more", what)

    def carry_out(installation: Installation, ordering: Work) -> Mapping[str, str]:
        newest = forget_plan(installation, users, expected=plan.id, report=ordering.report)
        return order_forget(installation, newest, who=who, reason=reason)

    give(desk, desk.threads.scans, work, ORDER_KIND, who, carry_out)
    return SeeOther(f"/forget/{work.id}")


async def leave(desk: Desk, asked: Asked) -> Shown:
    """End a plan that is being made."""
    work = _work(desk, asked)
    work.is_left, work.notes["users"] = True, []
    return SeeOther("/forget")


def confirmation(users: list[str]) -> str:
    """What a person types to confirm: the one external id, or how many users they are."""
    return users[0].strip() if len(users) == 1 else str(len(users))


def _typing(users: list[str]) -> str:
    if len(users) == 1:
        return "Type the external id of the user once more: it cannot be undone."
    return f"Type how many users these are, {len(users)}: it cannot be undone."


async def _planned(desk: Desk, who: str, users: list[str]) -> Shown:
    users = list(dict.fromkeys(users))
    if not users:
        raise PageError(
            400, "Nobody is named", "give the external ids of the users, one a line", "go back and type them"
        )

    def plan(installation: Installation, work: Work) -> ForgetPlan:
        return forget_plan(installation, users, report=work.report)

    work = await begun(desk, desk.threads.scans, KIND, "", who, plan, users=users, order="")
    return SeeOther(f"/forget/{work.id}")


def _outcomes(desk: Desk, jobs: Mapping[str, str]) -> dict[str, NamedJob]:
    """The job of each connector, as it is now; those that were just ordered may be missing."""
    found = {name: desk.watch.job(job_id) for name, job_id in jobs.items()}
    return {name: known[1] for name, known in found.items() if known is not None}


def _users(work: Work) -> list[str]:
    users: list[str] = work.notes["users"]
    if not users:
        what = "external ids are kept for an hour at most, and not longer than they are needed"
        raise PageError(409, "The plan is too old", what, "make a new plan")
    return users


def _work(desk: Desk, asked: Asked) -> Work:
    """The plan of an address. Ids that are not needed any more are deleted."""
    work = plan_of(desk, asked, KIND, "/forget")
    ordered = order_of(desk, work)
    is_ordered = ordered is not None and bool(ordered.result)
    if is_ordered or desk.clock.epoch_ms() - work.began_ms > IDS_MS_MAX:
        work.notes["users"] = []
    return work


ROUTES = (
    Route("GET", "/forget", ask),
    Route("POST", "/forget", make, "writes"),
    Route("GET", "/forget/{id}", show),
    Route("POST", "/forget/{id}/execute", execute, "writes"),
    Route("POST", "/forget/{id}/renew", renew, "writes"),
    Route("POST", "/forget/{id}/leave", leave, "writes"),
)
