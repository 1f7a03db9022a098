"""`/`: what needs a person, by deadline; then one row each for the router, inlets, the receiver and connectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.web.console.charts import account_bar, spark
from streams.web.console.desk import Asked, Desk, Page, Shown
from streams.web.console.routes import Route

HOUR_MS = 3_600_000


async def show(desk: Desk, _asked: Asked) -> Shown:
    snapshot = desk.snapshot
    content = {
        "router": snapshot.router,
        "connectors": list(snapshot.connectors.values()),
        "needs": [need.to_json() for need in snapshot.needs],
    }
    also = {
        "wanting": snapshot.needs,
        "rows": [_row(desk, name, found) for name, found in snapshot.connectors.items()],
        "inlets": snapshot.inlets,
        "receiver": _receiver(desk, snapshot.connectors),
    }
    return Page("overview.html", "Overview", content, also, refresh_seconds=30)


def _receiver(desk: Desk, connectors: Mapping[str, Mapping[str, Any]]) -> dict[str, int] | None:
    """What receivers took of all senders; None where nobody sends to one."""
    receiving = [connectors[name] for name in desk.settings.entries if name in connectors]
    if not receiving:
        return None
    return {
        "received": sum(one["account"].get("received", 0) for one in receiving),
        "not_taken": sum(sum(one["way_back"]["not_taken"].values()) for one in receiving),
    }


def _row(desk: Desk, name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    now_ms = desk.clock.epoch_ms()
    since_ms = now_ms - HOUR_MS
    delivered, lag = (desk.history.series(name, field, since_ms) for field in ("delivered", "lag_seconds"))
    return {
        "name": name,
        "found": found,
        "bar": account_bar(found["account"]),
        "throughput": spark(delivered.rates(), "delivered per second", since_ms, now_ms),
        "lag": spark(lag, "lag in seconds", since_ms, now_ms),
        "parked": sum(found["account"]["parked"].values()),
    }


ROUTES = (Route("GET", "/", show),)
