"""`streams audiences`: cohorts and audiences that are written to Braze, and orders about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.errors import translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, connector_names, connector_of, settings_from
from streams.cli.output import Format, note, print_json, print_table
from streams.cli.plans import Wish, note_that_nothing_was_done, planning

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.operations.audiences.orders import Action, GroupPlan
    from streams.operations.audiences.overview import Group

ConnectorName = Annotated[str, typer.Argument(metavar="NAME", help="The connector.", autocompletion=connector_names)]
GroupId = Annotated[str, typer.Argument(metavar="ID", help="The cohort's or audience's id, as `list` shows it.")]
EntryName = Annotated[str | None, typer.Option(metavar="ENTRY", help="The entry, where two have a group of this id.")]

app = typer.Typer(help="Cohorts and audiences that are written to Braze.", no_args_is_help=True)

CLIENT_ID = "streams-audiences"


@app.command("list", epilog=examples("streams audiences list braze-back", "streams audiences list braze-back -o json"))
@translated
def list_groups(name: ConnectorName, config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """List the cohorts and audiences of a connector: members, last change, full copies that are not complete."""
    from streams.cli.assembly.installation import connected
    from streams.operations.audiences.overview import groups

    settings = settings_from(config, reads_secrets=False)
    connector_of(settings, name)
    with connected(settings, CLIENT_ID) as installation:
        found = groups(installation, name)
    if output is Format.JSON:
        print_json({"connector": name, "groups": [group.to_json() for group in found]})
        return
    print_table(
        ("ENTRY", "ID", "NAME", "WRITTEN AS", "MEMBERS", "LAST CHANGE", "SUBSCRIPTION", "OPEN COPIES"), map(_row, found)
    )
    if not found:
        note("nothing was written yet")


@app.command(epilog=examples("streams audiences clear braze-back 1234 --execute --reason 'the cohort was deleted'"))
@translated
@planning
def clear(
    name: ConnectorName,
    group_id: GroupId,
    entry: EntryName = None,
    wish: Any = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan to remove every member from a cohort or audience in Braze; with --execute do it.

    For a group that the vendor deleted, or does not sync any more. It works as if an empty full copy had come.
    """
    _order(settings_from(config, reads_secrets=False), name, "clear", (group_id, entry), wish, output)


@app.command(
    epilog=examples("streams audiences resend braze-back 1234", "streams audiences resend braze-back 1234 --execute")
)
@translated
@planning
def resend(
    name: ConnectorName,
    group_id: GroupId,
    entry: EntryName = None,
    wish: Any = None,
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Plan to write all members of a cohort or audience to Braze again; with --execute do it.

    For users that Braze did not have when their membership was first sent.
    """
    _order(settings_from(config, reads_secrets=False), name, "resend", (group_id, entry), wish, output)


def _order(
    settings: Settings, name: str, action: Action, group: tuple[str, str | None], wish: Wish, output: Format
) -> None:
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.audiences import orders

    connector_of(settings, name)
    group_id, entry = group
    with connected(settings, CLIENT_ID) as installation:
        plan = orders.planned(installation, name, action, group_id, entry=entry, expected=wish.plan_id)
        if wish.execute:
            orders.order(installation, plan, who=who(), reason=wish.reason)
    if output is Format.JSON:
        print_json({**plan.to_json(), "ordered": wish.execute})
        return
    _print_plan(plan)
    if wish.execute:
        note(f"ordered; each sink does its part when it reads the order: streams audiences list {name}")
    else:
        note_that_nothing_was_done(plan.id)


def _print_plan(plan: GroupPlan) -> None:
    print_table(
        ("ACTION", "ENTRY", "ID", "NAME", "USERS", "WRITES", "REQUESTS"),
        [
            (
                plan.action,
                plan.group.entry,
                plan.group.group_id,
                plan.group.name,
                plan.users,
                plan.writes,
                plan.requests,
            )
        ],
    )


def _row(group: Group) -> tuple[object, ...]:
    content = group.to_json()
    copies = ", ".join(
        f"{copy.session}: {copy.pages_seen} of {copy.pages or 'an unknown number of'} pages" for copy in group.open
    )
    changed, subscription = content["changed"] or "-", content["subscription"] or "-"
    return (group.entry, group.group_id, group.name, group.target, group.members, changed, subscription, copies)
