"""`streams dlq extend`: more time for the letters of a scope whose credentials are invalid."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.dlq.options import CLIENT_ID, Name
from streams.cli.errors import translated
from streams.cli.options import ConfigPath, OutputFormat, settings_from
from streams.cli.output import Format, note, print_json, told


@translated
def extend(
    name: Name,
    scope: Annotated[str, typer.Option("--scope", metavar="SCOPE", help="The credential scope.")],
    by: Annotated[str, typer.Option("--by", metavar="DURATION", help="How much later: 90m, 24h, 2d.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is written to the audit topic.")],
    config: ConfigPath = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Move the deadline of a scope's dead letters, while its credentials are INVALID."""
    from streams.cli.actor import who
    from streams.cli.assembly.installation import connected
    from streams.operations.dead_letters import deadlines

    with connected(settings_from(config, reads_secrets=False), CLIENT_ID) as installation:
        extended_ms = deadlines.extend(installation, name, scope, by, who=who(), reason=reason)
    if output is Format.JSON:
        print_json({"connector": name, "scope": scope, "extended_seconds": extended_ms / 1000})
        return
    print(f"the letters of {scope} live {by} longer; extensions in total: {told(extended_ms / 1000)}")
    note(f"see the new deadline: streams dlq list {name}")
