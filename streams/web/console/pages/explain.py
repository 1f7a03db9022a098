"""`/explain`: one event's way as a timeline. It is looked for beside the page, and stands in no address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.operations.explain.explanation import explain, not_looked_at, require_event_id, window_of
from streams.operations.explain.story_content import listed
from streams.operations.installation import Installation
from streams.web.console.desk import Asked, Desk, Page, SeeOther, Shown
from streams.web.console.failures import PageError
from streams.web.console.pages.orders import begun
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND = "explain"
FIELDS = ("id", "user", "around", "since", "until")


async def ask(_desk: Desk, asked: Asked) -> Shown:
    also = {"work": None, "found": None, "fields": dict.fromkeys(FIELDS, "") | {"id": asked.first("id")}}
    return Page("explain.html", "Explain", {}, also)


async def search(desk: Desk, asked: Asked) -> Shown:
    """Begin to look for the event. A person's id is looked for, too, and is kept out of addresses and logs."""
    fields = {field: asked.typed(field) for field in FIELDS}
    event_id, user = fields["id"], fields["user"] or None
    require_event_id(event_id)
    around, since, until = (fields[name] or None for name in ("around", "since", "until"))
    window = window_of(around, since, until, desk.clock.epoch_ms())

    def look(installation: Installation, work: Work) -> Mapping[str, Any]:
        found = explain(installation, event_id, window, user, work.report)
        return listed(event_id, found, window, not_looked_at(found, window, user))

    shown = {name: value for name, value in fields.items() if name != "user"}
    work = await begun(desk, desk.threads.scans, KIND, "", asked.user.name, look, fields=shown)
    return SeeOther(f"/explain/{work.id}")


async def show(desk: Desk, asked: Asked) -> Shown:
    work = desk.works.find(asked.names["id"])
    if work is None or work.kind != KIND:
        raise PageError(404, "No such search", "this search is not known here", "look for the event again: /explain")
    found: Mapping[str, Any] | None = work.result
    content = {**work.to_json(), **(found or {})}
    also = {"work": work, "found": found, "fields": work.notes["fields"]}
    return Page("explain.html", "Explain", content, also, refresh_seconds=2 if work.is_running else None)


ROUTES = (
    Route("GET", "/explain", ask),
    Route("POST", "/explain", search, "asks"),
    Route("GET", "/explain/{id}", show),
)
