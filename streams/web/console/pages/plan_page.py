"""What all plans have in common: they are made beside the page, found again by their address, confirmed, and ordered
once. What a plan is about, and what its order does, is its own page's (`planned.html` draws the common parts)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streams.operations.installation import Installation
from streams.web.console.client_threads import ClientThread
from streams.web.console.desk import Asked, Desk
from streams.web.console.failures import PageError
from streams.web.console.works import Work


def plan_of(desk: Desk, asked: Asked, kind: str, where: str) -> Work:
    """The plan of an address. `where` says where a new one is made. Raises `PageError`."""
    work = desk.works.find(asked.names["id"])
    if work is None or work.kind != kind:
        what = "this plan is not known here: plans are kept in memory, the newest 100 of them"
        raise PageError(404, "No such plan", what, f"make a new plan: {where}")
    return work


def order_of(desk: Desk, work: Work) -> Work | None:
    """The newest order of a plan."""
    return desk.works.find(work.notes["order"])


def require_made(work: Work) -> None:
    """Raises `PageError` for a plan that is not there to be ordered."""
    if work.result is None:
        raise PageError(409, "No plan", "the plan is not made, or was left", "make a new plan")


def require_typed(asked: Asked, text: str, title: str, what: str) -> None:
    """Raises `PageError` unless the person typed this text once more."""
    if asked.typed("typed_name") != text:
        raise PageError(400, title, what, "go back and type it")


def is_given(order: Work | None) -> bool:
    """Whether it is under way, or was accepted: it is not given once more."""
    return order is not None and (order.is_running or bool(order.result))


def give(
    desk: Desk, thread: ClientThread, work: Work, kind: str, who: str, do: Callable[[Installation, Work], Any]
) -> None:
    """Order what a plan says, unless that was done."""
    if is_given(order_of(desk, work)):
        return

    def carry_out(installation: Installation, ordering: Work) -> Any:
        try:
            return do(installation, ordering)
        finally:
            desk.watch.look_soon()

    work.notes["order"] = desk.works.begin(thread, kind, work.subject, who, carry_out).id


def common_values(work: Work, order: Work | None, address: str) -> dict[str, Any]:
    """What `planned.html` needs of every plan. A plan that is stale is not ordered again."""
    is_stale = order is not None and order.status == 409
    return {
        "work": work,
        "plan_made": work.result,
        "ordered": order,
        "address": address,
        "is_stale": is_stale,
        "may_order": not is_given(order) and not is_stale,
        "may_renew": not work.is_running and not is_given(order),
        "typed": "",
        "order_fix": "",
        "change_address": "",
    }


def is_waiting(work: Work, order: Work | None) -> bool:
    """Whether the page will soon show something else."""
    return work.is_running or (order is not None and order.is_running)
