"""`streams connectors`: each connector's state, account and lag; orders to its keeper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import (
    ConfigPath,
    OutputFormat,
    Watch,
    connector_names,
    connector_names_and,
    connector_of,
    settings_from,
)
from streams.cli.output import Format, note, print_json, print_table, told, watched

if TYPE_CHECKING:
    from pathlib import Path

    from streams.config import Settings
    from streams.operations.connectors.overview import Overview
    from streams.operations.installation import Installation
    from streams.operations.router import RouterOverview
    from streams.state.records import PartitionWait

ConnectorName = Annotated[str, typer.Argument(metavar="NAME", help="The connector.", autocompletion=connector_names)]
ShownName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The connector; `router` or `source` for the router.",
        autocompletion=connector_names_and("router", "source"),
    ),
]

app = typer.Typer(help="State, account and lag of connectors; suspend, resume, probe.", no_args_is_help=True)

CLIENT_ID = "streams-connectors"
COLUMNS = (
    "NAME", "DESTINATION", "STATE", "MEMBERS", "ROUTED", "SKIPPED", "DELIVERED", "PARKED", "LOST", "WAITING", "OLDEST",
)  # fmt: skip
ROUTER_NAMES = ("router", "source")
"""What `show` takes in addition to connectors: both mean the router, which keeps the source's dead letters."""


@app.command("list", epilog=examples("streams connectors list --watch", "streams connectors list -o json | jq .router"))
@translated
def list_connectors(config: ConfigPath = None, watch: Watch = False, output: OutputFormat = Format.TABLE) -> None:
    """List the router and every connector of the configuration, with state and account."""
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.connectors.overview import overviews
    from streams.operations.router import router_overview

    settings = settings_from(config, reads_secrets=False)

    def look() -> Callable[[], None]:
        with connected(settings, CLIENT_ID) as installation, Accounts(installation) as accounts:
            router = router_overview(installation, accounts)
            found = overviews(installation, accounts, list(settings.connectors))
        if output is Format.JSON:
            content = {"router": router.to_json(), "connectors": [overview.to_json() for overview in found]}
            return lambda: print_json(content)
        return lambda: print_table(COLUMNS, [_router_row(router), *map(_row, found)])

    watched(look, watch)


