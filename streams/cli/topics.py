"""`streams topics`: the topics that the configuration needs, compared with the cluster's, and made; who needs what."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import CommandError, ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.config import Settings
    from streams.config.access import Grant, Role
    from streams.config.topology import Change, Plan

app = typer.Typer(
    help="Show and create the topics that are needed; print which rights each role needs.", no_args_is_help=True
)


CLIENT_ID = "streams-topics"


class AclFormat(StrEnum):
    """How access control lists are printed."""

    TABLE = "table"
    JSON = "json"
    COMMANDS = "commands"


@app.command(epilog=examples("streams topics plan", "streams topics plan -o json | jq .changes"))
@translated
def plan(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Print what `streams topics apply` would do. Changes nothing."""
    from streams.cli.assembly.installation import connected
    from streams.operations.topics import compared

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        found = compared(installation)
    _print(found, output, "nothing to do")


@app.command(epilog=examples("streams topics apply"))
@translated
def apply(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Create missing topics and correct settings. Deletes nothing, shrinks nothing, adds no partitions."""
    from streams.cli.assembly.installation import connected
    from streams.operations import topics

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        found = topics.apply(installation, lambda change: note(f"{_past(change)} {change.topic.name}"))
    if found.changes:
        made = sum(change.is_missing for change in found.changes)
        note(f"done: {made} topics created, {len(found.changes) - made} configured")
    _print(found, output, "nothing to do: every topic is as it must be")


@app.command(
    epilog=examples(
        "streams topics acls --role 'sink growth'", "streams topics acls --format commands --principal User:streams"
    )
)
@translated
def acls(
    config: ConfigPath = None,
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Only this role's, for example router or 'sink growth'.")
    ] = None,
    principal: Annotated[
        str, typer.Option(metavar="TYPE:NAME", help="The principal that the commands allow.", show_default=True)
    ] = "User:streams",
    output: Annotated[
        AclFormat,
        typer.Option("--output", "--format", "-o", help="A table for people, JSON, or kafka-acls.sh commands."),
    ] = AclFormat.TABLE,
) -> None:
    """Print the smallest set of rights that each role needs. It does not connect to Kafka."""
    from streams.operations.topics import access_roles

    if not all(principal.partition(":")):
        raise CommandError(f"--principal {principal}: must be TYPE:NAME, for example User:streams", ExitCode.USAGE)
    settings = settings_from(config, reads_secrets=False)
    wanted = access_roles(settings, role)
    match output:
        case AclFormat.JSON:
            print_json({"roles": [_role_listed(one) for one in wanted]})
        case AclFormat.COMMANDS:
            _print_commands(settings, wanted, principal)
        case AclFormat.TABLE:
            print_table(
                ("ROLE", "RESOURCE", "NAME", "PATTERN", "OPERATIONS", "FOR"),
                (
                    (one.name, grant.resource, grant.name, grant.pattern, ", ".join(grant.operations), grant.why)
                    for one in wanted
                    for grant in one.grants
                ),
            )


def _print_commands(settings: Settings, wanted: tuple[Role, ...], principal: str) -> None:
    """One command a resource; running them again changes nothing."""
    print("# To be run as somebody who may alter the cluster; add --command-config FILE where it asks who that is.")
    for role in wanted:
        print(f"\n# {role.name}: {role.does}")
        for grant in role.grants:
            print(_command(settings.kafka.bootstrap_servers, grant, principal))


def _command(servers: str, grant: Grant, principal: str) -> str:
    import shlex

    words = ["kafka-acls.sh", "--bootstrap-server", servers, "--add", "--allow-principal", principal]
    for operation in grant.operations:
        words += ["--operation", operation]
    words += [f"--{grant.resource}"] if grant.resource == "cluster" else [f"--{grant.resource}", grant.name]
    if grant.is_prefix:
        words += ["--resource-pattern-type", "prefixed"]
    return shlex.join(words)


def _role_listed(role: Role) -> dict[str, object]:
    listed = [
        {
            "resource": grant.resource,
            "name": grant.name,
            "pattern": grant.pattern,
            "operations": list(grant.operations),
            "for": grant.why,
        }
        for grant in role.grants
    ]
    return {"role": role.name, "runs": role.does, "acls": listed}


def _print(found: Plan, output: Format, nothing: str) -> None:
    if output is Format.JSON:
        from streams.operations.topics import listed

        print_json(listed(found))
        _refuse(found)
        return
    if found.changes:
        print_table(
            ("TOPIC", "ACTION", "PARTITIONS", "REPLICATION", "SETTINGS"),
            (
                (
                    change.topic.name,
                    "create" if change.is_missing else "configure",
                    change.topic.partitions if change.is_missing else "",
                    change.topic.replication if change.is_missing else "",
                    _settings(change),
                )
                for change in found.changes
            ),
        )
    else:
        note(nothing)
    if found.unread:
        from streams.operations.topics import unread_sentence

        note(unread_sentence(found.unread))
    for name in found.orphaned:
        note(f"orphaned: {name} belongs to nothing in the configuration; it is not changed")
    _refuse(found)


def _refuse(found: Plan) -> None:
    """What no command of ours changes. Raises `CommandError`."""
    if found.unequal:
        raise CommandError("; ".join(f"{one.sentence}; {one.fix}" for one in found.unequal), ExitCode.USAGE)


def _past(change: Change) -> str:
    return "created" if change.is_missing else "configured"


def _settings(change: Change) -> str:
    if change.is_missing:
        return " ".join(f"{name}={to}" for name, (_, to) in change.settings.items())
    return " ".join(f"{name}={was or 'unset'}->{to}" for name, (was, to) in change.settings.items())
