"""`streams config`: is the configuration right, and what may stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from streams.cli.errors import ExitCode, translated
from streams.cli.options import ConfigPath, OutputFormat, required
from streams.cli.output import Format, note, print_json, print_table

if TYPE_CHECKING:
    from streams.config import Problem

app = typer.Typer(help="Check the configuration, or print its JSON Schema.", no_args_is_help=True)


@app.command()
@translated
def check(config: ConfigPath = None, output: OutputFormat = Format.TABLE) -> None:
    """Read the configuration and print every problem with its mend. Asks nobody outside this machine."""
    from streams.adapters.kafka.admin import option_problem
    from streams.config import ConfigurationError, Problem, load
    from streams.config.warnings import warnings

    path = required(config)
    problems: tuple[Problem, ...] = ()
    remarks: tuple[Problem, ...] = ()
    try:
        settings = load(path)
    except ConfigurationError as error:
        problems = error.problems
    else:
        remarks = warnings(settings)
        if reason := option_problem(settings.kafka.client_config("streams-config-check")):
            problems = (Problem("kafka.options", reason),)
    if output is Format.JSON:
        print_json({"problems": _listed(problems), "warnings": _listed(remarks)})
    else:
        for problem in problems:
            print(f"problem  {problem}")
        for remark in remarks:
            print(f"warning  {remark}")
        if not problems:
            print_table(
                ("CONNECTOR", "DESTINATION", "EVENT TYPES"),
                (
                    (connector.name, connector.destination, len(connector.event_types))
                    for connector in settings.connectors.values()
                ),
            )
    if problems:
        note(f"{path}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
        raise typer.Exit(ExitCode.USAGE)


@app.command()
@translated
def schema() -> None:
    """Print the JSON Schema of the whole file, for editors and charts."""
    import json

    from streams.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _listed(problems: tuple[Problem, ...]) -> list[dict[str, object]]:
    return [
        {"path": problem.path, "line": problem.line, "value": problem.value, "mend": problem.mend}
        for problem in problems
    ]
