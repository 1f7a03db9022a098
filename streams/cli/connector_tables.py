"""How connectors and the router are shown on a terminal: a table of all, and one with its account and waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from streams.cli.output import Format, note, print_json, print_table, told

if TYPE_CHECKING:
    from streams.operations.connectors.overview import Overview
    from streams.operations.router import RouterOverview
    from streams.state.worker_records import PartitionWait

COLUMNS = (
    "NAME", "DESTINATION", "STATE", "MEMBERS", "ROUTED", "SKIPPED", "DELIVERED", "PARKED", "LOST", "WAITING", "OLDEST",
)  # fmt: skip
NO_SINK = "no sink runs"


def print_overview(overview: Overview, content: dict[str, Any], output: Format) -> None:
    if output is Format.JSON:
        print_json(content)
        return
    rows: list[tuple[str, object]] = [
        ("connector", overview.connector.name),
        ("destination", overview.connector.destination),
        ("contact", overview.connector.contact or "-"),
        ("state", _state(overview)),
    ]
    if content["suspended"]:
        rows += [(f"suspended: {name}", value) for name, value in content["suspended"].items() if value]
    rows += [(f"scope: {scope}", _scope_line(overview, scope)) for scope in overview.scopes]
    rows += [("members", overview.members), ("oldest waiting", told(overview.lag_seconds))]
    for section in ("account", "ledger", "verified", "way_back"):
        rows += _rows(content.get(section, {}), f"{section} " if section in ("ledger", "verified") else "")
    _print_rows(rows)
    _print_waits(overview.waits, overview.now_ms)
    if dropped := content.get("way_back", {}).get("dropped"):
        print()
        print_table(("DROPPED OR CUT", "WHY", "VALUES"), ((one["name"], one["why"], one["values"]) for one in dropped))
    if (step := overview.next_step()) is not None:
        note(f"next: {step}")


def _rows(counts: dict[str, Any], prefix: str) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in counts.items():
        if isinstance(value, dict):
            rows += [(f"{prefix}{name}: {reason}", count) for reason, count in value.items()]
        elif not isinstance(value, list):
            rows.append((f"{prefix}{name}", value))
    return rows


def print_router(router: RouterOverview, output: Format) -> None:
    from streams.operations.router import OPEN_TRANSACTION

    if output is Format.JSON:
        print_json(router.to_json())
        return
    account = router.to_json()["account"]
    rows: list[tuple[str, object]] = [("router", router.state), ("members", router.members)]
    rows += [("has to read", router.records), ("oldest of it", told(router.lag_seconds))]
    rows += [*_rows(account, ""), ("dead letters of the source", router.letters)]
    _print_rows(rows)
    behind = [lag for lag in router.lags if lag.records]
    if behind:
        print()
        print_table(
            ("TOPIC", "TO READ", "OLDEST", "HELD BY"),
            (
                (lag.topic, lag.records, told(lag.seconds(router.now_ms)), OPEN_TRANSACTION if lag.held else "")
                for lag in behind
            ),
        )
    _print_waits(router.waits, router.now_ms)
    for cause in router.causes:
        print(f"\n{cause.what}\n  {cause.consequence}\n  {cause.step} ({cause.command})")
    if (step := router.next_step()) is not None:
        note(f"next: {step}")


def _print_waits(waits: Mapping[str, PartitionWait], now_ms: int) -> None:
    """Partitions that stand, and why."""
    if waits:
        print()
        print_table(
            ("PARTITION", "OFFSET", "WAITS FOR", "SINCE", "DETAIL"),
            (
                (place, wait.offset, wait.why, f"{told((now_ms - wait.since) / 1000)} ago", wait.detail)
                for place, wait in sorted(waits.items())
            ),
        )


def _print_rows(rows: Sequence[tuple[str, object]]) -> None:
    for name, value in rows:
        print(f"{name:<34} {value:,}" if isinstance(value, int) else f"{name:<34} {value}")


def router_row(router: RouterOverview) -> tuple[object, ...]:
    reasons = ", ".join(router.reasons)
    return (
        "router",
        None,
        f"{router.state} (waits for {reasons})" if reasons else router.state,
        router.members,
        sum(router.counts.routed.values()),
        sum(router.counts.skipped.values()),
        None,
        router.letters,
        router.counts.lost,
        router.records,
        told(router.lag_seconds),
    )


def connector_row(overview: Overview) -> tuple[object, ...]:
    return (
        overview.connector.name,
        overview.connector.destination,
        _state_of_all(overview),
        overview.members,
        overview.account.routed,
        sum(overview.account.skipped.values()),
        overview.account.delivered,
        sum(overview.account.parked.values()),
        overview.account.lost,
        overview.account.waiting,
        told(overview.lag_seconds),
    )


def _state(overview: Overview, remarks: Sequence[str] = ()) -> str:
    """The state with remarks. RUNNING is what people want of a connector: that no process does it must be said."""
    said = [*([] if overview.members else [NO_SINK]), *remarks]
    return f"{overview.state} ({', '.join(said)})" if said else overview.state


def _state_of_all(overview: Overview) -> str:
    if overview.state == "SUSPENDED":
        return _state(overview, [str(overview.view.state.by)])
    return _state(overview, overview.remarks)


def _scope_line(overview: Overview, scope: str) -> str:
    state, now_ms = overview.scope_states()[scope], overview.now_ms
    text = str(state["state"])
    if state["state"] == "INVALID":
        text += f" since {state['since']}: {state['evidence']}"
        if deadline := overview.deadlines.get(scope):
            left = f"in {told((deadline - now_ms) / 1000)}" if deadline > now_ms else "now"
            text += f"; first letter is purged at {state['deadline']} ({left})"
    if (back_off := overview.view.back_off(scope, now_ms)) is not None:
        text += f"; {back_off.sentence(now_ms)}"
    if state["suspected"]:
        text += " (suspected: the keeper is probing it)"
    if state["refused_though_good"]:
        text += f"; traffic refused though a probe is accepted, since {state['refused_though_good']}"
    if state["purge_overdue"]:
        text += f"; purge overdue: {state['purge_overdue']}"
    return text
