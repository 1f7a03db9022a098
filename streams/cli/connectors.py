"""`streams connectors`: each connector's state, account and lag; orders to its keeper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.connector_tables import COLUMNS, connector_row, print_overview, print_router, router_row
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
from streams.cli.output import Format, print_json, print_table, watched

if TYPE_CHECKING:
    from pathlib import Path

    from streams.config import Settings
    from streams.operations.installation import Installation

ConnectorName = Annotated[str, typer.Argument(metavar="NAME", help="The connector.", autocompletion=connector_names)]
ShownName = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The connector; `router` or `source` for the router.",
        autocompletion=connector_names_and("router", "source"),
    ),
]

app = typer.Typer(
    help="Show connectors with state, account and lag; suspend, resume or probe one.", no_args_is_help=True
)

CLIENT_ID = "streams-connectors"
ROUTER_NAMES = ("router", "source")
"""What `show` takes in addition to connectors: both mean the router, which keeps the source's dead letters."""


@app.command("list", epilog=examples("streams connectors list --watch", "streams connectors list -o json | jq .router"))
@translated
def list_connectors(config: ConfigPath = None, watch: Watch = False, output: OutputFormat = Format.TABLE) -> None:
    """List the router and every connector of the configuration, with state and account."""
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.attention import attention
    from streams.operations.connectors.overview import overviews
    from streams.operations.router import router_overview

    settings = settings_from(config, reads_secrets=False)

    def look() -> Callable[[], None]:
        with connected(settings, CLIENT_ID) as installation, Accounts(installation) as accounts:
            router = router_overview(installation, accounts)
            found = overviews(installation, accounts, list(settings.connectors))
            wanting = attention(installation, router, found) if output is Format.JSON else ()
        if output is Format.JSON:
            content = {
                "router": router.to_json(),
                "connectors": [overview.to_json() for overview in found],
                "needs": [need.to_json() for need in wanting],
            }
            return lambda: print_json(content)
        return lambda: print_table(COLUMNS, [router_row(router), *map(connector_row, found)])

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
    ledger: Annotated[bool, typer.Option("--ledger", help="Also show how many dead letters left, and how.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="With --ledger: count the records on the topics, and compare.")
    ] = False,
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
    return lambda: print_overview(overview, content, output)


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
    print_overview(overview, overview.to_json() | counted, output)
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


def _look_at_router(settings: Settings, output: Format) -> Callable[[], None]:
    from streams.cli.assembly.installation import connected
    from streams.operations.accounts import Accounts
    from streams.operations.router import router_overview

    with connected(settings, CLIENT_ID) as installation, Accounts(installation) as accounts:
        router = router_overview(installation, accounts)
    return lambda: print_router(router, output)
