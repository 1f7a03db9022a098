"""`/audit`: who or what did what, when and why. Read beside the page; also as a file of JSON lines."""

from __future__ import annotations

import orjson

from streams.config.names import SOURCE
from streams.operations import audit
from streams.operations.audit import GROUPS, Wanted, kinds_of
from streams.operations.errors import BadRequest
from streams.operations.installation import Installation
from streams.state.audit import KINDS, Line
from streams.state.moments import parse_moment
from streams.web.console.desk import Asked, Desk, Download, Page, Shown
from streams.web.console.failures import PageError
from streams.web.console.html import with_query
from streams.web.console.pages.orders import ANSWER_SECONDS, given_a_moment
from streams.web.console.routes import Route
from streams.web.console.works import Work

KIND = "audit"
FIELDS = ("connector", "actor", "kind", "since", "until")
DEFAULT_SINCE = "7d"
FRESH_MS = 15_000
LINES_MAX = 500
"""Lines on a page, the newest ones; the file has all."""
MOMENT_SECONDS = 0.2
"""A page waits so long for its lines. A program, which does not come back by itself, waits as long as a form does."""


async def show(desk: Desk, asked: Asked) -> Shown:
    work = _reading(desk, asked)
    await given_a_moment(work, ANSWER_SECONDS if asked.is_json else MOMENT_SECONDS)
    shown = work if asked.is_json or not work.is_running else _earlier(desk, asked) or work
    page: audit.Page | None = shown.result
    lines = [] if page is None else [*reversed(page.lines)]
    content = work.to_json() if page is None else _listed(page)
    fields = {name: asked.first(name) for name in FIELDS}
    also = {
        "work": work,
        "shown": shown,
        "fields": fields,
        "since_default": DEFAULT_SINCE,
        "audited": [(line, line.to_json()) for line in lines[:LINES_MAX]],
        "left_out": max(0, len(lines) - LINES_MAX),
        "names": [*desk.settings.connectors, SOURCE, *desk.settings.storage_inlets],
        "kinds": [*GROUPS, *KINDS],
        "file": with_query("/audit.jsonl", **fields),
        "found": page,
    }
    return Page("audit.html", "Audit", content, also, refresh_seconds=2 if work.is_running else None)


async def download(desk: Desk, asked: Asked) -> Shown:
    """The lines as the filters say, oldest first, one JSON object a line."""
    work = _reading(desk, asked)
    await given_a_moment(work, ANSWER_SECONDS)
    if work.failure:
        raise PageError(work.status, "The audit cannot be read", work.failure, work.fix)
    if work.result is None:
        raise PageError(503, "Not read yet", "the audit is long, and still being read", "ask again in a moment")
    body = b"".join(orjson.dumps(line.to_json()) + b"\n" for line in work.result.lines)
    return Download("audit.jsonl", "application/x-ndjson", body)


def _reading(desk: Desk, asked: Asked) -> Work:
    """The reading for these filters: a new one, unless there is one from a moment ago."""
    key = _key(asked)
    now_ms = desk.clock.epoch_ms()
    for work in desk.works.newest(KIND, key):
        if work.is_running or (work.ended_ms is not None and now_ms - work.ended_ms < FRESH_MS):
            return work
        break
    wanted = _wanted(asked, now_ms)

    def read(installation: Installation, work: Work) -> audit.Page:
        return audit.read_audit(installation, wanted, work.report)

    return desk.works.begin(desk.threads.audits, KIND, key, asked.user.name, read)


def _earlier(desk: Desk, asked: Asked) -> Work | None:
    """The newest reading for these filters that came to something."""
    return next((work for work in desk.works.newest(KIND, _key(asked)) if work.result is not None), None)


def _key(asked: Asked) -> str:
    return "|".join(asked.first(name) for name in FIELDS)


def _wanted(asked: Asked, now_ms: int) -> Wanted:
    """Raises `BadRequest` that names the field."""
    connector, kind = asked.first("connector"), asked.first("kind")
    return Wanted(
        connectors=frozenset([connector] if connector else []),
        actor=asked.first("actor"),
        kinds=kinds_of([kind] if kind else []),
        since_ms=_moment("since", asked.first("since") or DEFAULT_SINCE, now_ms) or 0,
        until_ms=_moment("until", asked.first("until"), now_ms),
    )


def _moment(field: str, text: str, now_ms: int) -> int | None:
    try:
        return parse_moment(text, now_ms) if text else None
    except ValueError as error:
        raise BadRequest(str(error), field=field) from None


def _listed(page: audit.Page) -> dict[str, object]:
    lines: list[Line] = list(page.lines)
    return {
        "lines": [line.to_json() for line in lines],
        "unknown_records": page.unknown,
        "older_left_out": page.is_cut,
    }


ROUTES = (Route("GET", "/audit", show), Route("GET", "/audit.jsonl", download))
