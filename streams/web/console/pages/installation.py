"""`/router`, `/schemas`, `/topics`: what the commands of the same names print."""

from __future__ import annotations

from streams.config.names import SOURCE
from streams.operations.topics import listed, unread_sentence
from streams.web.console.desk import Asked, Desk, Page, Shown
from streams.web.console.failures import PageError
from streams.web.console.routes import Route


async def router(desk: Desk, _asked: Asked) -> Shown:
    snapshot = desk.snapshot
    if snapshot.router is None:
        failure = snapshot.failure
        assert failure is not None, "a look that does not fail sees the router"
        raise PageError(failure.status, failure.title, failure.what, failure.fix)
    also = {
        "wanting": [need for need in snapshot.needs if need.connector == SOURCE and not need.inlet],
        "is_routed": bool(desk.settings.routed),
        "is_needed": desk.settings.needs_router,
        "jobs": desk.watch.jobs(SOURCE)[:10],
        "name": SOURCE,
    }
    return Page("router.html", "Router", snapshot.router, also, refresh_seconds=30)


async def schemas(desk: Desk, _asked: Asked) -> Shown:
    found = await desk.threads.schemas.get()
    router = desk.snapshot.router or {"causes": []}
    missing = [cause for cause in router["causes"] if cause["why"] == "schema"]
    return Page("schemas.html", "Schemas", found.to_json(), {"found": found, "missing": missing})


async def topics(desk: Desk, _asked: Asked) -> Shown:
    found = await desk.threads.topics.get()
    sentence = unread_sentence(found.unread) if found.unread else ""
    return Page("topics.html", "Topics", listed(found), {"found": found, "sentence": sentence})


ROUTES = (
    Route("GET", "/router", router),
    Route("GET", "/schemas", schemas),
    Route("GET", "/topics", topics),
)