@app.command(
    epilog=examples(
        "streams connectors show growth --watch",
        "streams connectors show growth --ledger --verify",
        "streams connectors show router",
    )
)
@translated
def show(
    name: ShownName,
    ledger: Annotated[bool, typer.Option("--ledger", help="Also show what became of dead letters.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Count the topics and compare (with --ledger).")] = False,
    config: ConfigPath = None,
    watch: Watch = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show one connector: state per credential scope, account, lag, and the next step as a command."""
    settings = settings_from(config, reads_secrets=False)
    if verify and not ledger:
        raise CommandError("--verify compares the ledger with the topics: give --ledger too", ExitCode.USAGE)
    if name in ROUTER_NAMES and name not in settings.connectors:
        watched(lambda: _look_at_router(settings, output), watch)
        return
    connector_of(settings, name)
    if verify:
        _verify(settings, name, output)
    else:
        watched(lambda: _look_at(settings, name, ledger, output), watch)


def _look_at(settings: Settings, name: str, has_ledger: bool, output: Format) -> Callable[[], None]:
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.connectors.overview import overviews

    with connected(settings, CLIENT_ID) as installation, Accounts(installation) as accounts:
        (overview,) = overviews(installation, accounts, [name])
    content = overview.to_json() | ({"ledger": overview.ledger()} if has_ledger else {})
    return lambda: _print_overview(overview, content, output)


def _verify(settings: Settings, name: str, output: Format) -> None:
    """The account, compared with the topics. Raises `CommandError` if they differ."""
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.connectors.overview import overviews
    from streams.operations.verification import verify

    with connected(settings, CLIENT_ID) as installation:
        with Accounts(installation) as accounts:
            (overview,) = overviews(installation, accounts, [name])
        found = verify(installation, name)
    verified = {"waiting": found.waiting, "parked": dict(found.parked), "problems": list(found.problems)}
    counted = {"ledger": overview.ledger(), "account": found.account.to_json(), "verified": verified}
    _print_overview(overview, overview.to_json() | counted, output)
    if found.problems:
        raise CommandError("; ".join(found.problems), ExitCode.FAILED)


@app.command(epilog=examples("streams connectors suspend growth --reason 'the account moves'"))
@translated
def suspend(
    name: ConnectorName,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Send nothing for a connector until it is resumed: records wait in its topic, and no deadline runs."""
    from streams.operations.connectors import orders

    _order(config, name, lambda installation, who: orders.suspend(installation, name, who=who, reason=reason), output)


@app.command(epilog=examples("streams connectors resume growth --reason 'the mapping is fixed'"))
@translated
def resume(
    name: ConnectorName,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Let a suspended connector deliver again; the flood breaker counts from zero."""
    from streams.operations.connectors import orders

    _order(config, name, lambda installation, who: orders.resume(installation, name, who=who, reason=reason), output)


@app.command(epilog=examples("streams connectors probe growth", "streams connectors probe cdp --scope ios"))
@translated
def probe(
    name: ConnectorName,
    scope: Annotated[list[str] | None, typer.Option(help="Only this credential scope.")] = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Let the keeper read the secrets again and ask the destination now. Exits with 4 if they are refused."""
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.connectors import orders

    settings = settings_from(config, reads_secrets=False)
    connector_of(settings, name)
    with connected(settings, CLIENT_ID) as installation:
        found = orders.probe(installation, name, scope or [], who=who())
    if output is Format.JSON:
        said = {one.scope: {"outcome": one.outcome, "status": one.status, "detail": one.detail} for one in found}
        print_json({"connector": name, "scopes": said})
    else:
        rows = ((one.scope, one.outcome, one.status or None, one.detail) for one in found)
        print_table(("SCOPE", "CREDENTIALS", "STATUS", "DETAIL"), rows)
    outcomes = {one.outcome for one in found}
    if "bad" in outcomes:
        raise typer.Exit(ExitCode.CREDENTIALS)
    if "silent" in outcomes:
        raise typer.Exit(ExitCode.UNREACHABLE)


def _order(config: Path | None, name: str, order: Callable[[Installation, str], str], output: Format) -> None:
    """Ask the keeper, and print the state that came of it."""
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected

    settings = settings_from(config, reads_secrets=False)
    connector_of(settings, name)
    with connected(settings, CLIENT_ID) as installation:
        state = order(installation, who())
    if output is Format.JSON:
        print_json({"connector": name, "state": state})
    else:
        print(f"{name} is {state}")


def _print_overview(overview: Overview, content: dict[str, Any], output: Format) -> None:
    if output is Format.JSON:
        print_json(content)
        return
    rows: list[tuple[str, object]] = [
        ("connector", overview.connector.name),
        ("destination", overview.connector.destination),
        ("contact", overview.connector.contact or "-"),
        ("state", overview.state),
    ]
    if content["suspended"]:
        rows += [(f"suspended: {name}", value) for name, value in content["suspended"].items() if value]
    rows += [(f"scope: {scope}", _scope_line(overview, scope)) for scope in overview.scopes]
    rows += [("members", overview.members), ("oldest waiting", told(overview.lag_seconds))]
    for section in ("account", "ledger", "verified"):
        rows += _rows(content.get(section, {}), "" if section == "account" else f"{section} ")
    _print_rows(rows)
    _print_waits(overview.waits, overview.now_ms)
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


def _look_at_router(settings: Settings, output: Format) -> Callable[[], None]:
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.router import router_overview

    with connected(settings, CLIENT_ID) as installation, Accounts(installation) as accounts:
        router = router_overview(installation, accounts)
    return lambda: _print_router(router, output)


def _print_router(router: RouterOverview, output: Format) -> None:
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


def _router_row(router: RouterOverview) -> tuple[object, ...]:
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


def _row(overview: Overview) -> tuple[object, ...]:
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


def _state_of_all(overview: Overview) -> str:
    if overview.state == "SUSPENDED":
        return f"SUSPENDED ({overview.standing.state.by})"
    remarks = [f"{scope} INVALID" for scope in overview.invalid_scopes]
    remarks += [f"{scope} backs off" for scope in overview.backing_off]
    remarks += sorted({f"waits for {wait.why}" for wait in overview.waits.values()})
    return f"RUNNING ({', '.join(remarks)})" if remarks else "RUNNING"


def _scope_line(overview: Overview, scope: str) -> str:
    state, now_ms = overview.scope_states()[scope], overview.now_ms
    text = str(state["state"])
    if state["state"] == "INVALID":
        text += f" since {state['since']}: {state['evidence']}"
        if deadline := overview.deadlines.get(scope):
            left = f"in {told((deadline - now_ms) / 1000)}" if deadline > now_ms else "now"
            text += f"; first letter is purged at {state['deadline']} ({left})"
    if (back_off := overview.standing.back_off(scope, now_ms)) is not None:
        text += f"; {back_off.sentence(now_ms)}"
    if state["suspected"]:
        text += " (suspected: the keeper is probing it)"
    if state["refused_though_good"]:
        text += f"; traffic refused though a probe is accepted, since {state['refused_though_good']}"
    if state["purge_overdue"]:
        text += f"; purge overdue: {state['purge_overdue']}"
    return text
