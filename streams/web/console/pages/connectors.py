"""`/connectors/NAME`: its account, states, charts and credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from streams.operations.audit import Wanted, read_audit
from streams.operations.installation import Installation
from streams.operations.timeline import CONNECTOR, KINDS, timelines
from streams.state.credentials import Rules
from streams.web.console.charts import CHART_WIDTH, account_bar, chart, parts_of, timeline
from streams.web.console.desk import Asked, Desk, Page, Shown
from streams.web.console.pages.jobs import known_outcome
from streams.web.console.prometheus import POINTS, RANGES, STEP_SECONDS_MIN, PrometheusAway, charts_of
from streams.web.console.routes import Route
from streams.web.console.works import Work

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
TIMELINE = "timeline"
TIMELINE_MS = 60_000
"""A reading of the audit that is older is made again."""
JOBS_MAX = 10
CHARTS = (
    ("delivered", "Delivered", "per second"),
    ("parked", "Parked", "letters"),
    ("waiting", "Waiting", "records"),
    ("lag_seconds", "Oldest waiting", "s"),
)


async def show(desk: Desk, asked: Asked) -> Shown:
    name = asked.names["name"]
    content = desk.connector(name)
    snapshot = desk.snapshot
    jobs = desk.watch.jobs(name)[:JOBS_MAX]
    also = {
        "name": name,
        "wanting": [need for need in snapshot.needs if need.connector == name],
        "details": snapshot.details[name],
        "bar": account_bar(content["account"], CHART_WIDTH),
        "terms": parts_of(content["account"]),
        "charts": await _charts(desk, name, asked.first("range")),
        "timelines": _timelines(desk, asked, content),
        "letters": snapshot.letters.get(name),
        "jobs": jobs,
        "outcomes": {one.id: known_outcome(desk, one.id) for one in jobs},
        "order": desk.works.find(asked.first("order")),
        "parked": sum(content["account"]["parked"].values()),
        "probe_seconds": Rules(desk.settings.connectors[name].grace_seconds).probe_seconds,
    }
    return Page("connector.html", name, content, also, refresh_seconds=30)


def _timelines(desk: Desk, asked: Asked, content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pictures of the last day and week, from the newest reading of the audit; an old one is read again meanwhile."""
    name, now_ms = asked.names["name"], desk.clock.epoch_ms()
    works = list(desk.works.newest(TIMELINE, name))
    done = next((work for work in works if work.result is not None), None)
    if not works or (works[0].ended_ms is not None and now_ms - works[0].ended_ms > TIMELINE_MS):
        works = [_reading(desk, name, asked.user.name, now_ms)]
    if done is None:
        return {"failure": works[0].failure, "rows": []}
    states = {CONNECTOR: content["state"], **{scope: one["state"] for scope, one in content["scopes"].items()}}
    spans = timelines(done.result.lines, states, now_ms - WEEK_MS, now_ms)
    rows = [
        {
            "name": "the connector" if scope == CONNECTOR else f"credentials of {scope}",
            "day": timeline(found, now_ms - DAY_MS, now_ms),
            "week": timeline(found, now_ms - WEEK_MS, now_ms),
        }
        for scope, found in spans.items()
    ]
    return {"failure": "", "rows": rows}


def _reading(desk: Desk, name: str, who: str, now_ms: int) -> Work:
    wanted = Wanted(connectors=frozenset([name]), kinds=KINDS, since_ms=now_ms - WEEK_MS)

    def read(installation: Installation, work: Work) -> Any:
        return read_audit(installation, wanted, work.report)

    return desk.works.begin(desk.threads.audits, TIMELINE, name, who, read)


async def _charts(desk: Desk, name: str, chosen: str) -> dict[str, Any]:
    """From the console's own samples, or over a chosen range from Prometheus where there is one."""
    now_ms, address = desk.clock.epoch_ms(), desk.settings.console.prometheus
    about = {"ranges": list(RANGES) if address else [], "chosen": chosen if address else "", "failure": ""}
    if address and chosen in RANGES:
        seconds = RANGES[chosen]
        try:
            found = await charts_of(address, name, seconds, now_ms)
        except PrometheusAway as error:
            return {**about, "pictures": [], "failure": str(error)}
        since_ms, gap_seconds = now_ms - seconds * 1000, 3.0 * max(seconds / POINTS, STEP_SECONDS_MIN)
        drawn = [
            (query.title, query.unit, chart(series, query.title, since_ms, now_ms, query.unit, gap_seconds))
            for query, series in found
        ]
    else:
        drawn = _own_charts(desk, name, now_ms)
    return {**about, "pictures": [{"title": title, "unit": unit, "picture": one} for title, unit, one in drawn]}


def _own_charts(desk: Desk, name: str, now_ms: int) -> list[tuple[str, str, Markup]]:
    since_ms = now_ms - round(desk.settings.console.history * 1000)
    found = []
    for field, title, unit in CHARTS:
        series = desk.history.series(name, field, since_ms)
        drawn = series.rates() if field == "delivered" else series
        found.append((title, unit, chart(drawn, title, since_ms, now_ms, unit)))
    return found


ROUTES = (Route("GET", "/connectors/{name}", show),)
