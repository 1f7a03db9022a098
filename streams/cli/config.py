"""`streams config`: is the configuration right, and what may stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.errors import ExitCode, translated
from streams.cli.help import examples
from streams.cli.options import ConfigPath, OutputFormat, required
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.config import Problem
    from streams.config.connector import Connector

app = typer.Typer(help="Check the configuration, or print its JSON Schema.", no_args_is_help=True)


@app.command(epilog=examples("streams config check --config streams.yaml"))
@translated
def check(
    config: ConfigPath = None,
    no_secrets: Annotated[
        bool, typer.Option("--no-secrets", help="Do not ask for variables and files of secrets: for CI.")
    ] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Read the configuration and print every problem with its fix. It connects to no other machine."""
    from streams.adapters.kafka.clients import option_problem
    from streams.operations.configuration import checked

    path = required(config)
    found = checked(path, option_problem, reads_secrets=not no_secrets)
    problems, settings = found.problems, found.settings
    if output is Format.JSON:
        print_json({"problems": _listed(problems), "warnings": _listed(found.warnings)})
    else:
        for problem in problems:
            print(f"problem  {problem}")
        for remark in found.warnings:
            print(f"warning  {remark}")
        if settings is not None and not problems:
            print_table(
                ("CONNECTOR", "DESTINATION", "EVENT TYPES"),
                (
                    (connector.name, connector.destination, _event_types(connector))
                    for connector in settings.connectors.values()
                ),
            )
    if problems:
        note(f"{path}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
        raise typer.Exit(ExitCode.USAGE)


@app.command(epilog=examples("streams config schema > streams.schema.json"))
@translated
def schema() -> None:
    """Print the JSON Schema of the whole file, for editors and charts."""
    import json

    from streams.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _event_types(connector: Connector) -> int | str:
    """How many it takes; no event is routed to one that receives from vendors."""
    return "-" if connector.kind.is_received else len(connector.event_types)


def _listed(problems: tuple[Problem, ...]) -> list[dict[str, object]]:
    return [
        {"path": problem.path, "line": problem.line, "value": problem.value, "fix": problem.fix} for problem in problems
    ]
