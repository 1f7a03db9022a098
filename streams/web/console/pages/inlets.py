"""`/inlets` and `/inlets/NAME`: what `streams inlets` prints, and orders about files that cannot be read."""

from __future__ import annotations

from streams.inlets.progress import What
from streams.operations.inlets.orders import order
from streams.operations.inlets.overview import InletOverview
from streams.operations.installation import Installation
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import segment, with_query
from streams.web.console.pages.orders import begun, reason_of
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND = "inlet order"
WAIT_SECONDS = 15.0
"""An active process carries an order out within seconds."""
ACTIONS = {"retry": What.RETRY, "skip": What.SKIP, "salvage": What.SALVAGE}


async def show_all(desk: Desk, _asked: Asked) -> Shown:
    found = [_seen(desk, name) for name in desk.settings.storage_inlets]
    others = [
        (name, str(inlet.kind))
        for name, inlet in desk.settings.inlets.items()
        if name not in desk.settings.storage_inlets
    ]
    content = {"inlets": [one.to_json() for one in found]}
    return Page("inlets.html", "Inlets", content, {"found": found, "others": others}, refresh_seconds=30)


async def show(desk: Desk, asked: Asked) -> Shown:
    name = _known(desk, asked)
    found = _seen(desk, name)
    ordered = desk.works.find(asked.first("order"))
    also = {"found": found, "ordered": ordered, "wait_seconds": WAIT_SECONDS}
    return Page("inlet.html", f"Inlet {name}", found.to_json(), also, refresh_seconds=30)


async def act(desk: Desk, asked: Asked) -> Shown:
    """Have a file read again, or given up."""
    name, key, who, reason = _known(desk, asked), asked.form.get("key", ""), asked.user.name, reason_of(asked)
    what = ACTIONS.get(asked.typed("action"))
    if what is None:
        raise PageError(400, "No such action", f"a file is given one of: {', '.join(ACTIONS)}")

    def carry_out(installation: Installation, _work: Work) -> str:
        done = order(installation, name, key, what, who=who, reason=reason, wait_seconds=WAIT_SECONDS)
        desk.watch.look_soon()
        return f"Carried out: {what.value} {key}. {done.sentence()}" if done.is_done else done.sentence()

    work = await begun(desk, desk.threads.orders, KIND, name, who, carry_out, what=what.value)
    return SeeOther(with_query(f"/inlets/{segment(name)}", order=work.id))


def _seen(desk: Desk, name: str) -> InletOverview:
    """An inlet as the snapshot has it: what all inlets wrote is too much to read for each page. Raises `PageError`."""
    snapshot = desk.snapshot
    found = next((one for one in snapshot.inlets if one.name == name), None)
    if found is None:
        failure = snapshot.failure
        assert failure is not None, "a look that does not fail sees every inlet"
        raise PageError(failure.status, failure.title, failure.what, failure.fix)
    return found


def _known(desk: Desk, asked: Asked) -> str:
    name = asked.names["name"]
    if name not in desk.settings.storage_inlets:
        known = ", ".join(desk.settings.storage_inlets) or "none"
        raise PageError(404, "No such inlet", f"there is no storage inlet {name}", f"storage inlets: {known}")
    return name


ROUTES = (
    Route("GET", "/inlets", show_all),
    Route("GET", "/inlets/{name}", show),
    Route("POST", "/inlets/{name}/files", act, "writes"),
)
